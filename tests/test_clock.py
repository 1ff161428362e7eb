"""Clocks, how times are written, and randomness that repeats or does not."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from glasstumbler.clock import (
    GENESIS_TIME,
    Clock,
    RealClock,
    SystemChance,
    VirtualClock,
    iso_offset,
    iso_z,
    token,
)


def test_a_virtual_clock_moves_only_when_told() -> None:
    clock = VirtualClock()
    assert clock.now() == clock.now() == GENESIS_TIME
    assert clock.advance(90) == GENESIS_TIME + 90
    assert (clock.now(), clock.offset) == (GENESIS_TIME + 90, 90)


def test_a_real_clock_is_ahead_by_its_offset() -> None:
    clock = RealClock()
    assert 0 <= clock.now() - int(time.time()) <= 1
    assert 3600 <= clock.advance(3600) - int(time.time()) <= 3601


@pytest.mark.parametrize("clock", [VirtualClock(1000), RealClock()])
def test_a_clock_goes_on_where_an_earlier_run_stood(clock: Clock) -> None:
    before = clock.now()
    clock.restore(500)
    assert 500 <= clock.now() - before <= 501
    assert 510 <= clock.advance(10) - before <= 511


@pytest.mark.parametrize(
    ("when", "offset", "zulu"),
    [
        (0, "1970-01-01T00:00:00+00:00", "1970-01-01T00:00:00Z"),
        (1_651_740_965, "2022-05-05T08:56:05+00:00", "2022-05-05T08:56:05Z"),
        (1_498_896_687, "2017-07-01T08:11:27+00:00", "2017-07-01T08:11:27Z"),
        (951_782_399, "2000-02-28T23:59:59+00:00", "2000-02-28T23:59:59Z"),
        (4_102_444_800, "2100-01-01T00:00:00+00:00", "2100-01-01T00:00:00Z"),
    ],
)
def test_times_as_the_documents_write_them(when: int, offset: str, zulu: str) -> None:
    assert (iso_offset(when), iso_z(when)) == (offset, zulu)


def test_the_same_seed_gives_the_same_names() -> None:
    names = [token(random.Random(7), "abc123", 20) for _ in range(2)]
    assert names[0] == names[1] != token(random.Random(8), "abc123", 20)
    assert len(names[0]) == 20 and set(names[0]) <= set("abc123")


def test_the_systems_randomness_fills_its_range_and_never_repeats() -> None:
    chance = SystemChance()
    with ThreadPoolExecutor(4) as threads:
        drawn = [n for part in threads.map(lambda _: [chance.random() for _ in range(5_000)], range(4)) for n in part]
    assert len(set(drawn)) == len(drawn)
    assert 0 <= min(drawn) < 0.01 and 0.99 < max(drawn) < 1
    assert abs(sum(drawn) / len(drawn) - 0.5) < 0.02  # ten standard deviations


def test_every_symbol_of_an_alphabet_is_drawn() -> None:
    assert set(token(SystemChance(), "ABCDEFGHIJ", 2_000)) == set("ABCDEFGHIJ")
