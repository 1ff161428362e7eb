"""Three servers and three workers on one record in PostgreSQL, one of them killed every second."""

from __future__ import annotations

from pathlib import Path

from tests.faults.many import scenario

KILLS = 15


def test_nothing_is_lost_and_nothing_paid_twice(tmp_path: Path) -> None:
    found = scenario(tmp_path / "data", "test", KILLS)
    assert not found.differences, "\n".join(found.differences)
    assert found.kills["api"] and found.kills["worker"] and found.kills.total() == KILLS
    assert found.funded > 0
