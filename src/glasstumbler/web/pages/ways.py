"""An order's two truths as graphs for flow.py, and what they teach in words. Pure: out of lab.truth.order_truth.

Beneficial: whose value a payout is. Custody: which coins paid it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from glasstumbler.lab import links
from glasstumbler.web.pages.flow import Edge, Node
from glasstumbler.web.pages.words import plural, span, ticker

Truth = Mapping[str, Any]
Path = tuple[str, ...]
_PLACES: Final = 6
"""Of an amount in a box; the words beside it have all."""
_UNUSED: Final = "not part of what the order was paid with"


class Graph(NamedTuple):
    nodes: list[Node]
    edges: list[Edge]


# -- words ------------------------------------------------------------------------------------------------------------


def amount(value: Mapping[str, Any]) -> str:
    return f"{value['amount']} {ticker(value['coin'])}"


def brief(value: Mapping[str, Any]) -> str:
    return links.brief(amount(value), _PLACES)


def name(order: str) -> str:
    """A long name by its ends."""
    return order if len(order) <= 12 else f"{order[:4]}…{order[-4:]}"


def _listed(names: Sequence[str], most: int = 3) -> str:
    """A, B and 4 more."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))


# -- pages about a thing ----------------------------------------------------------------------------------------------


def tx_path(coin: str, txid: str) -> Path:
    return ("chains", coin, "tx", txid)


def _outpoint_path(coin: str, outpoint: str) -> Path:
    """Of a deposit or payout; a Lightning payment stands on no chain."""
    txid = outpoint.rpartition(":")[0]
    return () if txid == "lightning" else tx_path(coin, txid)


def _glass(truth: Truth, order: str) -> Path:
    return ("glass", truth["service"], order)


# -- whose value ------------------------------------------------------------------------------------------------------


def beneficial(truth: Truth) -> Graph:
    """Deposits -> order -> payouts, the fee, the excess."""
    used = {part["deposit"] for payout in truth["payouts"] for part in payout["beneficial"]}
    paid = any(payout["outpoint"] for payout in truth["payouts"])
    order = Node(
        key="order",
        kind="order",
        title=name(truth["order"]),
        note=f"order, {plural(len(truth['payouts']), 'payout')}",
        said=f"Order {truth['order']}: {truth['state']}, {plural(len(truth['payouts']), 'payout')}",
        path=("orders", truth["service"], truth["order"]),
        first=True,
        least=1,
    )
    nodes, edges = [order], []
    brought = sum((Decimal(deposit["amount"]) for deposit in truth["deposits"]), Decimal(0))
    for deposit in truth["deposits"]:
        counts = deposit["outpoint"] in used or not paid
        nodes.append(_deposit(truth, deposit, "" if counts else _UNUSED, least=2))
        if counts:
            edges.append(Edge(deposit["outpoint"], "order", amount(deposit), _part(deposit, brought)))
    whole = sum((Decimal(payout["amount"] or 0) for payout in truth["payouts"]), Decimal(0))
    for index, payout in enumerate(truth["payouts"]):
        nodes.append(_payout(index, payout))
        edges.append(Edge("order", f"out:{index}", _planned(payout), _part(payout, whole)))
    for what, said in (("fee", "The service's fee"), ("excess", "More than the order takes")):
        if Decimal(truth[what]["amount"]) > 0:
            nodes.append(Node(what, "fee", brief(truth[what]), said.lower(), f"{said}: {amount(truth[what])}"))
            edges.append(Edge("order", what, amount(truth[what])))
    return Graph(nodes, edges)


def _part(value: Mapping[str, Any], whole: Decimal) -> float:
    return float(Decimal(value["amount"] or 0) / whole) if whole else 0.0


def _planned(payout: Mapping[str, Any]) -> str:
    return amount(payout) if payout["amount"] is not None else ""


def _deposit(truth: Truth, deposit: Mapping[str, Any], but: str, least: int = 0) -> Node:
    coin, outpoint = deposit["coin"], deposit["outpoint"]
    state = {"seen": "not yet confirmed", "gone": "gone from its chain"}.get(deposit["state"], "")
    return Node(
        key=outpoint,
        kind="float" if but else "own",
        title=brief(deposit),
        note="deposit, not used" if but else state or "this order's deposit",
        said="; ".join(filter(None, [f"This order's deposit of {amount(deposit)}, output {outpoint}", state, but])),
        path=_outpoint_path(coin, outpoint),
        more=(("deposit address", ("chains", coin, "address", truth["deposit_address"])),),
        first=True,
        least=least,
    )


