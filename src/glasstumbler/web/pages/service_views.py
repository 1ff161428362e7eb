"""A service in plain words, and its figures as tables that charts are drawn from. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from glasstumbler.engine.policy import FeeRule, Grouping, Policy, Selection
from glasstumbler.explorer.tally import DELAYS, FEES, ORDERS, REFERRALS, Day
from glasstumbler.money import PLACES, text
from glasstumbler.web.pages.words import money, span, ticker

_GROUPED = {
    Grouping.ORDER: "All payouts of an order that are due together go in one transaction.",
    Grouping.OUTPUT: "Each payout is a transaction of its own.",
    Grouping.BATCH: "What is due together goes in one transaction, whoever it belongs to.",
}
_SELECTED = {
    Selection.OLDEST: "It pays with its oldest coins first.",
    Selection.LARGEST: "It pays with its largest coins first.",
    Selection.SMALLEST: "It pays with its smallest coins first.",
    Selection.RANDOM: "It draws the coins that it pays with at random.",
}
_ACCOUNTS = {
    "coins": "coins on chain",
    "channel": "in Lightning channels",
    "float": "given by the laboratory to begin with",
    "exchange": "the other side of swaps",
    "income:service": "service fees earned",
    "income:network": "network parts taken",
    "expense:miner": "paid to miners and routes",
    "loss:reorganised": "lost to reorganisations",
    ORDERS: "owed to customers",
    REFERRALS: "owed to referrers",
}
_DAY = 86_400


class Cell(NamedTuple):
    """`value` is what is drawn: whole units, as a plain decimal."""

    shown: str
    value: str


class Chart(NamedTuple):
    """`kind`: `days` (points in time) or `bars` (counts between bounds). A row is its label and a cell for each series;
    of `days` the label's value is epoch seconds."""

    name: str
    title: str
    kind: str
    label: str
    series: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


class CoinTerms(NamedTuple):
    coin: str
    deposits: str
    payouts: str
    network: str
    rate: str
    kinds: str


def words(policy: Policy) -> list[str]:
    """How the service behaves, a sentence each."""
    said = [_fee_words(policy), _delay_words(policy), f"An order that nobody pays ends after {span(policy.expiry)}."]
    said += [_GROUPED[policy.grouping], _SELECTED[policy.selection]]
    if policy.sweep_every is not None:
        said.append(
            f"Every {span(policy.sweep_every)} it gathers its deposits into one coin, when {policy.sweep_least} wait."
        )
    if policy.codes:
        said.append(
            "A customer's code keeps them from getting their own earlier coins back, and lowers the fee with use."
        )
    if policy.letters:
        said.append("Each order comes with a signed letter of guarantee.")
    if policy.referral_ppm:
        said.append(f"Whoever referred a customer gets {_percent(policy.referral_ppm)} of the service fee.")
    return said


def _fee_words(policy: Policy) -> str:
    if policy.swap is not None:
        base = text(policy.swap.base_rate, "btc")
        swing = _percent(policy.swap.swing_ppm)
        return f"Its price holds its fee: about {base} BTC for 1 XMR, on a walk of up to {swing} around that."
    of = "what the customer is paid" if policy.fee_rule is FeeRule.ON_PAYOUTS else "what comes in"
    if not policy.choose_fee:
        return f"The fee is {_percent(policy.fee_ppm)} of {of}, and a network part for each output."
    least = min(coin.min_fee_ppm for coin in policy.coins.values())
    most = max(coin.max_fee_ppm for coin in policy.coins.values())
    chosen = f"from {_percent(least)} to {_percent(most)} of {of}"
    return f"The customer chooses the fee, {chosen}; each output gives up a network part."


def _delay_words(policy: Policy) -> str:
    if policy.swap is not None:
        return "Payouts go as soon as the deposit counts."
    return f"Up to {policy.max_outputs} outputs, each delayed by up to {span(policy.max_delay)}."


