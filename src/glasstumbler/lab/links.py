"""Links as people read them: one row for each payout, from the laboratory's answer about an order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One payout. Outpoints in full; several deposits are several entries."""

    service: str
    order: str
    deposits: tuple[str, ...]
    deposited: str
    payout: str
    paid: str
    delay: int | None
    """Seconds that really passed."""
    fee: str
    hops: int | None
    """Between the order's own deposit and this payout; None: they never meet."""
    custody: str
    """`chain` or `channel`."""


HEADINGS = ("Service", "Order", "Deposit", "Payout", "Delay", "Fee", "Hops")
"""`Delay` in hours and minutes; `Hops` between the order's own deposit and its payout, in custody."""


def rows(truths: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Of answers of GET /lab/v1/orders/{service}/{order}; payouts that are not on a network are left out."""
    return [_row(truth, payout) for truth in truths for payout in truth["payouts"] if payout["outpoint"] is not None]


def _row(truth: Mapping[str, Any], payout: Mapping[str, Any]) -> Row:
    mine = {part["deposit"] for part in payout["beneficial"]}
    deposits = [deposit for deposit in truth["deposits"] if deposit["outpoint"] in mine]
    return Row(
        service=truth["service"],
        order=truth["order"],
        deposits=tuple(deposit["outpoint"] for deposit in deposits),
        deposited=" + ".join(money(deposit) for deposit in deposits),
        payout=payout["outpoint"],
        paid=money(payout),
        delay=payout["delay"]["passed"],
        fee=money(payout["fee"]),
        hops=payout["custody"]["hops_between"],
        custody=payout["custody"]["kind"],
    )


def money(value: Mapping[str, Any]) -> str:
    return f"{value['amount']} {value['coin']}"


def short(outpoint: str, ends: int = 3) -> str:
    """39a…5b5:1 - the ends of a txid and the whole index; ln:39a…5b5 for a Lightning payment."""
    name, _, index = outpoint.rpartition(":")
    return f"ln:{_ends(index, ends)}" if name == "lightning" else f"{_ends(name, ends)}:{index}"


def _ends(name: str, ends: int) -> str:
    name = name.removeprefix("0x")
    return name if len(name) <= 2 * ends + 1 else f"{name[:ends]}…{name[-ends:]}"


def brief(amount: str, places: int = 8) -> str:
    """ "0.01849762… eth" for "0.018497621768046489 eth"; shorter amounts as they are."""
    number, _, coin = amount.partition(" ")
    whole, point, fraction = number.partition(".")
    cut = "…" if len(fraction) > places else ""
    return f"{whole}{point}{fraction[:places]}{cut} {coin}"


def span(seconds: int | None) -> str:
    """Hours and minutes: 1:00, 0:45."""
    return "–" if seconds is None else f"{seconds // 3600}:{seconds % 3600 // 60:02}"


def hops(row: Row) -> str:
    if row.custody == "channel":
        return "channel"
    return "never" if row.hops is None else str(row.hops)
