"""What one process asks of the chains that another one holds: a table of calls, and their form as bytes.

A call is JSON: [chain, method, arguments, the asker's clock offset]. The reply is [true, result] or
[false, [error, its parts]]. Amounts may exceed 64 bits (wei), which JSON carries; bytes go as base64.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from glasstumbler import errors
from glasstumbler.chains.base import Block, Output, Place, Tx
from glasstumbler.chains.lightning import LightningPayment
from glasstumbler.engine.commands import Route
from glasstumbler.errors import (
    BadAmount,
    ChainError,
    GlassTumblerError,
    NodeAnswer,
    NodeAway,
    NotATestNetwork,
    Rejection,
    TransactionRefused,
)


class Call(NamedTuple):
    arguments: Any
    result: Any
    again: bool = True
    """Whether asking twice does no harm: then a call whose answer was lost is asked again."""


LIGHTNING = "lightning"
_ABOUT: dict[str, Call] = {
    "network": Call(tuple[()], str),
    "node": Call(tuple[()], str),
    "model": Call(tuple[()], bool),
}
_ONCHAIN: dict[str, Call] = _ABOUT | {
    "tip": Call(tuple[()], tuple[int, str]),
    "block_hash": Call(tuple[int], str | None),
    "block": Call(tuple[str], Block),
    "mempool": Call(tuple[()], tuple[str, ...]),
    "transaction": Call(tuple[str], Tx | None),
    "place": Call(tuple[str], Place | None),
    "broadcast": Call(tuple[bytes], str),
    "broadcast_all": Call(tuple[list[bytes]], list[TransactionRefused | None]),
    "mine": Call(tuple[int], int, again=False),
    "pay": Call(tuple[str, int], str, again=False),
    "pay_many": Call(tuple[list[Output]], str, again=False),
    "reorg": Call(tuple[int, list[str]], int, again=False),
    "fresh_address": Call(tuple[str | None], str),
}
_LIGHTNING: dict[str, Call] = _ABOUT | {
    "invoice": Call(tuple[int, int, str], str),
    "check_route": Call(tuple[str, str], Route),
    "pay": Call(tuple[str, str, str], LightningPayment),  # the same payment under the same key
    "paid": Call(tuple[str], LightningPayment | None),
    "sendable": Call(tuple[str], int),
}


def call_of(chain: str, method: str) -> Call:
    """ChainError if chains take no such call."""
    found = (_LIGHTNING if chain == LIGHTNING else _ONCHAIN).get(method)
    if found is None:
        raise ChainError(f"chains take no call {method!r}")
    return found


def do(target: object, method: str, arguments: tuple[Any, ...]) -> Any:
    """Ask a chain, or read one of its plain attributes."""
    found = getattr(target, method)
    return found(*arguments) if callable(found) else found


class Asked(NamedTuple):
    chain: str
    method: str
    arguments: msgspec.Raw
    offset: int


def ask(chain: str, method: str, arguments: tuple[Any, ...], offset: int) -> bytes:
    return _encoder.encode((chain, method, arguments, offset))


def asked(raw: bytes) -> tuple[Asked, tuple[Any, ...]]:
    """ChainError if it is no call of the table."""
    try:
        call = _asked.decode(raw)
        return call, msgspec.json.decode(call.arguments, type=call_of(call.chain, call.method).arguments)
    except msgspec.MsgspecError as error:
        raise ChainError(f"not a call that chains take: {error}") from None


def answer(result: Any) -> bytes:
    return _encoder.encode((True, result))


def refuse(error: GlassTumblerError) -> bytes:
    parts = [getattr(error, part) for part in _parts(type(error))] or [str(error)]
    return _encoder.encode((False, (type(error).__name__, parts)))


def answered(call: Call, raw: bytes) -> Any:
    """The result, or the error that the call raised over there."""
    well, rest = _reply.decode(raw)
    if not well:
        raise _error(*msgspec.json.decode(rest, type=tuple[str, list[Any]]))
    return msgspec.json.decode(rest, type=call.result, dec_hook=_from_parts)


# -- errors on their way ------------------------------------------------------------------------------------------

_PARTS: dict[type[GlassTumblerError], tuple[str, ...]] = {
    TransactionRefused: ("reason", "text"),
    NodeAway: ("kind", "why"),
    NodeAnswer: ("kind", "method", "code", "text"),
    NotATestNetwork: ("what", "seen", "allowed"),
    BadAmount: ("text", "field", "currency"),
    Rejection: ("text", "field"),
    GlassTumblerError: (),
}
"""Attributes that an error is made of again; none: its text."""


def _parts(kind: type[GlassTumblerError]) -> tuple[str, ...]:
    return next(_PARTS[each] for each in kind.__mro__ if each in _PARTS)


def _error(name: str, parts: list[Any]) -> GlassTumblerError:
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, GlassTumblerError)):
        return ChainError(f"{name}: {parts}")
    return kind(*parts)


def _to_parts(value: Any) -> Any:
    if isinstance(value, TransactionRefused):
        return value.reason, value.text
    raise NotImplementedError(type(value).__name__)


def _from_parts(kind: type, value: Any) -> Any:
    if kind is TransactionRefused:
        return TransactionRefused(*value)
    raise NotImplementedError(kind.__name__)


_encoder = msgspec.json.Encoder(enc_hook=_to_parts)
_asked = msgspec.json.Decoder(Asked)
_reply = msgspec.json.Decoder(tuple[bool, msgspec.Raw])
