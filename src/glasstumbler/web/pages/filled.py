"""The contracts' examples with values that work in this laboratory: fresh test addresses, its key, its newest order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from glasstumbler.errors import BadAddress, NotATestNetwork, UnknownEndpoint
from glasstumbler.house import House
from glasstumbler.money import parse
from glasstumbler.payment_url import FIXTURE
from glasstumbler.store.records import Records
from glasstumbler.vault import key_row
from glasstumbler.web.pages.contracts import Operation

_INVOICE: Final = "lnbcrt"
_INVOICE_BTC, _INVOICE_SECONDS = "0.001", 3600
_NAMES: Final = ("order_id", "id", "uuid")
"""Fields that name an order."""
IN_BODY: Final = ("api_key", "bm_code")


class Filler:
    """Values for one service's examples. One foreign address becomes one fresh address, wherever it stands."""

    def __init__(self, house: House, slug: str, hub: str) -> None:
        self._house, self._service, self._hub = house, house.services[slug], hub
        self.key = house.vault.first_key(slug) if self._service.keyed else ""
        self._fresh: dict[str, str] = {}
        account = key_row(slug, self.key, 0).id if self.key else ""
        self._order, self._code = house.store.read(lambda records: _newest(records, slug, account))

    @property
    def has_order(self) -> bool:
        return bool(self._order)

    def body(self, operation: Operation) -> Any:
        return self._fill(operation.body)

    def parameters(self, operation: Operation) -> dict[str, str]:
        return {field.name: str(self._fill(field.value, field.name) or "") for field in operation.parameters}

    def _fill(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {self._text(key): self._fill(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._fill(inner) for inner in value]
        if isinstance(value, str):
            return self._named(name, value)
        return value

    def _named(self, name: str, value: str) -> str:
        if name in _NAMES:
            return self._order or value
        if name == "api_key":
            return self.key
        if name == "bm_code":
            return self._code
        return self._text(value)

    def _text(self, value: str) -> str:
        if value not in self._fresh:
            self._fresh[value] = self._made(value)
        return self._fresh[value]

    def _made(self, value: str) -> str:
        if FIXTURE in value:
            address, amount = self._text(_between(value, "address=", "&")), _between(value, "amount=", "&")
            return f"{self._hub}{FIXTURE}?{urlencode({'address': address, 'amount': amount})}"
        if value.startswith(_INVOICE):
            network = self._house.lightning
            return network.invoice(parse(_INVOICE_BTC, "msat"), _INVOICE_SECONDS) if network else value
        chain = next((chain for chain in self._house.chains.values() if _is(chain.format.key, value)), None)
        return chain.fresh_address() if chain else value


def _newest(records: Records, slug: str, account: str) -> tuple[str, str]:
    """The newest order of the lab's own key, and the newest code; "" where there is none."""
    orders = records.orders_of(slug, account, 1, 0)
    rows = list(records.rows("SELECT code FROM code WHERE service = ? ORDER BY number DESC LIMIT 1", (slug,)))
    return orders[0].id if orders else "", str(rows[0][0]) if rows else ""


def _is(key: Callable[[str], bytes], value: str) -> bool:
    try:
        key(value)
    except (BadAddress, NotATestNetwork):
        return False
    return True


def _between(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0]


def target(operation: Operation, given: Mapping[str, str]) -> str:
    """Path and query, with parameters as they were given; UnknownEndpoint for one that a path cannot do without."""
    path, query = operation.path, []
    for field in operation.parameters:
        value = given.get(field.name, "")
        if field.where == "path":
            if not value:
                raise UnknownEndpoint(f"{field.name} is part of the path and may not be empty")
            path = path.replace(f"{{{field.name}}}", quote(value, safe=""))
        elif value:
            query.append((field.name, value))
    return f"{path}?{urlencode(query)}" if query else path
