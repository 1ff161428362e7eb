"""Real servers killed under load. The long run is `make kills`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.kills import scenario


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", ["a", "b", "c"])
def test_nothing_is_lost_and_nothing_paid_twice(tmp_path: Path, seed: str) -> None:
    found = scenario(tmp_path / "data", f"test {seed}", 11)
    assert not found.differences, "\n".join(found.differences)
    assert found.kills.total() >= 11 and found.funded > 0 and found.outcomes["unknown"] > 0
