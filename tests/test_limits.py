"""Rate limits on the laboratory's clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler import limits
from glasstumbler.clock import VirtualClock
from glasstumbler.errors import TooManyRequests
from glasstumbler.limits import Limiter

RULES = {"create": (3, 60), "query": (1, 10)}


def take(limiter: Limiter, name: str | None, peer: str = "10.0.0.1") -> int | None:
    """None if it was let through, else the seconds to wait."""
    try:
        limiter.take(name, peer)
    except TooManyRequests as error:
        return error.retry_after
    return None


SCRIPT = """
at  limit   peer  wait
0   create  a     -
10  create  a     -
20  create  a     -
20  create  a     40
20  create  b     -
20  query   a     -
29  query   a     1
30  query   a     -
59  create  a     1
60  create  a     -
60  create  a     10
70  create  a     -
70  create  b     -
"""


def test_what_is_let_through() -> None:
    clock = VirtualClock(0)
    limiter = Limiter(RULES, clock)
    for row in SCRIPT.strip().splitlines()[1:]:
        at, name, peer, wait = row.split()
        clock.restore(int(at))
        assert take(limiter, name, peer) == (None if wait == "-" else int(wait)), row


def test_what_has_no_limit_is_never_refused() -> None:
    limiter = Limiter(RULES, VirtualClock())
    assert {take(limiter, name) for name in (None, "other") for _ in range(50)} == {None}


@given(st.lists(st.integers(0, 40), max_size=60))
def test_no_window_holds_more_than_the_limit(gaps: list[int]) -> None:
    clock = VirtualClock(0)
    limiter = Limiter(RULES, clock)
    passed: list[int] = []
    for gap in gaps:
        now = clock.advance(gap)
        wait = take(limiter, "create")
        if wait is None:
            passed.append(now)
        else:
            assert 0 < wait <= 60
            clock.advance(wait)
            assert take(limiter, "create") is None
            passed.append(clock.now())
    assert all(sum(1 for other in passed if when <= other < when + 60) <= 3 for when in passed)


def test_many_peers_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOST_PEERS", 5)
    limiter = Limiter(RULES, VirtualClock())
    assert {take(limiter, "query", f"10.0.0.{peer}") for peer in range(5)} == {None}
    assert take(limiter, "query", "10.0.0.4") == 10
    assert take(limiter, "query", "10.0.0.5") is None
    assert len(limiter._seen) == 5
    assert take(limiter, "query", "10.0.0.4") == 10, "a crowd of peers does not wipe out what the others have used up"
