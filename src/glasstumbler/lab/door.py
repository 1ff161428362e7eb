"""How a simulated customer meets a service: what they want, what they are told. `Direct` asks the service's own object,
without HTTP; tests hold it against a door that speaks HTTP."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple, Protocol

from glasstumbler.engine import commands as ask
from glasstumbler.engine.order import Order
from glasstumbler.house import House
from glasstumbler.money import text
from glasstumbler.vault import key_row


class Mix(NamedTuple):
    """An order of a mixer. Amounts and shares are by address; amounts in base units, shares per mille."""

    service: str
    coin: str
    addresses: tuple[str, ...]
    amounts: tuple[int, ...]
    """Empty: shares of what will come in; where the service knows no shares, equal parts."""
    shares: tuple[int, ...]
    delays: tuple[int, ...]
    """Seconds."""
    fee_ppm: int | None
    code: str | None


class Swap(NamedTuple):
    """An order of the swap: sat to an address, or an invoice."""

    service: str
    sat: int
    address: str | None
    invoice: str | None


class Opened(NamedTuple):
    """What the customer is told."""

    id: str
    address: str
    quote: int | None
    """Base units that are asked for; None: the customer chooses."""
    code: str | None


class Door(Protocol):
    def mix(self, wanted: Mix) -> Opened:
        """A Rejection or an Unavailable if the service refuses."""
        ...

    def swap(self, wanted: Swap) -> Opened: ...
    def accept_partial(self, service: str, order: str) -> None: ...
    def close(self) -> None: ...


class Direct:
    def __init__(self, house: House) -> None:
        self._house, self._runner = house, asyncio.Runner()
        self._accounts = {
            slug: key_row(slug, house.vault.first_key(slug), 0).id if service.keyed else ""
            for slug, service in house.services.items()
        }

    def mix(self, wanted: Mix) -> Opened:
        equal = not wanted.amounts and not wanted.shares
        return self._open(
            wanted.service, ask.OpenMix(
                wanted.coin, wishes(wanted), bool(wanted.amounts), wanted.fee_ppm, wanted.code, equal_split=equal
            ),
        )  # fmt: skip

    def swap(self, wanted: Swap) -> Opened:
        amount = None if wanted.invoice else text(wanted.sat, "btc")
        return self._open(wanted.service, ask.OpenSwap(amount, "BTC", wanted.address, wanted.invoice))

    def accept_partial(self, service: str, order: str) -> None:
        self._ask(service, ask.AcceptPartial(order))

    def close(self) -> None:
        self._runner.close()

    def _open(self, service: str, command: ask.Command) -> Opened:
        order: Order = self._ask(service, command).order
        return Opened(order.id, order.address, order.terms.quote, order.code)

    def _ask(self, service: str, command: ask.Command) -> Any:
        return self._runner.run(self._house.services[service].answer(command, self._accounts[service]))


def wishes(wanted: Mix) -> tuple[ask.Wish, ...]:
    return tuple(
        ask.Wish(
            address,
            share=wanted.shares[n] if wanted.shares else None,
            amount=text(wanted.amounts[n], wanted.coin) if wanted.amounts else None,
            delay=wanted.delays[n],
        )
        for n, address in enumerate(wanted.addresses)
    )