def _percent(ppm: int) -> str:
    return f"{ppm / 10_000:g} %"


def coins(policy: Policy) -> list[CoinTerms]:
    return [
        CoinTerms(
            coin,
            _between(each.min_deposit, each.max_deposit, coin),
            _between(each.min_payout, each.max_payout, coin),
            money(each.per_output, coin) if each.per_output else "none",
            _rate(each.fee_rate, coin),
            " and ".join(dict.fromkeys((each.deposit_kind, each.change_kind))),
        )
        for coin, each in policy.coins.items()
    ]


def _between(least: int, most: int | None, coin: str) -> str:
    if most is None:
        return f"from {money(least, coin)}" if least else "as the order says"
    return f"{text(least, coin)} to {money(most, coin)}"


def _rate(rate: int, coin: str) -> str:
    if not rate:
        return "none"
    return f"{rate // 10**9:,} gwei per gas" if coin == "eth" else f"{rate} sat/vB"


def balances(sums: Iterable[tuple[str, str, int]]) -> list[tuple[str, str, str]]:
    """(coin, account in words, amount)."""
    return [
        (ticker(coin) + (" (Lightning)" if coin == "msat" else ""), _account(account), money(amount, coin))
        for account, coin, amount in sums
    ]


def _account(name: str) -> str:
    kind, _, why = name.partition(":")
    return _ACCOUNTS.get(name) or (f"owed to nobody: {why}" if kind == "unowed" else name)


# -- charts -----------------------------------------------------------------------------------------------------------


def orders_by_day(made: Mapping[int, int], since: int, today: int) -> Chart:
    days = _span_of(made, since, today)
    rows = tuple((_date(day), Cell(f"{made.get(day, 0):,}", str(made.get(day, 0)))) for day in days)
    return Chart("orders", "Orders made per day", "days", "Day", ("Orders",), rows)


def volume(coin: str, found: Sequence[Day], since: int, today: int) -> Chart:
    by_day = {each.day: each for each in found}
    rows = []
    for day in _span_of(by_day, since, today):
        each = by_day.get(day, Day(day, 0, 0, 0))
        rows.append((_date(day), *(_amount(units, coin) for units in (each.came, each.paid, each.fees))))
    unit = "BTC in Lightning" if coin == "msat" else ticker(coin)
    return Chart(f"volume-{coin}", f"{unit} per day", "days", "Day", ("Came in", "Paid out", "Fees"), tuple(rows))


def delays(counts: Mapping[int, int]) -> Chart:
    return _bars("delays", "From funding to payout", "Within", "Payouts", counts, DELAYS, span)


def fees(counts: Mapping[int, int]) -> Chart:
    return _bars("fees", "Fee, as part of what came in", "Up to", "Payouts", counts, FEES, _percent)


def _bars(
    name: str, title: str, label: str, series: str, counts: Mapping[int, int], bounds: Sequence[int],
    say: Callable[[int], str],
) -> Chart:  # fmt: skip
    labels = [*map(say, bounds), "more"]
    rows = [
        (Cell(said, str(at)), Cell(f"{counts.get(at, 0):,}", str(counts.get(at, 0)))) for at, said in enumerate(labels)
    ]
    return Chart(name, title, "bars", label, (series,), tuple(rows) if any(counts.values()) else ())


def _span_of(days: Iterable[int], since: int, today: int) -> range:
    """From the first day that has something on, at least a week of them; none if nothing has."""
    first = min(days, default=None)
    return range(0) if first is None else range(max(since, min(first, today - 6)), today + 1)


def _date(day: int) -> Cell:
    return Cell(datetime.fromtimestamp(day * _DAY, UTC).strftime("%Y-%m-%d"), str(day * _DAY))


def _amount(units: int, coin: str) -> Cell:
    assert coin in PLACES
    return Cell(text(units, coin), text(units, coin))
