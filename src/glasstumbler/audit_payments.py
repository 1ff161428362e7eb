"""Our payments as the blocks hold them, each against the orders that it pays.

Of the documents only what is compared is read here. Whole they are read where they are held against the entries.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

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
_PROGRAM, _PROGRAM_SIZE = slice(-39, -6), 33
"""Where such an address has its version, which is 0, and the hash: before six check digits."""
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
                self._tell(paid, f"is {paid.state} at {paid.height}; the chain has it in block {height}")
            for each in paid.carried:
                outputs = orders.get(each.order, ())
                if each.output >= len(outputs):
                    self._tell(paid, f"pays order {each.order}, which is not there")
                    continue
                output = outputs[each.output]
                if output.payment != paid.number:
                    self._tell(paid, f"pays order {each.order}, output {each.output}: payment {output.payment} does")
                key, amount = tx.outputs[each.vout]
                if amount != output.amount or not self._is_at(output.address, key):
                    self._tell(paid, f"pays another thing than order {each.order} wants")

    def _tell(self, paid: Paid, text: str) -> None:
        about = f"payment {paid.number}"
        self._findings.add(f"{about} {text}", about=about)

    def _is_at(self, address: str, key: bytes) -> bool:
        """Whether the address names this key. Most are of one form, and for those the text is read here: 1 us in place
        of 20. The address's check digits, which the desk looked at, are left out then."""
        if len(key) == _WITNESS_SIZE and key[:2] == _WITNESS_20:
            digits = address[_PROGRAM].encode().translate(_DIGITS)
            if len(digits) == _PROGRAM_SIZE and digits.isalnum() and int(digits, 32) == int.from_bytes(key[2:], "big"):
                return True
        return self._format.key(address) == key

    def _documents(self, sql: str, before: Row, wanted: list[str] | list[int]) -> Iterator[bytes]:
        for start in range(0, len(wanted), _CHUNK):
            part = wanted[start : start + _CHUNK]
            marks = ", ".join("?" * len(part))
            for (document,) in self._records.rows(f"{sql}({marks})", (*before, *part)):
                yield document
