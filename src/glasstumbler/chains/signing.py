"""What is signed, signing, and judging signatures, for the standard kinds of input.

| kind | digest | signature |
|---|---|---|
| p2pkh on btc and ltc | the original one, hash type ALL only | ECDSA |
| p2pkh on bch | BIP 143's, hash type with FORKID (the replay-protected sighash specification) | ECDSA |
| p2wpkh, p2sh-p2wpkh | BIP 143 | ECDSA |
| p2tr, key path | BIP 341 | Schnorr (BIP 340) |

ECDSA nonces follow RFC 6979 and Schnorr's auxiliary bytes are zero: the same key and message give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final

from coincurve import PrivateKey, PublicKey, PublicKeyXOnly
from coincurve.context import GLOBAL_CONTEXT

from glasstumbler.chains import script as scripts
from glasstumbler.chains.base import Output
from glasstumbler.chains.keys import SECRET_SIZE
from glasstumbler.chains.tx import (
    RawTx,
    compact_size,
    double_sha256,
    outpoint_bytes,
    output_bytes,
    serialise,
)
from glasstumbler.errors import TransactionRefused

DEFAULT: Final = 0
ALL: Final = 1
NONE: Final = 2
SINGLE: Final = 3
FORKID: Final = 0x40
ANYONE_CAN_PAY: Final = 0x80

HASH_TYPE: Final = {"btc": ALL, "ltc": ALL, "bch": ALL | FORKID}
"""That we sign with; p2tr signs with DEFAULT."""

ECDSA_TYPES: Final = frozenset(
    {ALL, NONE, SINGLE, ALL | ANYONE_CAN_PAY, NONE | ANYONE_CAN_PAY, SINGLE | ANYONE_CAN_PAY}
)
_TAPROOT_TYPES = ECDSA_TYPES | {DEFAULT}
_NOTHING = bytes(32)
_NO_AUX = bytes(32)


class Digests:
    """The message digests of one transaction's inputs, sharing what the inputs have in common."""

    def __init__(self, tx: RawTx) -> None:
        self.tx = tx
        self._prevouts = b"".join([outpoint_bytes(item.outpoint) for item in tx.inputs])
        self._sequences = b"".join([item.sequence.to_bytes(4, "little") for item in tx.inputs])
        self._outputs = output_bytes(tx.outputs)
        self._frame = tx.version.to_bytes(4, "little"), tx.locktime.to_bytes(4, "little")
        self._shared: tuple[bytes, bytes, bytes] | None = None
        self._taproot: tuple[Sequence[Output], bytes] | None = None

    def original(self, index: int, code: bytes) -> bytes:
        """The digest from before BIP 143, hash type ALL. `code` is the script that is spent."""
        inputs = tuple(item._replace(script=code if at == index else b"") for at, item in enumerate(self.tx.inputs))
        bare = serialise(self.tx._replace(inputs=inputs), with_witness=False)
        return double_sha256(bare + ALL.to_bytes(4, "little"))

    def segwit(self, index: int, code: bytes, amount: int, hash_type: int = ALL) -> bytes:
        """BIP 143, and with FORKID in `hash_type` Bitcoin Cash's. `code` is the scriptCode without its size."""
        prevouts, sequences, outputs = self._shared_hashes()
        base = hash_type & 0x1F
        if hash_type & ANYONE_CAN_PAY:
            prevouts = _NOTHING
        if hash_type & ANYONE_CAN_PAY or base in (NONE, SINGLE):
            sequences = _NOTHING
        if base in (NONE, SINGLE):
            matched = base == SINGLE and index < len(self.tx.outputs)
            outputs = double_sha256(self._output(index)) if matched else _NOTHING
        version, locktime = self._frame
        item = self.tx.inputs[index]
        return double_sha256(
            b"".join(
                (
                    version,
                    prevouts,
                    sequences,
                    outpoint_bytes(item.outpoint),
                    compact_size(len(code)),
                    code,
                    amount.to_bytes(8, "little"),
                    item.sequence.to_bytes(4, "little"),
                    outputs,
                    locktime,
                    hash_type.to_bytes(4, "little"),
                )
            )
        )

    def taproot(self, index: int, spent: Sequence[Output], hash_type: int = DEFAULT) -> bytes:
        """BIP 341, key path without annex. `spent` are the outputs of all inputs, in their order.
        ValueError for SINGLE without an output at this index."""
        version, locktime = self._frame
        item = self.tx.inputs[index]
        parts = [b"\0", bytes((hash_type,)), version, locktime]
        if not hash_type & ANYONE_CAN_PAY:
            parts.append(self._taproot_inputs(spent))
        if hash_type & 3 in (DEFAULT, ALL):
            parts.append(sha256(self._outputs).digest())
        parts.append(b"\0")
        if hash_type & ANYONE_CAN_PAY:
            parts.append(outpoint_bytes(item.outpoint) + _spent_bytes(spent[index]))
            parts.append(item.sequence.to_bytes(4, "little"))
        else:
            parts.append(index.to_bytes(4, "little"))
        if hash_type & 3 == SINGLE:
            if index >= len(self.tx.outputs):
                raise ValueError("no output at this index")
            parts.append(sha256(self._output(index)).digest())
        return scripts.tagged_hash("TapSighash", b"".join(parts))

    def _shared_hashes(self) -> tuple[bytes, bytes, bytes]:
        if self._shared is None:
            self._shared = (
                double_sha256(self._prevouts),
                double_sha256(self._sequences),
                double_sha256(self._outputs),
            )
        return self._shared

    def _taproot_inputs(self, spent: Sequence[Output]) -> bytes:
        if self._taproot is None or self._taproot[0] is not spent:
            amounts = b"".join([amount.to_bytes(8, "little") for _, amount in spent])
            keys = b"".join([compact_size(len(key)) + key for key, _ in spent])
            parts = (self._prevouts, amounts, keys, self._sequences)
            self._taproot = spent, b"".join([sha256(part).digest() for part in parts])
        return self._taproot[1]

    def _output(self, index: int) -> bytes:
        return output_bytes(self.tx.outputs[index : index + 1])