def _payout(index: int, payout: Mapping[str, Any]) -> Node:
    lightning = payout["address"].startswith("ln")
    coin, made, known = payout["coin"] or "", payout["outpoint"] is not None, payout["amount"] is not None
    said = f"Payout {index + 1}" + (f" of {amount(payout)}" if known else "")
    said += f" to {'a Lightning invoice' if lightning else payout['address']}"
    return Node(
        key=f"out:{index}",
        kind="payout" if made else "planned",
        title=brief(payout) if known else f"Payout {index + 1}",
        note=f"to {'Lightning' if lightning else name(payout['address'])}" if made else f"payout, {payout['state']}",
        said=f"{said}, output {payout['outpoint']}" if made else f"{said}; not yet made ({payout['state']})",
        path=_outpoint_path(coin, payout["outpoint"]) if made else (),
        more=() if lightning or not coin else (("payout address", ("chains", coin, "address", payout["address"])),),
        first=True,
    )


# -- which coins ------------------------------------------------------------------------------------------------------


def custody(truth: Truth) -> Graph:
    """Where coins came in -> the service's transactions -> payouts; and where this order's own coins went."""
    nodes: dict[str, Node] = {}
    edges: dict[tuple[str, str], Edge] = {}

    def line(start: str, end: str, value: Mapping[str, Any] | None = None) -> None:
        edges[start, end] = Edge(start, end, amount(value) if value else "")

    for index, payout in enumerate(truth["payouts"]):
        nodes[f"out:{index}"] = _payout(index, payout)
    for index, payout in enumerate(truth["payouts"]):
        found = payout["custody"]
        if found is None:
            continue
        if found["kind"] == "channel":
            said = f"The service's Lightning channels: {found['note']}"
            nodes["channel"] = Node("channel", "tx", "Lightning channels", "no coin moved", said, first=True)
            line("channel", f"out:{index}", payout)
            continue
        _walked(truth, payout, nodes, line)
        line(f"tx:{found['hops'][0]['txid']}", f"out:{index}", payout)
    for deposit in truth["deposits"]:
        _own(truth, deposit, nodes, line)
    return Graph(list(nodes.values()), list(edges.values()))


def _walked(truth: Truth, payout: Mapping[str, Any], nodes: dict[str, Node], line: Any) -> None:
    """The coins behind one payout."""
    coin, found = payout["coin"], payout["custody"]
    origins = {origin["outpoint"]: origin for origin in found["origins"]}
    for hop in found["hops"]:
        nodes.setdefault(f"tx:{hop['txid']}", _tx(coin, hop))
    for hop in found["hops"]:
        for spent in hop["inputs"]:
            for txid in spent["made_by"]:
                nodes.setdefault(f"tx:{txid}", _beyond(coin, txid))
                line(f"tx:{txid}", f"tx:{hop['txid']}", spent)
            for outpoint in spent["came_in"]:
                nodes.setdefault(outpoint, _origin(truth, origins[outpoint]))
                line(outpoint, f"tx:{hop['txid']}", origins[outpoint])


def _tx(coin: str, hop: Mapping[str, Any]) -> Node:
    whole = sum((Decimal(spent["amount"]) for spent in hop["inputs"]), Decimal(0))
    value = {"amount": format(whole, "f"), "coin": coin}
    coins = plural(len(hop["inputs"]), "account" if coin == "eth" else "coin")
    does = "pays customers" if hop["kind"] == "payout" else "gathers the service's coins"
    said = f"{_TXS[hop['kind']].capitalize()} {hop['txid']}: {does}, spends {coins} of {amount(value)}"
    return _payment(coin, hop, brief(value), said)._replace(first=hop["level"] == 1, weight=_weight(value))


def _beyond(coin: str, txid: str) -> Node:
    said = f"Payment {txid} of the service's: the walk ended before it"
    return _payment(coin, {"txid": txid, "kind": "payout"}, "not walked", said)


