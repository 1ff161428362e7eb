"""Which coins pay: the choice is the ground truth, so every rule of it is held here."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.engine.coins import Choice, Coin, Origin, arrange, choose, choose_account
from glasstumbler.engine.policy import Selection
from glasstumbler.errors import NoFunds

DUST = 546


def coin(number: int, amount: int, *codes: int) -> Coin:
    return Coin(number, "any", "btc", "aa", number, amount, "p2wpkh", "deposit", number, Origin.DEPOSIT, codes=codes)


def fee_of(kinds: Sequence[str], change: bool) -> int:
    return 10 + 70 * len(kinds) + (30 if change else 0)


PURSE = [coin(1, 5_000), coin(2, 9_000), coin(3, 1_000), coin(4, 9_000)]
ORDERS = """
oldest    1 2 3 4
largest   2 4 1 3
smallest  3 1 2 4
"""


@pytest.mark.parametrize("row", ORDERS.strip().splitlines())
def test_coins_in_a_policys_order(row: str) -> None:
    selection, *numbers = row.split()
    for shuffled in (PURSE, PURSE[::-1]):
        arranged = arrange(shuffled, Selection(selection), random.Random(1))
        assert [coin.number for coin in arranged] == [int(number) for number in numbers]


def test_a_random_order_is_the_seeds() -> None:
    orders = [[coin.number for coin in arrange(PURSE, Selection.RANDOM, random.Random(seed))] for seed in range(200)]
    assert orders[3] == [coin.number for coin in arrange(PURSE, Selection.RANDOM, random.Random(3))]
    assert {tuple(sorted(order)) for order in orders} == {(1, 2, 3, 4)}
    assert len({tuple(order) for order in orders}) == 24


def chosen(coins: list[Coin], target: int, *codes: int, most: int = 9) -> str:
    try:
        choice = choose(coins, target, fee_of, DUST, most, frozenset(codes))
    except NoFunds:
        return "none"
    return (
        f"{','.join(str(coin.number) for coin in choice.coins)} fee {choice.fee} change {choice.change}"
        f" without {','.join(str(coin.number) for coin in choice.excluded) or '-'}"
    )


CHOICES = """
amounts         target  codes  chosen
5000            1000    -      1 fee 110 change 3890 without -
5000            4344    -      1 fee 110 change 546 without -
5000            4345    -      1 fee 655 change 0 without -
5000            4920    -      1 fee 80 change 0 without -
5000            4921    -      none
5000,700        4921    -      1,2 fee 180 change 599 without -
5000,600        4921    -      1,2 fee 679 change 0 without -
5000,700        5550    -      1,2 fee 150 change 0 without -
5000,700        5551    -      none
5000            5000    -      none
5000,5000       5000    -      1,2 fee 180 change 4820 without -
5000*1,5000     1000    1      2 fee 110 change 3890 without 1
5000*1,5000*12  1000    2      1 fee 110 change 3890 without -
5000*1,5000*12  1000    1      none
5000*12,9000    1000    2      2 fee 110 change 7890 without 1
5000,9000*1     1000    1      1 fee 110 change 3890 without -
5000            1000    3      1 fee 110 change 3890 without -
-               1       -      none
"""


@pytest.mark.parametrize("row", CHOICES.strip().splitlines()[1:])
def test_choice(row: str) -> None:
    """`5000*12`: a coin of 5000 that descends from the codes 1 and 2."""
    amounts, target, codes, wanted = row.split(None, 3)
    purse = []
    for number, part in enumerate(amounts.split(",") if amounts != "-" else [], 1):
        amount, _, marks = part.partition("*")
        purse.append(coin(number, int(amount), *map(int, marks)))
    assert chosen(purse, int(target), *map(int, codes.strip("-"))) == wanted.strip()


def test_the_smallest_makes_room() -> None:
    rising = [coin(number, 100 * number) for number in range(1, 9)]
    assert chosen(rising, 1_300, most=3) == "5,6,7 fee 500 change 0 without -"
    assert chosen(rising, 1_800, most=3) == "6,7,8 fee 300 change 0 without -"
    assert chosen(rising, 1_900, most=3) == "none"


def test_no_more_coins_than_the_policy_allows() -> None:
    many = [coin(number, 1_000) for number in range(1, 11)]
    assert chosen(many, 2_000, most=3).startswith("1,2,3 ")
    assert chosen(many, 2_000, most=2) == "none"
    assert chosen([coin(0, 9_000, 5), *many], 2_000, 5, most=3).startswith("1,2,3 "), "what is passed over counts not"


@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.frozensets(st.integers(1, 4), max_size=3)), max_size=12),
    st.integers(1, 10**9),
    st.frozensets(st.integers(1, 4), max_size=2),
    st.integers(1, 12),
)
def test_any_choice_adds_up(
    purse: list[tuple[int, frozenset[int]]], target: int, codes: frozenset[int], most: int
) -> None:
    coins = [coin(number, amount, *sorted(marks)) for number, (amount, marks) in enumerate(purse, 1)]
    allowed = [one for one in coins if not codes & set(one.codes)]
    try:
        choice = choose(coins, target, fee_of, DUST, most, codes)
    except NoFunds:
        largest = sorted((one.amount for one in allowed), reverse=True)[:most]
        assert sum(largest) < target + fee_of(["p2wpkh"] * len(largest), False)
        for count in range(1, min(most, len(allowed)) + 1):
            assert sum(one.amount for one in allowed[:count]) < target + fee_of(["p2wpkh"] * count, False)
        return
    count = len(choice.coins)
    assert count <= most
    assert choice.coins == tuple(one for one in allowed if one in choice.coins), "in the order given"
    if choice.coins != tuple(allowed[:count]):
        assert count == most, "only where there is no more room is a smaller coin passed over"
        passed = allowed[: allowed.index(choice.coins[-1])]
        smaller = max(one.amount for one in passed if one not in choice.coins)
        assert all(one.amount >= smaller for one in choice.coins[:-1])
    assert sum(one.amount for one in choice.coins) == target + choice.fee + choice.change
    assert choice.change == 0 or choice.change >= DUST
    asked = fee_of(["p2wpkh"] * count, bool(choice.change))
    assert asked <= choice.fee < asked + (1 if choice.change else DUST + 30)
    assert all(codes & set(one.codes) for one in choice.excluded)


ACCOUNTS = """
target  codes  coins  fee  change  without
900     -      2      110  3990    -
890     -      1      110  0       -
4890    -      2      110  0       -
4891    -      3      110  3999    -
500     1      3      110  8390    1,2
8891    -      none
"""


@pytest.mark.parametrize("row", ACCOUNTS.strip().splitlines()[1:])
def test_choice_of_an_account(row: str) -> None:
    """One account pays alone; what is left stays in it, however little."""
    target, codes, number, *rest = row.split()
    accounts = [coin(1, 1_000, 1), coin(2, 5_000, 1, 2), coin(3, 9_000)]
    marks = frozenset(map(int, codes.strip("-")))
    if number == "none":
        with pytest.raises(NoFunds):
            choose_account(accounts, int(target), fee_of, marks)
        return
    fee, change, without = rest
    choice: Choice = choose_account(accounts, int(target), fee_of, marks)
    assert [one.number for one in choice.coins] == [int(number)]
    assert (choice.fee, choice.change) == (int(fee), int(change))
    assert ",".join(str(one.number) for one in choice.excluded) == without.strip("-")
