"""What nodes relay though consensus would allow more (Bitcoin Core's policy, and what its forks kept of it): the forms
of outputs, dust, and the forms of signatures, keys and scripts in inputs. No signature is checked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from glasstumbler.chains import script as scripts
from glasstumbler.chains.base import Output, Tx
from glasstumbler.chains.keys import ORDER
from glasstumbler.chains.networks import NetworkParameters
from glasstumbler.chains.signing import ECDSA_TYPES, FORKID
from glasstumbler.chains.tx import RawIn, RawTx, compact_size
from glasstumbler.errors import TransactionRefused

_PAYABLE = {True: frozenset({"p2pkh", "p2sh", "p2wpkh", "p2wsh", "p2tr"}), False: frozenset({"p2pkh", "p2sh"})}
"""Kinds of output, with and without segwit."""
_SPENDABLE = frozenset({"p2pkh", "p2sh", "p2wpkh", "p2tr"})
"""Kinds that are spent here; p2wsh can only be paid to."""
_NESTED = b"\x16\x00\x14"
"""How a scriptSig begins that reveals a p2wpkh program: the only p2sh that is spent here."""
_RETURN: Final = 0x6A
_SPENDING, _WITNESS_SPENDING = 148, 67
"""Virtual bytes of the input that spends an output: what makes it dust is three times the fee for both."""
_ANNEX: Final = 0x50
_FORKID_TYPES: Final = frozenset(kind | FORKID for kind in ECDSA_TYPES)


def check_outputs(tx: Tx, network: NetworkParameters) -> None:
    """TransactionRefused for an output of another kind, for dust, and for more than one that only holds data."""
    data = 0
    for key, amount in tx.outputs:
        if key[:1] == bytes((_RETURN,)):
            data += 1
            if len(key) > network.most_data or not _pushes_only(key, 1):
                raise TransactionRefused("other", "an OP_RETURN output that is too long or no data")
            continue
        found = scripts.classify(key)
        if found is None or found[0] not in _PAYABLE[network.witness]:
            raise TransactionRefused("other", "an output of no standard kind")
        if amount < (least := dust(key, network.dust_rate)):
            raise TransactionRefused("dust", f"an output of {amount} is below {least}")
    if data > 1:
        raise TransactionRefused("other", "more than one OP_RETURN output")


def dust(key: bytes, rate: int) -> int:
    """The least that an output to this scriptPubKey may hold (Core: GetDustThreshold)."""
    found = scripts.classify(key)
    program = found is not None and found[0] in ("p2wpkh", "p2wsh", "p2tr")
    size = 8 + len(compact_size(len(key))) + len(key)
    return (size + (_WITNESS_SPENDING if program else _SPENDING)) * rate


def check_inputs(tx: RawTx, spent: Sequence[Output], network: NetworkParameters) -> None:
    """TransactionRefused where an input is of a kind that is not spent here (of those that are, the signature
    operations can be told without running them: at most one an input), or has a form that nodes do not relay."""
    types = ECDSA_TYPES if network.witness else _FORKID_TYPES
    for index, (item, output) in enumerate(zip(tx.inputs, spent, strict=True)):
        found = scripts.classify(output.key)
        if found is None or found[0] not in _SPENDABLE:
            raise TransactionRefused("other", "spends an output of no kind that is spent here")
        kind = found[0]
        if kind == "p2sh" and not (item.script.startswith(_NESTED) and len(item.script) == 23):
            raise TransactionRefused("other", "spends a p2sh output that holds no p2wpkh program")
        if not _FORMS[kind](item, types):
            raise TransactionRefused("bad-signature", f"input {index} is not in the standard form of {kind}")


def _p2pkh_form(item: RawIn, types: frozenset[int]) -> bool:
    """Exactly two pushes, as short as can be."""
    script = item.script
    if not script or script[0] > 75:
        return False
    at = 1 + script[0]
    public = script[at + 1 :]
    return _is_key(public) and script[at] == len(public) and _ecdsa_form(script[1:at], types)


def _witness_form(item: RawIn, types: frozenset[int]) -> bool:
    if len(item.witness) != 2:
        return False
    signature, public = item.witness
    return _ecdsa_form(signature, types) and len(public) == 33


def _taproot_form(item: RawIn, _: frozenset[int]) -> bool:
    """No annex. Whether the rest satisfies the output is not a matter of form."""
    return not (len(item.witness) > 1 and item.witness[-1][:1] == bytes((_ANNEX,)))


_FORMS = {"p2pkh": _p2pkh_form, "p2wpkh": _witness_form, "p2sh": _witness_form, "p2tr": _taproot_form}


def _is_key(public: bytes) -> bool:
    return (len(public), public[:1]) in _KEY_HEADS


_KEY_HEADS: Final = frozenset({(33, b"\x02"), (33, b"\x03"), (65, b"\x04")})


def _ecdsa_form(signature: bytes, types: frozenset[int]) -> bool:
    """Strict DER (BIP 66) with a known hash type behind it, and the lower of the two values of s (BIP 146)."""
    if not 9 <= len(signature) <= 73 or signature[-1] not in types:
        return False
    if signature[0] != 0x30 or signature[1] != len(signature) - 3:
        return False
    r, at = _number(signature, 2)
    s, end = _number(signature, at)
    return r is not None and s is not None and end == len(signature) - 1 and 0 < s <= ORDER // 2


def _number(signature: bytes, at: int) -> tuple[int | None, int]:
    """A positive DER integer without needless zeros, and the offset behind it."""
    if signature[at : at + 1] != b"\2" or at + 2 >= len(signature):
        return None, at
    end = at + 2 + signature[at + 1]
    body = signature[at + 2 : end]
    needless = len(body) > 1 and body[0] == 0 and not body[1] & 0x80
    if not body or end >= len(signature) or body[0] & 0x80 or needless:
        return None, at
    return int.from_bytes(body, "big"), end


def _pushes_only(script: bytes, at: int) -> bool:
    """Nothing but data from `at` to the end (Core: IsPushOnly)."""
    while at < len(script):
        code = script[at]
        at += 1
        if code > 0x60:
            return False
        wide = {0x4C: 1, 0x4D: 2, 0x4E: 4}.get(code, 0)
        if at + wide > len(script):
            return False
        at += (int.from_bytes(script[at : at + wide], "little") + wide) if wide else (code if code < 0x4C else 0)
    return at == len(script)
