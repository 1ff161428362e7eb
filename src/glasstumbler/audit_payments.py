"""Our payments as the blocks hold them, each against the orders that it pays.

Of the documents only what is compared is read here. Whole they are read where they are held against the entries.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import msgspec

from glasstumbler.audit_entries import Findings
from glasstumbler.chains.base import Format, Tx
from glasstumbler.engine.payment import PaymentState
from glasstumbler.store.records import Records, Row

MINED = frozenset((PaymentState.MINED, PaymentState.SETTLED))
_CHUNK = 500
"""Values in one IN (...)."""
_WITNESS_20, _WITNESS_SIZE = b"\x00\x14", 22
"""How the script of an address that is a key's hash begins (BIP 141), and its bytes."""
_CHECK, _PROGRAM = 6, 32
"""Characters of such an address at its end: check digits, and before them the hash."""
_BECH32, _BASE_32 = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l", b"0123456789abcdefghijklmnopqrstuv"
_DIGITS = bytes(_BASE_32[_BECH32.index(byte)] if byte in _BECH32 else ord("!") for byte in range(256))
"""From bech32's digits to those that `int` reads."""


class _Carried(msgspec.Struct, gc=False):
    order: int
    output: int
    vout: int


class Paid(msgspec.Struct, gc=False):
    """Of a `Payment`."""

    number: int
    txid: str
    carried: list[_Carried]
    state: PaymentState = PaymentState.STORED
    height: int | None = None


class _Output(msgspec.Struct, gc=False):
    address: str
    amount: int | None = None
    payment: int | None = None


class _Order(msgspec.Struct, gc=False):
    number: int
    outputs: list[_Output]


_paid = msgspec.json.Decoder(Paid).decode
_order = msgspec.json.Decoder(_Order).decode


class Payments:
    """Of one chain."""

    def __init__(self, records: Records, format_: Format, findings: Findings) -> None:
        self._records, self._format, self._findings = records, format_, findings

    def among(self, txids: Collection[str]) -> dict[str, Paid]:
        """Our payments by txid."""
        sql = "SELECT doc FROM payment WHERE coin = ? AND txid IN "
        return {paid.txid: paid for paid in map(_paid, self._documents(sql, (self._format.coin,), list(txids)))}

    def check(self, height: int, mined: Collection[tuple[Paid, Tx]]) -> None:
        """The payments that a block holds: each output is where and what its order wants."""
        numbers = {each.order for paid, _ in mined for each in paid.carried}
        sql = "SELECT doc FROM orders WHERE number IN "
        orders = {order.number: order.outputs for order in map(_order, self._documents(sql, (), sorted(numbers)))}
        for paid, tx in mined:
            if paid.state not in MINED or paid.height != height:
                about = f"payment {paid.number}"
                self._findings.add(
                    f"{about} is {paid.state} at {paid.height}; the chain has it in block {height}", about=about
                )
            for each in paid.carried:
                self._check_carried(paid.number, each, tx, orders)

    def _check_carried(self, number: int, each: _Carried, tx: Tx, orders: Mapping[int, list[_Output]]) -> None:
        about = f"payment {number}"
        if each.order not in orders or each.output >= len(orders[each.order]):
            self._findings.add(f"{about} pays order {each.order}, which is not there", about=about)
            return
        output = orders[each.order][each.output]
        if output.payment != number:
            self._findings.add(
                f"order {each.order}, output {each.output}: {about} and payment {output.payment}", about=about
            )
        key, amount = tx.outputs[each.vout]
        if amount != output.amount or not self._is_at(output.address, key):
            self._findings.add(f"{about} pays another thing than order {each.order} wants", about=about)

    def _is_at(self, address: str, key: bytes) -> bool:
        """Whether the address names this key. Most are of one form, and for those the text is read here: 1 us in place
        of 20. The address's check digits, which the desk looked at, are left out then."""
        if (
            len(key) == _WITNESS_SIZE
            and key[:2] == _WITNESS_20
            and address[-_CHECK - _PROGRAM - 1 : -_CHECK - _PROGRAM] == "q"
        ):
            digits = address[-_CHECK - _PROGRAM : -_CHECK].encode().translate(_DIGITS)
            if len(digits) == _PROGRAM and digits.isalnum() and int(digits, 32) == int.from_bytes(key[2:], "big"):
                return True
        return self._format.key(address) == key

    def _documents(self, sql: str, before: Row, wanted: list[str] | list[int]) -> Iterator[bytes]:
        for start in range(0, len(wanted), _CHUNK):
            part = wanted[start : start + _CHUNK]
            marks = ", ".join("?" * len(part))
            for (document,) in self._records.rows(f"{sql}({marks})", (*before, *part)):
                yield document
