"""The cache of a running laboratory: it follows by itself, is shared by two, and comes back after a restart."""

from __future__ import annotations

import time
from pathlib import Path

from glasstumbler.errors import NodeAway
from glasstumbler.explorer.file import NAME
from glasstumbler.explorer.follow import Explorer
from tests.explorer.toy import ToyChain
from tests.explorer.walk import told, walked
from tests.laboratory import Laboratory


def explorer(laboratory: Laboratory, folder: Path | None = None) -> Explorer:
    house = laboratory.house
    return Explorer(folder, house.vault.fingerprint, house.chains, house.store)


def until(reached: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not reached():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def height(of: Explorer, coin: str = "btc") -> int:
    with of.look(coin) as look:
        return look.height


def test_nothing_is_made_before_somebody_looks(tmp_path: Path) -> None:
    laboratory = Laboratory("btc")
    watching = explorer(laboratory, tmp_path)
    assert not (tmp_path / NAME).exists()
    until(lambda: height(watching) == laboratory.house.chains["btc"].tip()[0])
    assert (tmp_path / NAME).exists()
    watching.close()
    laboratory.close()


def test_it_follows_blocks_that_nobody_looks_at(tmp_path: Path) -> None:
    laboratory = Laboratory("btc")
    watching = explorer(laboratory, tmp_path)
    until(lambda: height(watching) == laboratory.house.chains["btc"].tip()[0])
    laboratory.mine("btc", 3)
    file = watching._ready()

    def there() -> bool:
        with file.reading() as db:
            found = db.execute("SELECT height FROM chain WHERE coin = 'btc'").fetchone()
        return bool(found[0] == laboratory.house.chains["btc"].tip()[0])

    until(there)
    assert told(file, laboratory.house.chains["btc"]) == walked(laboratory.house.chains["btc"])
    watching.close()
    laboratory.close()


def test_owners_and_turnover_come_from_the_record(tmp_path: Path) -> None:
    laboratory = Laboratory("btc")
    order = laboratory.bearer("whir", [50_000_000])
    laboratory.fund(order)
    watching = explorer(laboratory, tmp_path)
    chain = laboratory.house.chains["btc"]
    until(lambda: height(watching) == chain.tip()[0])
    with watching.look("btc") as look:
        found = look.address(chain.format.key(order.address))
        assert found is not None and found.owner == "whir"
        outside = look.address(chain.format.key(order.outputs[0].address))
        assert outside is None or outside.owner == ""
    with watching.turnover() as turnover:
        assert sum(turnover.counts("whir", "made").values()) == 1
    watching.close()
    laboratory.close()


def test_two_that_share_a_file_agree(tmp_path: Path) -> None:
    """As two processes do: each has connections, a thread and locks of its own."""
    laboratory = Laboratory("btc")
    chain = laboratory.house.chains["btc"]
    ours, theirs = explorer(laboratory, tmp_path), explorer(laboratory, tmp_path)
    for _ in range(4):
        laboratory.mine("btc", 2)
        laboratory.reorg("btc", 1)
        height(ours), height(theirs)
    until(lambda: height(ours) == height(theirs) == chain.tip()[0])
    assert told(ours._ready(), chain) == told(theirs._ready(), chain) == walked(chain)
    ours.close()
    theirs.close()
    laboratory.close()


def test_after_a_restart_it_goes_on_where_it_was(tmp_path: Path) -> None:
    laboratory = Laboratory("btc")
    chain = laboratory.house.chains["btc"]
    first = explorer(laboratory, tmp_path)
    until(lambda: height(first) == chain.tip()[0])
    first.close()
    laboratory.reorg("btc", 3)
    again = explorer(laboratory, tmp_path)
    until(lambda: height(again) == chain.tip()[0])
    assert told(again._ready(), chain) == walked(chain)
    again.close()
    laboratory.close()


class Away(ToyChain):
    gone = False

    def tip(self) -> tuple[int, str]:
        if self.gone:
            raise NodeAway("toy", "it does not answer")
        return super().tip()


def test_while_a_node_is_away_what_was_known_is_shown(tmp_path: Path) -> None:
    laboratory = Laboratory("btc")
    chain = Away()
    for _ in range(3):
        chain.mine([])
    watching = Explorer(tmp_path, "lab", {"btc": chain}, laboratory.house.store)  # type: ignore[dict-item]
    until(lambda: height(watching) == 2)
    chain.gone = True
    assert height(watching) == 2
    chain.gone = False
    chain.mine([])
    until(lambda: height(watching) == 3)
    watching.close()
    laboratory.close()
