"""Customers: the same from the same seed on any machine, and with the habits that the scenario says."""

from __future__ import annotations

from hashlib import sha256

import msgspec
import numpy as np
import pytest

from glasstumbler.lab.population import MOST_PAYOUTS, RHYTHM, WHOLE, Funding, Population, population, spread, stream
from glasstumbler.lab.scenario import Scenario, Services, load

ORDERS = 20_000
SEED_1 = "f8a7fb2ae128b2f9"
"""Of five-services, 20,000 orders, seed 1: the first digits of the digest of all arrays."""


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load("five-services")


@pytest.fixture(scope="module")
def people(scenario: Scenario) -> Population:
    return population(scenario, ORDERS, 1)


def digest(people: Population) -> str:
    return sha256(b"".join(column.astype("<i8").tobytes() for column in people)).hexdigest()


def test_the_same_seed_gives_the_same_numbers_on_any_machine(scenario: Scenario, people: Population) -> None:
    assert digest(people)[:16] == SEED_1
    assert digest(population(scenario, ORDERS, 1)) == digest(people)
    assert digest(population(scenario, ORDERS, 2)) != digest(people)


def test_one_habit_changes_no_other(scenario: Scenario, people: Population) -> None:
    habits = msgspec.structs.replace(scenario.customers, reuse=90)
    other = population(msgspec.structs.replace(scenario, customers=habits), ORDERS, 1)
    changed = [name for name in Population._fields if not np.array_equal(getattr(other, name), getattr(people, name))]
    assert changed == ["reuse"]


def test_arrivals_are_in_order_and_follow_the_day(people: Population) -> None:
    assert (np.diff(people.when) >= 0).all()
    assert people.when[0] >= 0 and people.when[-1] < 100 * 86_400
    hours = np.bincount(people.when % 86_400 // 3600, minlength=24) / ORDERS
    assert np.abs(hours - np.array(RHYTHM) / sum(RHYTHM)).max() < 0.01


def test_each_phase_has_its_volume() -> None:
    sweep = load("volume-sweep")
    people = population(sweep, 400, 1)
    for number, (volume, count, seconds) in enumerate(sweep.days(400)):
        mine = people.when[people.volume == volume]
        begin = sum(span for _, _, span in sweep.days(400)[:number])
        assert len(mine) == count
        assert begin <= mine[0] and mine[-1] < begin + seconds


def test_shares_add_up_and_none_is_small(people: Population) -> None:
    assert people.shares.shape == (ORDERS, MOST_PAYOUTS)
    assert (people.shares.sum(axis=1) == WHOLE).all()
    assert ((people.shares > 0).sum(axis=1) == people.payouts).all()
    least = np.where(people.shares > 0, people.shares, WHOLE).min(axis=1)
    assert (least >= WHOLE // (2 * people.payouts)).all()


def test_weights_and_percentages_are_kept(scenario: Scenario, people: Population) -> None:
    weights = np.array(msgspec.structs.astuple(scenario.services))
    assert np.abs(np.bincount(people.service, minlength=5) / ORDERS - weights / weights.sum()).max() < 0.03
    ways = np.array(msgspec.structs.astuple(scenario.funding))
    assert np.abs(np.bincount(people.funding, minlength=5) / ORDERS - ways / ways.sum()).max() < 0.01
    assert abs(people.exact.mean() - 0.5) < 0.02
    swaps = people.service == Services.__struct_fields__.index("xmrto")
    assert not people.lightning[~swaps].any()
    assert abs(people.lightning[swaps].mean() - 0.2) < 0.02
    assert (people.payouts[swaps] == 1).all()


def test_who_pays_short_or_too_much_says_how_much(people: Population) -> None:
    assert (people.part[people.funding == Funding.SHORT] < WHOLE).all()
    assert (people.part[people.funding == Funding.EXCESS] > WHOLE).all()
    assert (people.part[np.isin(people.funding, (Funding.ONE, Funding.SEVERAL, Funding.LATE))] == WHOLE).all()


def test_a_spread_reaches_from_end_to_end_by_doublings() -> None:
    drawn = spread(stream(1, "test"), 10, 80, 30_000)
    assert (drawn.min(), drawn.max()) == (10, 80)
    doublings = np.array([(drawn < 20).mean(), (drawn < 40).mean()])
    assert np.abs(doublings - np.array([1, 2]) / 3).max() < 0.03
    assert (spread(stream(1, "test"), 5, 5, 3) == 5).all()
