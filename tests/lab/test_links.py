"""Short forms for people."""

from __future__ import annotations

import pytest

from glasstumbler.lab import links

HASH = "39a0ed781e6f1ccdde3ed137dc2742627b2d0403376b4617270b592ccbc715b5"


@pytest.mark.parametrize(
    ("outpoint", "shown"),
    [
        (f"{HASH}:12", "39a\u20265b5:12"),
        (f"0x{HASH}:0", "39a\u20265b5:0"),
        (f"lightning:{HASH}", "ln:39a\u20265b5"),
        ("abcdefg:1", "abcdefg:1"),
    ],
)
def test_outpoints_keep_their_ends(outpoint: str, shown: str) -> None:
    assert links.short(outpoint) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0.018497621768046489 eth", "0.01849762\u2026 eth"),
        ("0.00012345 btc", "0.00012345 btc"),
        ("21 btc", "21 btc"),
    ],
)
def test_amounts_are_cut_and_say_so(amount: str, shown: str) -> None:
    assert links.brief(amount) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (2700, "0:45"), (90_000, "25:00"), (None, "\u2013")])
def test_spans_are_hours_and_minutes(seconds: int | None, shown: str) -> None:
    assert links.span(seconds) == shown