def _spent_bytes(output: Output) -> bytes:
    return output_bytes((output,))


class _Signer(PrivateKey):
    """A private key that signs ECDSA: the library's own works out two public keys that this does not need."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_SIZE:  # the C library reads that many, whatever it is given
            raise ValueError("a private key has 32 bytes")
        self.secret = secret
        self.context = GLOBAL_CONTEXT


@lru_cache(maxsize=1 << 12)
def _taproot_signer(secret: bytes) -> PrivateKey:
    return PrivateKey(scripts.taproot_secret(secret))


def ecdsa(secret: bytes, digest: bytes) -> bytes:
    """Deterministic (RFC 6979), low-S, DER."""
    return _Signer(secret).sign(digest, None)


def schnorr(secret: bytes, digest: bytes) -> bytes:
    """BIP 340 signature of 64 bytes under the BIP 86 output key of `secret`."""
    return _taproot_signer(secret).sign_schnorr(digest, _NO_AUX)


def verify(tx: RawTx, spent: Sequence[Output], coin: str) -> None:
    """TransactionRefused("bad-signature", ...) unless every input is rightly signed.

    `spent` are the outputs that the inputs spend, in their order. Only the kinds of the table above are known,
    and of Bitcoin Cash's signatures only ECDSA: anything else is refused as well.
    """
    digests = Digests(tx)
    for index in range(len(tx.inputs)):
        _verify_input(digests, index, spent, coin)


def verify_input(tx: RawTx, index: int, spent: Sequence[Output], coin: str) -> None:
    """As `verify`, for one input."""
    _verify_input(Digests(tx), index, spent, coin)


def _verify_input(digests: Digests, index: int, spent: Sequence[Output], coin: str) -> None:
    found = scripts.classify(spent[index].key)
    check = _CHECKS[coin].get(found[0]) if found else None
    if found is None or check is None:
        raise _refused(index, "spends an output whose kind is not known here")
    if not check(digests, index, spent, found[1]):
        raise _refused(index, f"does not satisfy its {found[0]} output")


Check = Callable[[Digests, int, Sequence[Output], bytes], bool]


def _check_p2pkh(digests: Digests, index: int, spent: Sequence[Output], key_hash: bytes) -> bool:
    item = digests.tx.inputs[index]
    pushes = _two_pushes(item.script)
    if pushes is None or item.witness or scripts.hash160(pushes[1]) != key_hash:
        return False
    signature, public = pushes
    if signature[-1] != ALL:
        return False
    return _ecdsa_fits(signature, public, digests.original(index, spent[index].key))


def _check_p2pkh_forkid(digests: Digests, index: int, spent: Sequence[Output], key_hash: bytes) -> bool:
    item = digests.tx.inputs[index]
    pushes = _two_pushes(item.script)
    if pushes is None or item.witness or scripts.hash160(pushes[1]) != key_hash:
        return False
    signature, public = pushes
    hash_type = signature[-1]
    if not hash_type & FORKID or hash_type ^ FORKID not in ECDSA_TYPES:
        return False
    key, amount = spent[index]
    return _ecdsa_fits(signature, public, digests.segwit(index, key, amount, hash_type))


def _check_p2wpkh(digests: Digests, index: int, spent: Sequence[Output], key_hash: bytes) -> bool:
    return not digests.tx.inputs[index].script and _witness_fits(digests, index, spent, key_hash)


def _check_p2sh(digests: Digests, index: int, spent: Sequence[Output], script_hash: bytes) -> bool:
    """Only p2sh-p2wpkh: the script is one push of the witness program."""
    script = digests.tx.inputs[index].script
    redeem = script[1:]
    found = scripts.classify(redeem)
    if script[:1] != bytes((len(redeem),)) or scripts.hash160(redeem) != script_hash:
        return False
    return found is not None and found[0] == "p2wpkh" and _witness_fits(digests, index, spent, found[1])


def _witness_fits(digests: Digests, index: int, spent: Sequence[Output], key_hash: bytes) -> bool:
    witness = digests.tx.inputs[index].witness
    if len(witness) != 2 or len(witness[1]) != 33 or scripts.hash160(witness[1]) != key_hash:
        return False
    signature, public = witness
    if not signature or signature[-1] not in ECDSA_TYPES:
        return False
    code = scripts.p2pkh_code(key_hash)
    return _ecdsa_fits(signature, public, digests.segwit(index, code, spent[index].amount, signature[-1]))


def _check_p2tr(digests: Digests, index: int, spent: Sequence[Output], output_key: bytes) -> bool:
    item = digests.tx.inputs[index]
    if item.script or len(item.witness) != 1 or len(item.witness[0]) not in (64, 65):
        return False
    signature, tail = item.witness[0][:64], item.witness[0][64:]
    hash_type = tail[0] if tail else DEFAULT
    # A written hash type must not be the one that stands for "not written" (BIP 341).
    if hash_type not in _TAPROOT_TYPES or tail == b"\0":
        return False
    try:
        digest = digests.taproot(index, spent, hash_type)
        return bool(PublicKeyXOnly(output_key).verify(signature, digest))
    except ValueError:
        return False


_CHECKS: Final[dict[str, dict[str, Check]]] = {
    "btc": {"p2pkh": _check_p2pkh, "p2wpkh": _check_p2wpkh, "p2sh": _check_p2sh, "p2tr": _check_p2tr},
    "ltc": {"p2pkh": _check_p2pkh, "p2wpkh": _check_p2wpkh, "p2sh": _check_p2sh, "p2tr": _check_p2tr},
    "bch": {"p2pkh": _check_p2pkh_forkid},
}


def _two_pushes(script: bytes) -> tuple[bytes, bytes] | None:
    """(signature with hash type, public key) of a p2pkh input's script; None if it is anything else."""
    if not script or not 9 <= script[0] <= 73 or len(script) < script[0] + 2:
        return None
    at = 1 + script[0]
    public = script[at + 1 :]
    if script[at] != len(public) or len(public) not in (33, 65):
        return None
    return script[1:at], public


def _ecdsa_fits(signature: bytes, public: bytes, digest: bytes) -> bool:
    if public[0] not in _PUBLIC_HEADS[len(public)]:
        return False
    try:
        return bool(PublicKey(public).verify(signature[:-1], digest, None))
    except ValueError:
        return False


_PUBLIC_HEADS: Final = {33: (2, 3), 65: (4,)}


def _refused(index: int, text: str) -> TransactionRefused:
    return TransactionRefused("bad-signature", f"input {index} {text}")
