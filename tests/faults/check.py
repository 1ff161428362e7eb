"""History in, verdict out: what was acknowledged is held against what the services say and what the chains show.

A verdict is a list of differences; an empty one is a good one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from glasstumbler.money import text
from tests.faults.customers import Look, Promise
from tests.faults.history import History
from tests.faults.world import World

Name = tuple[str, str]
Looks = Mapping[Name, Look | None]


def promises(history: History) -> list[Promise]:
    return [op.said["promise"] for op in history.of("create", "ok")]


def check(history: History, world: World, looks: Looks, over: bool = False) -> list[str]:
    """`looks`: what the services say of the acknowledged orders now; those that were not asked are left out. `over`:
    the faults are over and time enough has passed, so every order that was funded must be done."""
    checks = (kept, paid_once, payments_kept, *((done,) if over else ()))
    return [difference for each in checks for difference in each(history, world, looks)]


def kept(history: History, world: World, looks: Looks) -> Iterator[str]:
    """Every acknowledged order is there, with the terms that it was acknowledged with."""
    for promise in promises(history):
        if promise.name not in looks:
            continue
        look = looks[promise.name]
        if look is None:
            yield f"{promise.name}: acknowledged, and not there"
            continue
        for name, value in promise.terms.items():
            if look.terms.get(name) != value:
                yield f"{promise.name}: {name} was {value!r}, is {look.terms.get(name)!r}"


def paid_once(history: History, world: World, looks: Looks) -> Iterator[str]:
    """No output is paid twice, none with another amount, and none of an order that nobody funded or acknowledged."""
    for promise in promises(history):
        for (coin, address), amount in promise.outputs.items():
            paid = world.to(coin, address)
            if len(paid) > 1:
                yield f"{promise.name}: {address} was paid {len(paid)} times: {paid}"
            for each in paid:
                if amount is not None and text(each.amount, coin) != text_of(amount):
                    yield f"{promise.name}: {address} was paid {each.amount}, not {amount}"
            if paid and not funded(promise, world):
                yield f"{promise.name}: {address} was paid, but nobody funded the order"
        if promise.invoice is not None and world.lightning.get(promise.invoice, 0) > 1:
            yield f"{promise.name}: the invoice was paid {world.lightning[promise.invoice]} times"
    for op in history.of("create", "unknown", "fail"):
        for coin, address in _addresses(op.what):
            if world.to(coin, address):
                yield f"{op.what['service']}: {address} of an order that was never acknowledged was paid"


def payments_kept(history: History, world: World, looks: Looks) -> Iterator[str]:
    """What the laboratory's faucet said that it paid is in the chain or waits."""
    for op in history.of("pay", "ok"):
        if (op.what["coin"], op.said["txid"]) not in world.txids:
            yield f"{op.what['coin']}: the payment {op.said['txid']} was acknowledged, and is nowhere"


def done(history: History, world: World, looks: Looks) -> Iterator[str]:
    """Every funded order is completed, and each of its outputs is paid and mined."""
    for promise in promises(history):
        look = looks.get(promise.name)
        if look is None or not funded(promise, world):
            continue
        if promise.invoice is not None and look.failed and not world.lightning.get(promise.invoice):
            continue  # the network had no way to carry it: the document's PAYMENT_FAILED
        if not look.done:
            yield f"{promise.name}: funded, and not done: {look}"
        if promise.invoice is not None and world.lightning.get(promise.invoice, 0) != 1:
            yield f"{promise.name}: the invoice was not paid"
        for (coin, address), amount in promise.outputs.items():
            paid = [each for each in world.to(coin, address) if each.height is not None]
            wanted = look.amounts.get((coin, address), amount)
            if len(paid) != 1 or wanted is None or text(paid[0].amount, coin) != text_of(wanted):
                yield f"{promise.name}: {wanted} {coin} to {address} was paid as {world.to(coin, address)}"


def funded(promise: Promise, world: World) -> bool:
    """Whether somebody paid to the order's deposit address: the driver pays all at once."""
    return promise.address is not None and bool(world.to(promise.coin, promise.address))


def text_of(amount: object) -> str:
    shown = f"{amount:f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _addresses(what: Mapping[str, object]) -> Iterator[Name]:
    """Payout addresses of a request for an order."""
    for address in what.get("payouts") or ():  # type: ignore[attr-defined]
        yield "btc", address
    for output in what.get("output") or ():  # type: ignore[attr-defined]
        yield str(what["coin"]), output["address"]
    if target := what.get("btc_dest_address"):
        yield "btc", str(target)
