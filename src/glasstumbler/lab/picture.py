"""One order as two drawings, SVG: whose value the payouts are, and which coins paid them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from html import escape
from typing import Any, NamedTuple

from glasstumbler.lab import links

Truth = Mapping[str, Any]
MOST_SHOWN = 7
"""Boxes of one column; what is over is counted in a last box."""
_WIDTH, _BOX, _HEIGHT, _GAP, _TOP = 356, 106, 38, 12, 26
_COLUMNS = (1, 125, 249)
_ARC = 17
_WIDEST = 12


_ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="6" markerHeight="6" '
    'markerUnits="userSpaceOnUse" orient="auto"><path class="tip" d="M0 0L6 3L0 6z"/></marker></defs>'
)


class Box(NamedTuple):
    name: str
    """What edges call it."""
    title: str
    note: str
    kind: str
    """Class of the style sheet: own, other, float, tx, order."""


class Edge(NamedTuple):
    start: str
    end: str
    weight: float = 0.0
    """0 to 1: width of the line (of a drawing, never of a sum)."""


def choose(truths: Iterable[Truth]) -> Truth:
    """The order whose payouts were funded by most other orders; Ethereum's accounts and channels draw poorly."""
    drawable = [truth for truth in truths if any(_on_utxo_chain(payout) for payout in truth["payouts"])]
    return max(drawable, key=lambda truth: len(_foreign(truth)))


def _on_utxo_chain(payout: Mapping[str, Any]) -> bool:
    return payout["custody"] is not None and payout["custody"]["kind"] == "chain" and payout["coin"] != "eth"


def _foreign(truth: Truth) -> set[str]:
    return {
        origin["order"]
        for payout in truth["payouts"]
        if _on_utxo_chain(payout)
        for origin in payout["custody"]["origins"]
        if origin["order"] not in (None, truth["order"])
    }


def beneficial(truth: Truth) -> str:
    """Deposits -> order -> payouts."""
    deposits = {part["deposit"] for payout in truth["payouts"] for part in payout["beneficial"]}
    first = [_deposit(deposit, "own") for deposit in truth["deposits"] if deposit["outpoint"] in deposits]
    order = Box("order", truth["order"], f"fee {links.brief(links.money(truth['fee']), 5)}", "order")
    payouts = [_payout(payout, "own") for payout in truth["payouts"]]
    edges = [Edge(box.name, "order", 1 / len(first)) for box in first]
    total = sum(Decimal(payout["amount"]) for payout in truth["payouts"])
    edges += [
        Edge("order", box.name, float(Decimal(payout["amount"]) / total))
        for box, payout in zip(payouts, truth["payouts"], strict=True)
    ]
    return _draw("Beneficial truth: whose value", ("Deposits", "Order", "Payouts"), (first, [order], payouts), edges)


def custody(truth: Truth) -> str:
    """Where the coins entered the service -> its transactions -> payouts."""
    origins: dict[str, Box] = {_own(deposit): _deposit(deposit, "own") for deposit in truth["deposits"]}
    txs: dict[str, tuple[int, Box]] = {}
    edges: dict[tuple[str, str], Edge] = {}
    for payout in truth["payouts"]:
        for origin in payout["custody"]["origins"]:
            origins.setdefault(origin["outpoint"], _origin(origin, truth["order"]))
        for hop in payout["custody"]["hops"]:
            box = Box(hop["txid"], links.short(hop["txid"] + ":")[:-1], _tx_note(hop), "tx")
            txs[hop["txid"]] = (max(hop["level"], txs.get(hop["txid"], (0,))[0]), box)
            for spent in hop["inputs"]:
                maker = spent["outpoint"].rpartition(":")[0]
                start = spent["outpoint"] if spent["outpoint"] in origins else maker
                edges[start, hop["txid"]] = Edge(start, hop["txid"])
        edges[payout["custody"]["hops"][0]["txid"], payout["outpoint"]] = Edge(
            payout["custody"]["hops"][0]["txid"], payout["outpoint"]
        )
    payouts = [_payout(payout, "own") for payout in truth["payouts"]]
    # Earlier transactions stand higher, so that coins flow rightwards and down.
    ordered = [box for level, box in sorted(txs.values(), key=lambda item: -item[0])]
    columns = (_fit(origins.values(), "coins"), _fit(ordered, "transactions"), payouts)
    return _draw("Custody truth: which coins", ("Came in", "Service pays", "Payouts"), columns, edges.values())


