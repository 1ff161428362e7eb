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


HEADINGS = ("Service", "Order", "Deposit", "Payout", "Delay", "Fee", "Hops between")


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


def short(outpoint: str, head: int = 6, tail: int = 4) -> str:
    """39a0ed...15b5:1 - the ends of a txid and the whole index."""
    name, _, index = outpoint.rpartition(":")
    if name == "lightning":
        return f"lightning:{_ends(index, head, tail)}"
    return f"{_ends(name, head, tail)}:{index}" if name else _ends(index, head, tail)


def _ends(name: str, head: int, tail: int) -> str:
    head += 2 * name.startswith("0x")
    return name if len(name) <= head + tail + 1 else f"{name[:head]}\u2026{name[-tail:]}"


def span(seconds: int | None) -> str:
    """1 h, 30 min, 1 h 30 min, 5 s."""
    if seconds is None:
        return "\u2013"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{value} {unit}" for value, unit in ((hours, "h"), (minutes, "min"), (rest, "s")) if value]
    return " ".join(parts) or "0"


def hops(row: Row) -> str:
    if row.custody == "channel":
        return "channel"
    return "never meet" if row.hops is None else str(row.hops)
