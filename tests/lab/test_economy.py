"""The background economy: every unit is conserved, every coin is spent once, every kind of traffic happens."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from glasstumbler.lab.economy import OUTSIDE, Background, Kind, Made
from glasstumbler.lab.scenario import Economy

SETTINGS = Economy(
    people=80, payments_a_day=600, exchanges=2, withdrawal_batches_a_day=24, consolidate_at=25, payrolls=2,
    peel_chains=2, coinjoins_a_day=24,
)  # fmt: skip
GUESTS, BLOCKS, BLOCK = 20, 300, 600


class Run:
    """An economy, and every transaction that it made."""

    def __init__(self, settings: Economy = SETTINGS, seed: int = 1) -> None:
        self.economy = Background(settings, GUESTS, seed, "btc", BLOCK)
        owner, amount = self.economy.grants()
        self.granted = int(amount.sum())
        self.values = dict(enumerate(amount.tolist()))
        self.owners = dict(enumerate(owner.tolist()))
        self.economy.receive(owner, self.economy.fresh(owner), amount)
        self.economy.mined()
        self.made: list[Made] = []

    def go(self, first: int, last: int) -> None:
        for block in range(first, last):
            spendable = set(self.economy.number.tolist())
            made = self.economy.step(block, block * BLOCK)
            paid = self.economy.pay(block % GUESTS, 2_000_000, block, 0)
            for each in (*made, *([paid] if paid else [])):
                assert set(each.inputs.tolist()) <= spendable, "it spends what no block has"
                self.note(each)
            self.economy.mined()

    def note(self, made: Made) -> None:
        self.made.append(made)
        known = made.output != OUTSIDE
        self.values |= dict(zip(made.output[known].tolist(), made.amount[known].tolist(), strict=True))
        self.owners |= dict(zip(made.output[known].tolist(), made.owner[known].tolist(), strict=True))


@pytest.fixture(scope="module")
def run() -> Run:
    made = Run()
    made.go(1, BLOCKS)
    return made


def each(run: Run) -> list[tuple[Made, int]]:
    return [(made, number) for made in run.made for number in range(len(made))]


def inputs(made: Made, number: int) -> list[int]:
    return list(made.inputs[made.first_input[number] : made.first_input[number + 1]].tolist())


def outputs(made: Made, number: int) -> slice:
    return slice(int(made.first_output[number]), int(made.first_output[number + 1]))


def test_every_transaction_conserves_and_pays_a_fee(run: Run) -> None:
    for made, number in each(run):
        brought = sum(run.values[coin] for coin in inputs(made, number))
        paid = int(made.amount[outputs(made, number)].sum())
        assert brought == paid + int(made.fee[number])
        assert made.fee[number] > 0
        assert (made.amount[outputs(made, number)] > 546).all()


def test_every_coin_is_spent_once_and_the_whole_adds_up(run: Run) -> None:
    spent = Counter(coin for made, number in each(run) for coin in inputs(made, number))
    assert spent and max(spent.values()) == 1
    fees = sum(int(made.fee.sum()) for made in run.made)
    outside = sum(int(made.amount[made.output == OUTSIDE].sum()) for made in run.made)
    assert outside
    assert int(run.economy.amount.sum()) == run.granted - fees - outside


def test_one_owner_pays_but_in_a_coinjoin(run: Run) -> None:
    for made, number in each(run):
        owners = {run.owners[coin] for coin in inputs(made, number)}
        assert (len(owners) > 1) == (made.kind[number] == Kind.COINJOIN)


def test_every_kind_of_traffic_happens(run: Run) -> None:
    kinds = Counter(Kind(made.kind[number]) for made, number in each(run))
    assert set(kinds) == set(Kind) - {Kind.GRANT}
    assert 900 < kinds[Kind.PAYMENT] < 1400  # 600 a day for two days and two hours, less who had nothing left
    assert kinds[Kind.PAYROLL] <= 2 * 3 + 2


def test_a_coinjoin_has_as_many_equal_outputs_as_people(run: Run) -> None:
    joins = [(made, number) for made, number in each(run) if made.kind[number] == Kind.COINJOIN]
    for made, number in joins:
        amounts = Counter(made.amount[outputs(made, number)].tolist())
        assert amounts[10_000_000] >= len(inputs(made, number)) == SETTINGS.coinjoin_people
        addresses = made.address[outputs(made, number)]
        assert len(set(addresses.tolist())) == len(addresses)


def test_a_peel_chain_goes_on_with_its_change(run: Run) -> None:
    peels = [(made, number) for made, number in each(run) if made.kind[number] == Kind.PEEL]
    change = {
        int(coin)
        for made, number in peels
        for coin, owner in zip(made.output[outputs(made, number)], made.owner[outputs(made, number)], strict=True)
        if owner in run.economy.peelers
    }
    followed = sum(bool(change & set(inputs(made, number))) for made, number in peels)
    assert followed > 0.9 * len(peels)


def test_an_address_has_one_owner_and_homes_are_used_again(run: Run) -> None:
    owner_of = np.concatenate(run.economy.owner_of)
    used = Counter[int]()
    for made in run.made:
        inside = made.owner != OUTSIDE
        assert (owner_of[made.address[inside]] == made.owner[inside]).all()
        used.update(made.address[inside].tolist())
    assert max(used.values()) > 5


def test_restored_it_goes_on_as_it_would_have(run: Run) -> None:
    first, second = Run(), Run()
    first.go(1, 40)
    state = {name: array.copy() for name, array in first.economy.state().items()}
    second.economy.restore(state)
    second.values, second.owners = dict(first.values), dict(first.owners)
    first.made.clear()
    first.go(40, 80)
    second.go(40, 80)
    for one, other in zip(first.made, second.made, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_who_has_nothing_pays_nothing() -> None:
    economy = Background(SETTINGS, GUESTS, 1, "btc", BLOCK)
    assert economy.pay(0, 1_000_000, 1, 0) is None
    assert not sum(len(made) for made in economy.step(1, BLOCK))


def test_an_economy_without_anything_but_people() -> None:
    bare = Economy(people=5, exchanges=0, payrolls=0, peel_chains=0)
    run = Run(bare)
    run.go(1, 30)
    assert {Kind(made.kind[n]) for made, n in each(run)} == {Kind.PAYMENT, Kind.DEPOSIT}