_TXS: Final = {"payout": "payment", "sweep": "sweep"}


def _payment(coin: str, tx: Mapping[str, Any], title: str, said: str) -> Node:
    txid = tx["txid"].removeprefix("0x")
    note = f"{_TXS[tx['kind']]} {txid[:4]}…{txid[-4:]}"
    return Node(f"tx:{tx['txid']}", "tx", title, note, said, tx_path(coin, tx["txid"]))


def _origin(truth: Truth, origin: Mapping[str, Any]) -> Node:
    order, outpoint, coin = origin["order"], origin["outpoint"], origin["coin"]
    path = _outpoint_path(coin, outpoint)
    at = f"{amount(origin)}, output {outpoint}" if Decimal(origin["amount"]) else f"output {outpoint}"
    if order is None:
        what = {"float": "the service's float", "stray": "a stray coin"}[origin["kind"]]
        return Node(outpoint, "float", _known(origin), what, f"{what.capitalize()}: {at}", path, weight=_weight(origin))
    if order == truth["order"]:
        said = f"This order's own deposit: {at}"
        return Node(outpoint, "own", _known(origin), "this order's deposit", said, path, first=True)
    return Node(
        outpoint, "other", _known(origin), f"order {name(order)}", f"Deposit of order {order}: {at}",
        _glass(truth, order), (("transaction", path),), weight=_weight(origin),
    )  # fmt: skip


def _known(origin: Mapping[str, Any]) -> str:
    """What several payments brought to an account together is known, what each brought is not."""
    return brief(origin) if Decimal(origin["amount"]) else ticker(origin["coin"])


def _weight(value: Mapping[str, Any]) -> int:
    return int(Decimal(value["amount"]) * 10**8)


def _own(truth: Truth, deposit: Mapping[str, Any], nodes: dict[str, Node], line: Any) -> None:
    """This order's own coin, and to whom it went if not to this order's payouts."""
    spent, outpoint, coin = deposit["spent_in"], deposit["outpoint"], deposit["coin"]
    if outpoint in nodes:
        return
    note = "still in the wallet" if spent is None and deposit["state"] == "credited" else ""
    nodes[outpoint] = _deposit(truth, deposit, "", least=2)._replace(note=note or "this order's deposit")
    if spent is None:
        return
    tx = f"tx:{spent['txid']}"
    said = f"{_TXS[spent['kind']].capitalize()} {spent['txid']} of the service's, which spent this order's deposit"
    went = "spent elsewhere" if spent["kind"] == "payout" else "gathered"
    nodes.setdefault(tx, _payment(coin, spent, went, said)._replace(first=True, least=1))
    line(outpoint, tx, deposit)
    for order in spent["orders"]:
        if order != truth["order"]:
            key = f"to:{order}"
            said = f"A payout of order {order}, made with this order's coin"
            nodes[key] = Node(key, "other", "A payout of", f"order {name(order)}", said, _glass(truth, order))
            line(tx, key)


def count(folded: Sequence[Node]) -> tuple[str, str]:
    """For flow.draw."""
    kinds = Counter("payment" if node.kind == "tx" else "coin" for node in folded)
    return f"{len(folded)} more", ", ".join(plural(many, what) for what, many in sorted(kinds.items(), reverse=True))


# -- what they teach --------------------------------------------------------------------------------------------------


class Lesson(NamedTuple):
    """Of one payout, or of several of which the same is true."""

    payouts: str
    value: str
    """Whose value it is."""
    coins: str
    """Which coins paid it."""
    agree: bool | None
    """Whether a follower of coins would come from this order's deposit to it; None: nothing moved yet."""


def lessons(truth: Truth) -> list[Lesson]:
    found: dict[tuple[str, str, bool | None], list[str]] = {}
    for index, payout in enumerate(truth["payouts"]):
        shown = f" ({amount(payout)})" if payout["amount"] is not None else ""
        found.setdefault(_lesson(truth, payout), []).append(f"{index + 1}{shown}")
    return [
        Lesson(f"Payout{'s' * (len(names) > 1)} {_listed(names, len(names))}", *said) for said, names in found.items()
    ]


