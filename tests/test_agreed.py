"""What the processes of one laboratory agree on."""

from __future__ import annotations

from glasstumbler.clock import VirtualClock
from glasstumbler.house import House
from glasstumbler.vault import Vault


def test_time_is_written_down_before_it_passes() -> None:
    """Else whoever dies in between comes back to blocks from the future."""
    moved: list[tuple[int, int]] = []

    class Clock(VirtualClock):
        def restore(self, offset: int) -> None:
            if made:
                on_record = made[0].store.read(lambda records: records.meta("clock offset"))
                moved.append((int(on_record or 0), offset))
            super().restore(offset)

    made: list[House] = []
    house = House(None, Vault(bytes(32)), Clock(), 1, {"lab": {"chains": []}})
    made.append(house)
    house.start()
    house.advance(600)
    house.advance(60)
    house.close()
    assert (600, 600) in moved and moved[-1] == (660, 660)
    assert all(on_record == offset for on_record, offset in moved)