def _own(deposit: Mapping[str, Any]) -> str:
    return str(deposit["outpoint"])


def _deposit(deposit: Mapping[str, Any], kind: str) -> Box:
    return Box(deposit["outpoint"], links.short(deposit["outpoint"]), _amount(deposit), kind)


def _payout(payout: Mapping[str, Any], kind: str) -> Box:
    return Box(payout["outpoint"], links.short(payout["outpoint"]), _amount(payout), kind)


def _amount(value: Mapping[str, Any]) -> str:
    return links.brief(links.money(value), 7 if value["coin"] in ("eth", "xmr") else 8)


def _origin(origin: Mapping[str, Any], order: str) -> Box:
    kind = "float" if origin["order"] is None else "own" if origin["order"] == order else "other"
    title = origin["order"] or f"{origin['kind']} {links.short(origin['outpoint'])}"
    return Box(origin["outpoint"], title, _amount(origin), kind)


def _tx_note(hop: Mapping[str, Any]) -> str:
    count = len(hop["inputs"])
    return f"spends {count} coin{'s' * (count > 1)}"


def _fit(boxes: Iterable[Box], what: str) -> list[Box]:
    found = list(boxes)
    if len(found) <= MOST_SHOWN:
        return found
    rest = len(found) - MOST_SHOWN + 1
    return [*found[: MOST_SHOWN - 1], Box("", f"and {rest} more", what, "float")]


# -- drawing ----------------------------------------------------------------------------------------------------------


def _draw(title: str, heads: tuple[str, ...], columns: tuple[list[Box], ...], edges: Iterable[Edge]) -> str:
    """A left-to-right drawing in a view 356 units wide; edges whose ends are not shown are left out."""
    tallest = max(len(column) for column in columns)
    height = _TOP + tallest * (_HEIGHT + _GAP)
    places: dict[str, tuple[int, float]] = {}
    boxes: list[str] = []
    for column, x in zip(columns, _COLUMNS, strict=True):
        start = _TOP + (tallest - len(column)) * (_HEIGHT + _GAP) / 2
        for row, box in enumerate(column):
            y = start + row * (_HEIGHT + _GAP)
            places[box.name] = (x, y)
            boxes.append(_box(box, x, y))
    lines = [_line(places[e.start], places[e.end], e.weight) for e in edges if e.start in places and e.end in places]
    labels = [
        f'<text class="head" x="{x + _BOX // 2}" y="14" text-anchor="middle">{escape(head)}</text>'
        for head, x in zip(heads, _COLUMNS, strict=True)
    ]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{_ARROW}{''.join(lines)}{''.join(labels)}{''.join(boxes)}</svg>"
    )


def _box(box: Box, x: int, y: float) -> str:
    middle = x + _BOX // 2
    return (
        f'<g class="box {box.kind}"><title>{escape(box.name or box.title)}</title>'
        f'<rect x="{x}" y="{y:g}" width="{_BOX}" height="{_HEIGHT}" rx="6"/>'
        f'<text x="{middle}" y="{y + 16:g}" text-anchor="middle" class="name">{escape(box.title)}</text>'
        f'<text x="{middle}" y="{y + 30:g}" text-anchor="middle" class="note">{escape(box.note)}</text></g>'
    )


def _line(start: tuple[int, float], end: tuple[int, float], weight: float) -> str:
    """From the right edge of one box to the left edge of another; within a column, an arc on its left."""
    width = 1.5 + weight * _WIDEST
    y1, y2 = start[1] + _HEIGHT / 2, end[1] + _HEIGHT / 2
    if start[0] == end[0]:
        left = start[0] - _ARC
        path = f"M{start[0]} {y1:g}C{left} {y1:g} {left} {y2:g} {start[0]} {y2:g}"
        return f'<path class="edge" marker-end="url(#arrow)" stroke-width="1.5" d="{path}"/>'
    x1, x2 = start[0] + _BOX, end[0]
    bend = (x2 - x1) / 2
    path = f"M{x1} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2} {y2:g}"
    head = "" if weight else ' marker-end="url(#arrow)"'
    return f'<path class="edge"{head} stroke-width="{width:.2f}" d="{path}"/>'