def _lesson(truth: Truth, payout: Mapping[str, Any]) -> tuple[str, str, bool | None]:
    if payout["outpoint"] is None:
        due = f"No coin moves before the order is funded and the delay of {span(payout['delay']['asked'])} is over."
        return f"Planned: {payout['state']}.", due, None
    parts = [f"{amount(part)} from the deposit {links.short(part['deposit'], 4)}" for part in payout["beneficial"]]
    value = (
        f"All of it is this order's: {_listed(parts)}."
        if len(parts) > 1
        else "All of it is the value of this order's deposit."
    )
    if payout["custody"]["kind"] == "channel":
        return value, "No coin moved on any chain: it was paid through the service's Lightning channels.", False
    return value, _coins(truth, payout), payout["custody"]["hops_between"] is not None


def _coins(truth: Truth, payout: Mapping[str, Any]) -> str:
    found, hops = payout["custody"], payout["custody"]["hops_between"]
    whose = _whose(truth, found["origins"])
    if hops == 1:
        return f"A coin of this order's own deposit was spent in it. Its coins came from {whose}."
    if hops is not None:
        through = plural(hops - 1, "transaction")
        met = f"A coin of this order's deposit came to it through {through} of the service's."
        return f"{met} Its coins came from {whose}."
    crossed = truth["deposits"] and truth["deposits"][0]["coin"] != payout["coin"]
    never = (
        f"No coin of this deposit went to this payout{', and none could: they are on two chains' if crossed else ''}."
    )
    if found["truncated"]:
        return f"{never[:-1]} as far as {found['most_hops']:,} transactions back. Among its coins: {whose}."
    return f"{never} Its coins came from {whose}."


def _whose(truth: Truth, origins: Iterable[Mapping[str, Any]]) -> str:
    rows = list(origins)
    others = list(dict.fromkeys(o["order"] for o in rows if o["order"] not in (None, truth["order"])))
    named = [f"order{'s' * (len(others) > 1)} {_listed([name(each) for each in others])}"] if others else []
    own = ["this order"] if any(o["order"] == truth["order"] for o in rows) else []
    kinds = [
        name
        for kind, name in (("float", "the service's float"), ("stray", "stray coins"))
        if any(o["kind"] == kind for o in rows)
    ]
    return _listed([*own, *named, *kinds]) or "nowhere that the record names"


def missing(truth: Truth) -> str:
    """What an order that is not completed still lacks; empty: nothing."""
    return _MISSING.get(truth["state"], "")


_MISSING: Final = {
    "created": "The order has no deposit address yet.",
    "awaiting": "No deposit has come in yet, so no coin has moved. The picture shows what is planned.",
    "underpaid": "Less has come in than the order needs. The picture shows what is there, and what is planned.",
    "confirming": "The deposit is on its way: it still needs confirmations. Payouts are planned.",
    "waiting": "The order is funded. Its payouts wait for their delays, so no coin has gone out yet.",
    "paying": "Payouts are being made; those that are not on their chain yet are drawn dashed.",
    "expired": "Nothing was paid out: the order expired before it was funded.",
    "rejected": "Nothing moved: the order was refused.",
    "failed": "A payout could not be sent, so this order stays incomplete.",
}


# -- what others see --------------------------------------------------------------------------------------------------


def observed(truth: Truth) -> list[str]:
    """What the chains show of it to anybody, without the record. A sentence for each output."""
    seen = [_seen(deposit, truth["deposit_address"]) for deposit in truth["deposits"] if deposit["state"] != "gone"]
    return seen + [_seen(payout, payout["address"]) for payout in truth["payouts"] if payout["outpoint"] is not None]


def _seen(output: Mapping[str, Any], address: str) -> str:
    txid, _, place = output["outpoint"].rpartition(":")
    if txid == "lightning":
        return "A Lightning payment: nothing on any chain. Only those whose channels it went through saw it pass."
    block = f"in block {output['height']:,}" if output["height"] is not None else "in no block yet"
    if output["coin"] in _HIDDEN:
        return f"On the chain of {ticker(output['coin'])}, transaction {txid} {block}; it hides amount and address."
    paid = f"output {place} pays {amount(output)} to {address}"
    return f"On the chain of {ticker(output['coin'])}, transaction {txid} {block}: {paid}."


_HIDDEN: Final = ("xmr",)
