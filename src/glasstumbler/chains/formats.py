"""The formats of btc, ltc and bch: addresses, keys, fees and signed transactions, without any node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from glasstumbler.chains import addresses, signing
from glasstumbler.chains import script as scripts
from glasstumbler.chains.base import Output, Signed, Spend
from glasstumbler.chains.keys import public_key
from glasstumbler.chains.tx import WITNESS_SCALE, RawIn, RawTx, compact_size, identify
from glasstumbler.errors import TransactionRefused
from glasstumbler.money import ceil_div

_VERSION: Final = 2
_FRAME = 8 * WITNESS_SCALE
"""Weight of version and locktime."""
_MARKER = 2
"""Weight of marker and flag, where any input has a witness."""

_OUTPOINT_AND_SEQUENCE = 40
_ECDSA_MOST = 72
"""Bytes of a low-S signature with its hash type: at most 71 of DER and one."""
_KEY_WITNESS = 1 + 1 + _ECDSA_MOST + 1 + 33

_INPUT_WEIGHT: Final = {
    "p2pkh": (_OUTPOINT_AND_SEQUENCE + 1 + 1 + _ECDSA_MOST + 1 + 33) * WITNESS_SCALE,
    "p2sh-p2wpkh": (_OUTPOINT_AND_SEQUENCE + 1 + 23) * WITNESS_SCALE + _KEY_WITNESS,
    "p2wpkh": (_OUTPOINT_AND_SEQUENCE + 1) * WITNESS_SCALE + _KEY_WITNESS,
    "p2tr": (_OUTPOINT_AND_SEQUENCE + 1) * WITNESS_SCALE + 1 + 1 + 64,
}
"""The most that an input of each kind weighs (BIP 141); signatures are up to two bytes shorter."""


class UtxoFormat:
    """One coin of the Bitcoin family; see chains/base.py's Format. `coin` is btc, ltc or bch."""

    one_to_one = False

    def __init__(self, coin: str, kinds: tuple[str, ...], dust: int, replaceable: bool) -> None:
        self.coin, self.kinds, self.dust, self.replaceable = coin, kinds, dust, replaceable

    def key(self, address: str) -> bytes:
        """The scriptPubKey; BadAddress, NotATestNetwork."""
        return addresses.key(self.coin, address)

    def address(self, key: bytes) -> str:
        """BadAddress for a scriptPubKey that has no address."""
        return addresses.address(self.coin, key)

    def own_key(self, kind: str, secret: bytes) -> bytes:
        """The scriptPubKey of this private key; p2tr commits to no script (BIP 86)."""
        self._known(kind)
        return scripts.key_script(kind, public_key(secret))

    def fee(self, kinds: Sequence[str], keys: Sequence[bytes], rate: int) -> int:
        """Never under what `rate` base units per vB ask for: at most one vB over per ECDSA input."""
        weight = _FRAME + (len(compact_size(len(kinds))) + len(compact_size(len(keys)))) * WITNESS_SCALE
        weight += sum(_INPUT_WEIGHT[kind] for kind in kinds)
        weight += sum(8 + len(compact_size(len(key))) + len(key) for key in keys) * WITNESS_SCALE
        bare = sum(kind == "p2pkh" for kind in kinds)
        if bare < len(kinds):
            weight += _MARKER + bare
        return ceil_div(weight, WITNESS_SCALE) * rate

    def sign(self, spends: Sequence[Spend], outputs: Sequence[Output], sequence: int = 0xFFFFFFFD) -> Signed:
        """Inputs and outputs stay in the order given. TransactionRefused("funds") if the outputs take more
        than there is; ValueError for a kind that the coin does not have."""
        fee = sum(spend.amount for spend in spends) - sum(output.amount for output in outputs)
        if fee < 0:
            raise TransactionRefused("funds", f"the outputs take {-fee} more than the inputs bring")
        bare = RawTx(_VERSION, tuple([RawIn(spend.outpoint, b"", sequence) for spend in spends]), tuple(outputs))
        digests = signing.Digests(bare)
        spent = self._spent(spends)
        signed = bare._replace(
            inputs=tuple(
                [
                    _SIGN[self._known(spend.kind)](digests, index, spend, spent, self.coin)
                    for index, spend in enumerate(spends)
                ]
            )
        )
        return Signed(*identify(signed), fee)

    def _spent(self, spends: Sequence[Spend]) -> tuple[Output, ...]:
        """What the inputs spend: only BIP 341 signs it."""
        if all(spend.kind != "p2tr" for spend in spends):
            return ()
        return tuple([Output(self.own_key(spend.kind, spend.secret), spend.amount) for spend in spends])

    def _known(self, kind: str) -> str:
        if kind not in self.kinds:
            raise ValueError(f"{self.coin} has no addresses of kind {kind!r}")
        return kind


_Sign = Callable[[signing.Digests, int, Spend, Sequence[Output], str], RawIn]


def _sign_p2pkh(digests: signing.Digests, index: int, spend: Spend, _: Sequence[Output], coin: str) -> RawIn:
    public = public_key(spend.secret)
    code = scripts.p2pkh_code(scripts.hash160(public))
    hash_type = signing.HASH_TYPE[coin]
    if hash_type & signing.FORKID:
        digest = digests.segwit(index, code, spend.amount, hash_type)
    else:
        digest = digests.original(index, code)
    signature = signing.ecdsa(spend.secret, digest) + bytes((hash_type,))
    pushes = bytes((len(signature),)) + signature + bytes((len(public),)) + public
    return digests.tx.inputs[index]._replace(script=pushes)


def _sign_p2wpkh(digests: signing.Digests, index: int, spend: Spend, _: Sequence[Output], coin: str) -> RawIn:
    public = public_key(spend.secret)
    hash_type = signing.HASH_TYPE[coin]
    code = scripts.p2pkh_code(scripts.hash160(public))
    digest = digests.segwit(index, code, spend.amount, hash_type)
    signature = signing.ecdsa(spend.secret, digest) + bytes((hash_type,))
    return digests.tx.inputs[index]._replace(witness=(signature, public))


def _sign_p2sh(digests: signing.Digests, index: int, spend: Spend, spent: Sequence[Output], coin: str) -> RawIn:
    redeem = scripts.redeem_script(public_key(spend.secret))
    signed = _sign_p2wpkh(digests, index, spend, spent, coin)
    return signed._replace(script=bytes((len(redeem),)) + redeem)


def _sign_p2tr(digests: signing.Digests, index: int, spend: Spend, spent: Sequence[Output], _: str) -> RawIn:
    signature = signing.schnorr(spend.secret, digests.taproot(index, spent))
    return digests.tx.inputs[index]._replace(witness=(signature,))


_SIGN: Final[Mapping[str, _Sign]] = {
    "p2pkh": _sign_p2pkh,
    "p2wpkh": _sign_p2wpkh,
    "p2sh-p2wpkh": _sign_p2sh,
    "p2tr": _sign_p2tr,
}

_SEGWIT_KINDS: Final = ("p2wpkh", "p2tr", "p2pkh", "p2sh-p2wpkh")

FORMATS: Final[Mapping[str, UtxoFormat]] = MappingProxyType(
    {
        # The largest of each node's dust limits (that of p2pkh), so that any address can be paid it.
        "btc": UtxoFormat("btc", _SEGWIT_KINDS, 546, True),
        "ltc": UtxoFormat("ltc", _SEGWIT_KINDS, 5460, False),
        "bch": UtxoFormat("bch", ("p2pkh",), 546, False),
    }
)
