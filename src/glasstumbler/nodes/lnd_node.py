"""One LND as the laboratory uses it: what it says in REST becomes plain values. Amounts are millisatoshi."""

from __future__ import annotations

import base64
from typing import Any, Final, NamedTuple

from glasstumbler.chains import guard
from glasstumbler.chains.bolt11 import Invoice
from glasstumbler.errors import ChainError, InvoiceExpired, NodeAnswer, NodeAway, NoRoute
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.rest import Rest

_SAT: Final = 1000
_PAY_SECONDS: Final = 20
"""For how long LND looks for ways. What is on its way by then stays on its way."""
_SMALL: Final = 1_000_000
"""Up to this amount a fee may be as much as the amount, above it a twentieth: what LND's own QueryRoutes allows."""
_FEE_SHARE: Final = 20
_NO_WAY: Final = ("unable to find a path", "insufficient local balance", "empty payment session", "self-payment")
_KNOWN: Final = ("in transition", "already paid", "already exists")
_UNKNOWN: Final = ("payment isn't initiated", "unable to locate")
_WHY: Final = {
    "FAILURE_REASON_TIMEOUT": "no way carried it in time",
    "FAILURE_REASON_NO_ROUTE": "no way had the liquidity",
    "FAILURE_REASON_INCORRECT_PAYMENT_DETAILS": "the payee knows no such payment hash",
    "FAILURE_REASON_INSUFFICIENT_BALANCE": "no way had the liquidity",
    "FAILURE_REASON_CANCELED": "it was cancelled at the node",
}
_AT_THE_PAYEE: Final = frozenset(
    f"FAILURE_REASON_{reason}" for reason in ("INCORRECT_PAYMENT_DETAILS", "ERROR", "CANCELED")
)


class Channel(NamedTuple):
    """An open channel of a node: what it can send, whether the peer is there."""

    number: int
    peer: str
    local: int
    active: bool


class Attempt(NamedTuple):
    """What became of a payment. `failed` tells why it went no further, `final` that it will not be tried again: it has
    left the node, or the payee refused it. Hashes, preimage and public keys in hex, time in epoch seconds."""

    preimage: str
    amount: int
    fee: int
    route: tuple[str, ...]
    time: int
    failed: str
    final: bool
    moving: bool


