"""A client of the running laboratory: requests as the documents show them, and the lab's own API."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import httpx

from glasstumbler.dialects import wire
from glasstumbler.errors import GlassTumblerError

_JSON = {"content-type": "application/json", "accept": "application/json"}


class UnexpectedReply(GlassTumblerError):
    """A reply that the documents do not lead one to expect."""


class Hub:
    """`client` has the hub as its base URL."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self.requests = 0

    def get(self, path: str, headers: dict[str, str] | None = None, **query: str) -> Any:
        return self._read(self._client.get(path, params=query or None, headers={**_JSON, **(headers or {})}))

    def post(self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None, status: int = 200) -> Any:
        """Numbers with a point are Decimals, in the body and in the reply."""
        content = wire.encode(body)
        return self._read(self._client.post(path, content=content, headers={**_JSON, **(headers or {})}), status)

    def _read(self, response: httpx.Response, status: int = 200) -> Any:
        self.requests += 1
        if response.status_code != status:
            asked = f"{response.request.method} {response.request.url.path}"
            raise UnexpectedReply(f"{asked} answered {response.status_code}, not {status}: {response.text[:200]}")
        return json.loads(response.text, parse_float=Decimal)

    # -- the laboratory -------------------------------------------------------------------------------------------

    def chains(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/lab/v1/chains")
        return found

    def address(self, coin: str) -> str:
        return str(self.post(f"/lab/v1/chains/{coin}/address", {})["address"])

    def pay(self, coin: str, address: str, amount: str | Decimal) -> str:
        """Txid. `amount` in whole coins."""
        shown = format(amount, "f") if isinstance(amount, Decimal) else amount
        return str(self.post(f"/lab/v1/chains/{coin}/pay", {"address": address, "amount": shown})["txid"])

    def mine(self, coin: str, blocks: int = 1) -> None:
        self.post(f"/lab/v1/chains/{coin}/mine", {"blocks": blocks})

    def invoice(self, amount: str) -> str:
        return str(self.post("/lab/v1/lightning/invoice", {"amount": amount})["ln_invoice"])

    def advance(self, seconds: int) -> None:
        self.post("/lab/v1/clock/advance", {"seconds": seconds})

    def truth(self, service: str, order: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/lab/v1/orders/{service}/{order}")
        return found
