"""The faucet's wallet, which monero-wallet-rpc keeps: it makes ring transactions, and we send them.

The wallet server is given no chance to send anything anywhere before the node that the guard has looked at took it: a
transaction is made unsent, sent by us, and only then handed back to be noted as sent.

A regtest node shows addresses in the main network's form. They are made here (`wire_address`), spoken to the two
servers, and seen nowhere else: no reply, log or error text of ours holds one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from glasstumbler.chains.keccak import keccak256
from glasstumbler.chains.monero_keys import (
    INTEGRATED,
    PRIMARY,
    SUBADDRESS,
    Address,
    encode_address,
    keys_of,
    subaddress_key,
)
from glasstumbler.errors import BadAddress, ChainError, NodeAnswer, NodeAway, NoFunds, SettingsError, TransactionRefused
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.monerod import json_rpc
from glasstumbler.nodes.rpc import Ask, Rpc

MOST_OUTPUTS: Final = 15
"""Of a transaction, its change not counted (BULLETPROOF_PLUS_MAX_OUTPUTS)."""

_KIND: Final = "monero-wallet-rpc"
_TIMEOUT: Final = 300.0
# The test form's network bytes lie this far from those of the form that the node speaks.
_WIRE: Final = {PRIMARY: PRIMARY - 6, INTEGRATED: INTEGRATED - 6, SUBADDRESS: SUBADDRESS + 6}
_ADDRESS = re.compile("[1-9A-HJ-NP-Za-km-z]{90,}")
_NO_FUNDS: Final = (-16, -17, -19, -37)
_WRONG_ADDRESS, _NOTHING, _NO_DAEMON = -2, -46, -38


class Made(NamedTuple):
    """`note` is the wallet's own, to be handed back once the transaction is sent."""

    raw: bytes
    note: str


def wire_address(address: Address) -> str:
    """The same keys in the node's form."""
    key = address.public_spend + address.public_view
    return encode_address(_WIRE[address.network_byte], key, address.payment_id)


class FaucetWallet:
    """One caller at a time."""

    def __init__(self, endpoint: Endpoint, seed: bytes) -> None:
        """`endpoint.extra["wallet"]` is the wallet server's URL; SettingsError without it."""
        url = endpoint.extra.get("wallet")
        if not url:
            raise SettingsError("a Monero node wants the URL of its wallet server too (monero-wallet-rpc)")
        self._keys = keys_of(seed)
        self._key = subaddress_key(seed, 0)
        self.wire_address = encode_address(_WIRE[PRIMARY], self._key)
        self._file = "glasstumbler-" + keccak256(self._key).hex()[:16]
        self._rpc = Rpc(Endpoint(_KIND, json_rpc(url)), self._open, _TIMEOUT)
        self._seen: str | None = None

    def look(self, height: int, top: str) -> None:
        """Take in the chain up to this block. ChainError if the wallet server looks at another one."""
        if top == self._seen:
            return
        self._ask("refresh")
        reached = self._ask("get_height")["height"] - 1
        if reached < height:
            raise ChainError(f"the wallet server has seen {reached} of {height} blocks: does it look at another node?")
        self._seen = top

    def make(self, payments: Sequence[tuple[str, int]]) -> Made:
        """A transaction, not sent, that pays these wire addresses. NoFunds, BadAddress, TransactionRefused."""
        destinations = [{"address": address, "amount": amount} for address, amount in payments]
        made = self._ask(
            "transfer", destinations=destinations, do_not_relay=True, get_tx_hex=True, get_tx_metadata=True
        )
        return Made(bytes.fromhex(made["tx_blob"]), made["tx_metadata"])

    def sent(self, made: Made) -> None:
        self._ask("relay_tx", hex=made.note)

    def put_aside(self, images: Collection[bytes]) -> None:
        """Its coins with these key images are spent by what waits, which a wallet forgets in a reorganisation and
        when it was killed."""
        for image in images:
            self._ask("freeze", key_image=image.hex())

    def take_up(self, images: Collection[bytes]) -> None:
        """What would have spent them is gone for good. Coins of others are passed over."""
        for image in images:
            try:
                self._ask("thaw", key_image=image.hex())
            except NodeAnswer:
                continue
        self._seen = None

    def close(self) -> None:
        self._rpc.close()

    def _open(self, ask: Ask) -> None:
        """Whenever a connection is made: our wallet, opened or made, or the one that is open already."""
        self._seen = None
        try:
            if ask("get_address")["address"] == self.wire_address:
                return
        except NodeAnswer:
            pass  # none is open
        try:
            ask("open_wallet", filename=self._file, password="")
        except NodeAnswer:
            self._generate(ask)

    def _generate(self, ask: Ask) -> None:
        try:
            ask(
                "generate_from_keys",
                filename=self._file,
                address=self.wire_address,
                spendkey=self._keys.spend.hex(),
                viewkey=self._keys.view.hex(),
                password="",
                restore_height=0,
            )
        except NodeAnswer as error:
            raise _told(error) from None

    def _ask(self, method: str, **named: Any) -> Any:
        try:
            return self._rpc.call(method, **named)
        except NodeAnswer as error:
            raise _told(error) from None


def _told(error: NodeAnswer) -> Exception:
    if error.code in _NO_FUNDS:
        return NoFunds(
            "the faucet has too little unlocked: mine some blocks (coinbases unlock after 60, change after 10)"
        )
    if error.code == _WRONG_ADDRESS:
        return BadAddress("no Monero address that can be paid")
    if error.code == _NOTHING:
        return TransactionRefused("dust", "an output of nothing")
    if error.code == _NO_DAEMON:
        return NodeAway(_KIND, "it does not reach its own node")
    return NodeAnswer(_KIND, error.method, error.code, _ADDRESS.sub("(an address)", error.text))