class LndNode:
    """Safe from any thread. NodeAway, NodeAnswer and RefusedNode from every call."""

    def __init__(self, alias: str, endpoint: Endpoint) -> None:
        self.alias, self.peer_address = alias, endpoint.extra.get("peers", "")
        self._kind = endpoint.kind
        self._seen: dict[str, Any] = {}
        self._rest = Rest(endpoint, self._check)

    def info(self) -> dict[str, Any]:
        """What it says of itself now."""
        self._seen = self._rest.get("/v1/getinfo")
        return self._seen

    @property
    def key(self) -> str:
        return str(self._known()["identity_pubkey"])

    @property
    def version(self) -> str:
        return str(self._known().get("version", "")).split()[0]

    def balance(self) -> int:
        """What it holds on its side of its open channels."""
        return int(self._rest.get("/v1/balance/channels")["local_balance"]["msat"])

    def channels(self) -> list[Channel]:
        """The fullest first. Balances as LND lists them: whole satoshis."""
        rows = self._rest.get("/v1/channels")["channels"]
        found = [
            Channel(int(row["chan_id"]), row["remote_pubkey"], int(row["local_balance"]) * _SAT, bool(row["active"]))
            for row in rows
        ]
        return sorted(found, key=lambda channel: -channel.local)

    def ask(self, path: str, **query: Any) -> Any:
        return self._rest.get(path, **query)

    def tell(self, path: str, **body: Any) -> Any:
        return self._rest.post(path, **body)

    # Invoices

    def invoice(self, amount: int, expiry: int, description: str) -> str:
        said = self._rest.post("/v1/invoices", value_msat=str(amount), expiry=str(expiry), memo=description)
        return str(said["payment_request"])

    def invoice_state(self, payment_hash: str) -> str | None:
        """OPEN, ACCEPTED, SETTLED or CANCELED; None if it never issued one for this hash."""
        try:
            return str(self._rest.get(f"/v1/invoice/{payment_hash}")["state"])
        except NodeAnswer as error:
            if any(part in error.text for part in _UNKNOWN):
                return None
            raise

    # Routes

    def way(self, asked: Invoice, first: Channel, remembering: bool) -> tuple[frozenset[int], float] | None:
        """Channels of the best way that begins with this one, and its chance; None if there is none. `remembering`:
        by what LND keeps of past payments, which rules out for a while a channel that failed one."""
        assert asked.payee is not None
        body = {
            "amt_msat": str(asked.amount_msat or 0),
            "final_cltv_delta": asked.min_final_cltv,
            "outgoing_chan_id": str(first.number),
            "use_mission_control": remembering,
            "route_hints": [{"hop_hints": [_hint(hop) for hop in hops]} for hops in asked.hints],
            "dest_features": [bit for bit in range(asked.features.bit_length()) if asked.features >> bit & 1],
        }
        try:
            said = self._rest.post(f"/v1/graph/routes/{asked.payee.hex()}/0", **body)
        except NodeAnswer as error:
            if any(part in error.text for part in _NO_WAY):
                return None
            raise
        hops = said["routes"][0]["hops"]
        return frozenset(int(hop["chan_id"]) for hop in hops), float(said["success_prob"])

    # Payments

    def payment(self, payment_hash: str) -> Attempt | None:
        """What it knows of a payment of its own; None if it never began one."""
        name = base64.urlsafe_b64encode(bytes.fromhex(payment_hash)).decode()
        try:
            return self._attempt(self._rest.first("GET", f"/v2/router/track/{name}"))
        except NodeAnswer as error:
            if any(part in error.text for part in _UNKNOWN):
                return None
            raise

    def send(self, invoice: str, asked: Invoice) -> Attempt:
        """Pay, and wait until it is paid or has failed. Sending twice pays once: LND knows a payment by its hash.
        NoRoute, InvoiceExpired."""
        amount = asked.amount_msat or 0
        body = {
            "payment_request": invoice,
            "timeout_seconds": _PAY_SECONDS,
            "fee_limit_msat": str(amount if amount <= _SMALL else amount // _FEE_SHARE),
            "max_parts": 1,
            "no_inflight_updates": True,
        }
        try:
            return self._attempt(self._rest.first("POST", "/v2/router/send", body))
        except NodeAnswer as error:
            if any(part in error.text for part in _KNOWN):
                known = self.payment(asked.payment_hash.hex())
                if known is not None:
                    return known
            if any(part in error.text for part in _NO_WAY):
                raise NoRoute(error.text) from None
            if "invoice expired" in error.text:
                raise InvoiceExpired("this invoice has expired") from None
            raise

    def close(self) -> None:
        self._rest.close()

    # Inside.

    def _check(self, info: Any) -> None:
        """The guard's look, at every connection."""
        for chain in info.get("chains") or [{}]:
            guard.check_node("lightning", network=str(chain.get("network", "none")))
        self._seen = info

    def _known(self) -> dict[str, Any]:
        return self._seen or self.info()

    def _attempt(self, said: Any) -> Attempt:
        if "status" not in said:
            raise NodeAway(self._kind, "the answer tells of no payment")
        htlcs = said.get("htlcs") or []
        reason = str(said.get("failure_reason") or "")
        left = any(int((htlc.get("failure") or {}).get("failure_source_index") or 0) > 0 for htlc in htlcs)
        paid = [htlc for htlc in htlcs if htlc.get("status") == "SUCCEEDED"]
        failed = said["status"] == "FAILED"
        if said["status"] == "SUCCEEDED" and not paid:
            raise ChainError("LND keeps no way of a payment that it made")
        return Attempt(
            preimage=str(said.get("payment_preimage") or ""),
            amount=int(said.get("value_msat") or 0),
            fee=int(said.get("fee_msat") or 0),
            route=tuple(hop["pub_key"] for hop in paid[0]["route"]["hops"]) if paid else (),
            time=int(paid[0]["resolve_time_ns"]) // 10**9 if paid else 0,
            failed=_WHY.get(reason, reason) if failed else "",
            final=failed and (left or reason in _AT_THE_PAYEE),
            moving=not failed and said["status"] != "SUCCEEDED",
        )


def _hint(hop: Any) -> dict[str, Any]:
    return {
        "node_id": hop.node.hex(),
        "chan_id": str(hop.short_channel_id),
        "fee_base_msat": hop.base_msat,
        "fee_proportional_millionths": hop.ppm,
        "cltv_expiry_delta": hop.cltv_delta,
    }
