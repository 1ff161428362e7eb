"""The price walk: any moment can be asked again."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.engine import price
from tests.engine.orders import NOW

SEED = b"seed"
BASE, SWING = 700_000, 30_000
TIMES = st.integers(0, 2**40)


@given(TIMES, st.binary(max_size=32))
def test_the_price_depends_on_seed_and_time_alone(when: int, seed: bytes) -> None:
    assert price.rate(seed, when, BASE, SWING) == price.rate(seed, when, BASE, SWING)


@given(TIMES, st.binary(max_size=32), st.integers(1, 10**9), st.integers(0, 900_000))
def test_the_price_stays_in_its_bounds(when: int, seed: bytes, base: int, swing: int) -> None:
    assert abs(price.rate(seed, when, base, swing) - base) * 1_000_000 <= base * swing + 1_000_000


@given(TIMES)
def test_the_price_does_not_jump(when: int) -> None:
    """The steepest second: (1 * 2/600 + 3 * 2/21600 + 6 * 2/432000) / 10 of the swing, 21000 sat; and the rounding."""
    steps = [price.rate(SEED, when + second, BASE, SWING) for second in range(3)]
    assert max(abs(a - b) for a, b in pairwise(steps)) <= 9


@given(st.integers(1, 10**6).map(lambda n: n * 432_000))
def test_nor_where_all_scales_have_a_knot(knot: int) -> None:
    before, at, after = (price.rate(SEED, knot + second, BASE, SWING) for second in (-1, 0, 1))
    assert abs(at - before) <= 9 and abs(after - at) <= 9


def test_the_price_moves_and_seeds_differ() -> None:
    hours = range(NOW, NOW + 30 * 86_400, 3600)
    walk = [price.rate(SEED, hour, BASE, SWING) for hour in hours]
    other = [price.rate(b"other", hour, BASE, SWING) for hour in hours]
    assert len(set(walk)) > 500 and walk != other
    assert max(walk) - min(walk) > BASE * SWING // 1_000_000 // 2


def test_without_a_swing_it_stands_still_and_never_reaches_nothing() -> None:
    assert {price.rate(SEED, NOW + day * 86_400, BASE, 0) for day in range(50)} == {BASE}
    assert min(price.rate(SEED, NOW + day * 86_400, 1, 999_999) for day in range(50)) >= 1
