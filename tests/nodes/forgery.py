"""Random transactions for one coin, right and wrong, from a seed: same seed and same answers, same bytes.

A `Purse` knows the coins that can be spent; `FAMILIES` names the families of transactions. A family takes the purse and
gives raw bytes; the purse is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random

from glasstumbler.chains import script, signing
from glasstumbler.chains.base import Format, Outpoint, Output, Spend
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.keys import ORDER, public_key
from glasstumbler.chains.tx import RawIn, RawTx, compact_size, serialise, txid, vsize

FINAL, LOCKED, OPT_IN = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
SECRETS = [bytes([n]) * 32 for n in range(1, 5)]
MULTISIG = b"\x51" + b"".join(b"\x21" + public_key(secret) for secret in SECRETS[:2]) + b"\x52\xae"
"""One signature of two keys."""


@dataclass
class Purse:
    coin: str
    random: Random
    without: tuple[str, ...] = ()
    """Address kinds that the judge does not know."""
    height: int = 0
    time: int = 0
    """Median time past of the tip."""
    confirmed: list[Spend] = field(default_factory=list)
    waiting: list[Spend] = field(default_factory=list)
    """Outputs of transactions in the mempool, not spent there."""
    spent: list[Spend] = field(default_factory=list)
    """Coins that a waiting transaction spends."""
    gone: list[Spend] = field(default_factory=list)
    """Spent in a block."""
    young: list[tuple[int, Spend]] = field(default_factory=list)
    """Coinbases and their heights."""
    heights: dict[Outpoint, int] = field(default_factory=dict)
    """Of the blocks of the confirmed ones."""
    used: set[Outpoint] = field(default_factory=set)
    """Coins to be left alone."""

    @property
    def format(self) -> Format:
        return FORMATS[self.coin]

    @property
    def segwit(self) -> bool:
        return self.coin != "bch"

    def take(self, most: int = 3, deep: bool = True) -> list[Spend]:
        """Some coins, mostly confirmed ones. They stay in the purse."""
        count = self.random.choice([1, 1, 1, 2, most])
        chosen = self.random.sample(self.confirmed, min(count, len(self.confirmed)))
        if deep and self.waiting and self.random.random() < 0.3:
            chosen.append(self.random.choice(self.waiting))
        return chosen

    @cached_property
    def kinds(self) -> dict[bytes, tuple[str, bytes]]:
        """scriptPubKey -> kind and secret, of all that is ours."""
        kinds = [kind for kind in self.format.kinds if kind not in self.without]
        return {self.format.own_key(kind, secret): (kind, secret) for kind in kinds for secret in SECRETS}

    def sign(self, tx: RawTx, spends: Sequence[Spend], hash_type: int | None = None) -> RawTx:
        return sign(self.coin, tx, spends, hash_type)

    def key(self) -> tuple[bytes, str, bytes]:
        """(scriptPubKey, kind, secret) of one of ours."""
        key = self.random.choice(list(self.kinds))
        return key, *self.kinds[key]


Family = Callable[[Purse], bytes]


# Making right ones


def outputs(purse: Purse, total: int, count: int) -> list[Output]:
    parts = [total // count] * (count - 1)
    return [Output(purse.key()[0], amount) for amount in (*parts, total - sum(parts))]


def draft(
    purse: Purse, spends: Sequence[Spend], rate: float = 0, sequence: int = OPT_IN, count: int = 0, version: int = 2
) -> RawTx:
    """Not signed. `rate` in sat/vB; 0 for a random one."""
    rate = rate or purse.random.uniform(1.6, 12)
    total = sum(spend.amount for spend in spends)
    most = max(1, min(4, total // 20_000))
    outs = outputs(purse, total, count or purse.random.randint(1, most))
    bare = RawTx(version, tuple(RawIn(spend.outpoint, b"", sequence) for spend in spends), tuple(outs))
    return less(bare, int(vsize(purse.sign(bare, spends)) * rate) + 1)


def less(tx: RawTx, fee: int) -> RawTx:
    """The fee is taken from the largest output."""
    at = max(range(len(tx.outputs)), key=lambda n: tx.outputs[n].amount)
    changed = [o._replace(amount=max(0, o.amount - fee)) if n == at else o for n, o in enumerate(tx.outputs)]
    return tx._replace(outputs=tuple(changed))


def sign(coin: str, tx: RawTx, spends: Sequence[Spend], hash_type: int | None = None) -> RawTx:
    """`hash_type` in place of the usual one; on bch FORKID is added."""
    digests = signing.Digests(tx)
    spent = [Output(script.key_script(s.kind, public_key(s.secret)), s.amount) for s in spends]
    signed = [_sign_input(coin, digests, at, s, spent, hash_type) for at, s in enumerate(spends)]
    return tx._replace(inputs=tuple(signed))


def _sign_input(
    coin: str, digests: signing.Digests, at: int, spend: Spend, spent: Sequence[Output], hash_type: int | None
) -> RawIn:
    public = public_key(spend.secret)
    code = script.p2pkh_code(script.hash160(public))
    item = digests.tx.inputs[at]
    if spend.kind == "p2tr":
        kind = signing.DEFAULT if hash_type is None else hash_type
        tail = bytes([kind]) if kind else b""
        return item._replace(witness=(signing.schnorr(spend.secret, digests.taproot(at, spent, kind)) + tail,))
    kind = signing.ALL if hash_type is None else hash_type
    if coin == "bch":
        kind |= signing.FORKID
        signature = signing.ecdsa(spend.secret, digests.segwit(at, code, spend.amount, kind)) + bytes([kind])
    elif spend.kind == "p2pkh":
        signature = signing.ecdsa(spend.secret, digests.original(at, code)) + b"\1"
    else:
        signature = signing.ecdsa(spend.secret, digests.segwit(at, code, spend.amount, kind)) + bytes([kind])
        redeem = push(script.redeem_script(public)) if spend.kind == "p2sh-p2wpkh" else b""
        return item._replace(script=redeem, witness=(signature, public))
    return item._replace(script=push(signature) + push(public))


def push(data: bytes) -> bytes:
    if len(data) < 76:
        return bytes([len(data)]) + data
    return (b"\x4c" + bytes([len(data)]) if len(data) < 256 else b"\x4d" + len(data).to_bytes(2, "little")) + data


def owned(purse: Purse, tx: RawTx) -> list[Spend]:
    """Outputs of a transaction that this purse can spend."""
    kind_of = purse.kinds
    name = txid(tx)
    return [
        Spend(Outpoint(name, vout), output.amount, *kind_of[output.key])
        for vout, output in enumerate(tx.outputs)
        if output.key in kind_of
    ]


# Families


def good(purse: Purse) -> bytes:
    spends = purse.take(6)
    return serialise(purse.sign(draft(purse, spends), spends))


def many_inputs(purse: Purse) -> bytes:
    spends = purse.random.sample(purse.confirmed, min(len(purse.confirmed), purse.random.randint(10, 40)))
    return serialise(purse.sign(draft(purse, spends, 2), spends))


def many_outputs(purse: Purse) -> bytes:
    spends = [max(purse.confirmed, key=lambda spend: spend.amount)]
    count = max(2, min(150, spends[0].amount // 50_000))
    return serialise(purse.sign(draft(purse, spends, 2, count=count), spends))


def around_least_fee(purse: Purse) -> bytes:
    """About one sat/vB, above or below."""
    spends = purse.take()
    bare = draft(purse, spends, 3)
    size = vsize(purse.sign(bare, spends))
    total = sum(s.amount for s in spends)
    paid = sum(o.amount for o in bare.outputs)
    fee = purse.random.choice([0, size // 2, size - 2, size - 1, size, size + 1, size + 2])
    return serialise(purse.sign(less(bare, fee - (total - paid)), spends))


def around_dust(purse: Purse) -> bytes:
    spends = purse.take()
    bare = draft(purse, spends, 3)
    key = purse.random.choice([purse.key()[0], script.output_script("p2sh", bytes(20))])
    if purse.segwit and purse.random.random() < 0.2:
        key = script.output_script("p2wsh", bytes(32))
    scale = 10 if purse.coin == "ltc" else 1
    edge = purse.random.choice([294, 330, 540, 546]) * scale
    amount = max(0, edge + purse.random.choice([-1, 0, 1, -edge]))
    return serialise(
        purse.sign(less(bare, amount)._replace(outputs=(*less(bare, amount).outputs, Output(key, amount))), spends)
    )


def hash_types(purse: Purse) -> bytes:
    spends = [s for s in purse.take() if s.kind != "p2pkh" or not purse.segwit] or purse.confirmed[:1]
    kind = purse.random.choice([1, 2, 3, 0x81, 0x82, 0x83])
    bare = draft(purse, spends, count=len(spends) + 1)
    return serialise(purse.sign(bare, spends, kind))


def wrong_hash_type(purse: Purse) -> bytes:
    """The last byte of a signature is another than what was signed, or none that exists."""
    kind = purse.random.choice([0, 1, 2, 3, 4, 0x40, 0x41, 0x42, 0x50, 0x80, 0x84, 0xC1, 0xFF])
    return _changed(
        purse, lambda signature: signature[:-1] + bytes([kind]) if len(signature) != 64 else signature + bytes([kind])
    )


def bad_signature(purse: Purse) -> bytes:
    at = purse.random.randrange(5, 60)
    bit = 1 << purse.random.randrange(8)
    return _changed(purse, lambda s: s[:at] + bytes([s[at] ^ bit]) + s[at + 1 :])


def high_s(purse: Purse) -> bytes:
    return _changed(purse, lambda s: s if len(s) in (64, 65) else _high(s))


def _high(signature: bytes) -> bytes:
    size = signature[3]
    s = int.from_bytes(signature[6 + size : -1], "big")
    other = (ORDER - s).to_bytes(33, "big").lstrip(b"\0")
    other = b"\0" + other if other[0] & 0x80 else other
    body = signature[2 : 4 + size] + b"\2" + bytes([len(other)]) + other
    return b"\x30" + bytes([len(body)]) + body + signature[-1:]


def odd_der(purse: Purse) -> bytes:
    """The numbers of a signature with a zero too many, a byte behind it, a wrong length, nothing at all."""
    changes = [
        lambda s: b"\x30" + bytes([s[1] + 1]) + b"\2" + bytes([s[3] + 1]) + b"\0" + s[4:],
        lambda s: s[:-1] + b"\0" + s[-1:],
        lambda s: s[:1] + bytes([s[1] + 1]) + s[2:],
        lambda s: b"",
        lambda s: s[-1:],
        lambda s: s[:20],
        lambda s: bytes(64) + s[-1:],
    ]
    return _changed(purse, purse.random.choice(changes))


def _changed(purse: Purse, change: Callable[[bytes], bytes]) -> bytes:
    """A right transaction but for one input's signature."""
    spends = purse.take()
    signed = purse.sign(draft(purse, spends), spends)
    at = purse.random.randrange(len(spends))
    item = signed.inputs[at]
    if item.witness:
        item = item._replace(witness=(change(item.witness[0]), *item.witness[1:]))
    else:
        size = item.script[0]
        item = item._replace(script=push(change(item.script[1 : 1 + size])) + item.script[1 + size :])
    return serialise(signed._replace(inputs=(*signed.inputs[:at], item, *signed.inputs[at + 1 :])))


def odd_pushes(purse: Purse) -> bytes:
    """Scripts and witnesses that hold more, less or other than they must, or hold it in another way."""
    spends = purse.take()
    signed = purse.sign(draft(purse, spends), spends)
    at = purse.random.randrange(len(spends))
    item, kind = signed.inputs[at], spends[at].kind
    long = public_key(spends[at].secret)
    if kind in ("p2pkh", "p2sh-p2wpkh"):
        size = item.script[0]
        scripts = [
            b"\x4c" + item.script,  # OP_PUSHDATA1
            b"\x4d" + bytes([size, 0]) + item.script[1:],
            b"\x51" + item.script,
            b"\0" + item.script,
            item.script + b"\x51",
            item.script + b"\x61",
            b"\x61" + item.script,
            item.script[:-1],
            b"",
            push(bytes(75)) * 22 + item.script,
        ]
        item = item._replace(script=purse.random.choice(scripts))
    else:
        item = item._replace(script=purse.random.choice([b"\0", b"\x51", push(long)]))
    return serialise(signed._replace(inputs=(*signed.inputs[:at], item, *signed.inputs[at + 1 :])))


def odd_witness(purse: Purse) -> bytes:
    spends = purse.take()
    signed = purse.sign(draft(purse, spends), spends)
    at = purse.random.randrange(len(spends))
    witness = signed.inputs[at].witness
    changed = purse.random.choice(
        [
            (),
            witness[:1],
            witness[::-1],
            (b"", *witness),
            (*witness, b""),
            (*witness, b"\x50annex"),
            (bytes(100), *witness),
            (b"\1",),
            tuple(bytes(80) for _ in range(120)),
        ]
    )
    item = signed.inputs[at]._replace(witness=changed)
    return serialise(signed._replace(inputs=(*signed.inputs[:at], item, *signed.inputs[at + 1 :])))


def odd_bytes(purse: Purse) -> bytes:
    """Bytes that are not quite a transaction."""
    raw = good(purse)
    n = purse.random.randrange(len(raw))
    return purse.random.choice(
        [
            raw + b"\0",
            raw + raw,
            raw[:-1],
            raw[:n],
            raw[:4] + b"\0\2" + raw[4:],
            raw[:4] + b"\0\1" + raw[4:],
            raw[:4] + b"\xfd\1\0" + raw[5:],
            raw[:n] + bytes([raw[n] ^ (1 << purse.random.randrange(8))]) + raw[n + 1 :],
            raw[:n] + raw[n + 1 :],
            b"",
        ]
    )


def missing(purse: Purse) -> bytes:
    spends = purse.take()
    lost = spends[0]
    there = purse.random.choice(
        [
            Outpoint(purse.random.randbytes(32).hex(), 0),
            Outpoint(lost.outpoint.txid, lost.outpoint.vout + 100_000),
            *[s.outpoint for s in purse.random.sample(purse.gone, min(2, len(purse.gone)))],
        ]
    )
    spends[0] = lost._replace(outpoint=there)
    return serialise(purse.sign(draft(purse, spends), spends))


def again(purse: Purse) -> bytes:
    """What a waiting transaction spends already, at another fee; or a whole other one for two that wait."""
    if not purse.spent:
        return good(purse)
    spend = purse.random.choice(purse.spent)
    spends = [spend, *(purse.take(2) if purse.random.random() < 0.4 else [])]
    if purse.random.random() < 0.3:
        spends.append(purse.random.choice(purse.spent))
    spends = list({s.outpoint: s for s in spends}.values())
    sequence = purse.random.choice([OPT_IN, FINAL, LOCKED])
    return serialise(purse.sign(draft(purse, spends, purse.random.choice([1.2, 3, 14, 40, 80]), sequence), spends))


def duplicate_inputs(purse: Purse) -> bytes:
    spends = purse.take()
    spends.append(spends[0])
    return serialise(purse.sign(draft(purse, spends), spends))


def amounts(purse: Purse) -> bytes:
    spends = purse.take()
    bare = draft(purse, spends, count=2)
    most = 21_000_000 * 100_000_000
    bad = purse.random.choice([1 << 63, (1 << 64) - 1, most, most + 1, 4 * most, 4 * most + 1, (1 << 63) - 1])
    first = purse.random.choice([bare.outputs[0], bare.outputs[0]._replace(amount=bad)])
    more = sum(s.amount for s in spends) + purse.random.choice([0, 1])
    second = bare.outputs[1]._replace(amount=purse.random.choice([bad, more]))
    return serialise(purse.sign(bare._replace(outputs=(first, second)), spends))


def nothing(purse: Purse) -> bytes:
    spends = purse.take()
    signed = purse.sign(draft(purse, spends), spends)
    cut = purse.random.choice([{"inputs": ()}, {"outputs": ()}, {"inputs": (), "outputs": ()}])
    return serialise(signed._replace(**cut))


def immature(purse: Purse) -> bytes:
    """A coinbase about its hundredth block."""
    close = [s for h, s in purse.young if 97 <= purse.height + 1 - h <= 101] or [s for _, s in purse.young]
    if not close:
        return good(purse)
    spends = [purse.random.choice(close)]
    return serialise(purse.sign(draft(purse, spends, count=20), spends))


def lock_times(purse: Purse) -> bytes:
    spends = purse.take()
    bare = draft(purse, spends, sequence=purse.random.choice([FINAL, LOCKED, LOCKED, OPT_IN]))
    step = purse.random.choice([-10, -1, 0, 1, 2, 1000])
    lock = purse.random.choice([purse.height + step, purse.time + step, 499_999_999, 500_000_000, 0xFFFFFFFF])
    return serialise(purse.sign(bare._replace(locktime=lock), spends))


def relative_locks(purse: Purse) -> bytes:
    spends = purse.take()
    wait = purse.random.choice([0, 1, 2, 3, 10, 1000, 65535])
    first = purse.heights.get(spends[0].outpoint)
    if first is not None and purse.random.random() < 0.6:
        wait = max(0, purse.height + 1 - first + purse.random.choice([-1, 0, 1]))
    sequence = wait & 0xFFFF | purse.random.choice([0, 0, 1 << 22, 1 << 31, 1 << 20])
    bare = draft(purse, spends, sequence=sequence, version=purse.random.choice([1, 2, 2, 2]))
    return serialise(purse.sign(bare, spends))


def versions(purse: Purse) -> bytes:
    spends = purse.take()
    version = purse.random.choice([0, 1, 2, 3, 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
    return serialise(purse.sign(draft(purse, spends, version=version), spends))


def odd_outputs(purse: Purse) -> bytes:
    spends = purse.take()
    bare = draft(purse, spends, 4)
    amount = purse.random.choice([0, 10_000])
    public = public_key(SECRETS[0])
    keys = [
        push(public) + b"\xac",  # p2pk
        MULTISIG,
        b"\x54" + MULTISIG[1:],
        b"\x6a",
        b"\x6a" + push(bytes(20)),
        b"\x6a" + push(bytes(80)),
        b"\x6a" + push(bytes(81)),
        b"\x6a" + push(bytes(200)),
        b"\x6a" + push(bytes(10)) + push(bytes(10)),
        b"\x6a\x51\x61",
        b"\x6a\x05abc",
        b"\x51",
        b"",
        b"\x52\x20" + bytes(32),
        b"\x51\x14" + bytes(20),
        b"\x51\x02\x4e\x73",
        b"\x00\x15" + bytes(21),
        b"\xff",
        b"\xa9\x14" + bytes(20) + b"\x88",
        bytes(10_001),
    ]
    extra = [Output(purse.random.choice(keys), amount) for _ in range(purse.random.choice([1, 1, 2]))]
    paid = less(bare, sum(o.amount for o in extra) + sum(len(o.key) for o in extra) * 4)
    return serialise(purse.sign(paid._replace(outputs=(*paid.outputs, *extra)), spends))


def chain_link(purse: Purse) -> bytes:
    """On top of what was sent last, so that long chains come about."""
    if not purse.waiting:
        return good(purse)
    spends = [purse.waiting[-1]]
    if purse.random.random() < 0.1:
        spends.append(purse.random.choice(purse.waiting))
    spends = list({s.outpoint: s for s in spends}.values())
    return serialise(purse.sign(draft(purse, spends, 1.3, count=purse.random.choice([1, 1, 1, 3])), spends))


def small(purse: Purse) -> bytes:
    """Around the smallest that is relayed: 82 bytes without witness on ltc and btc, 100 on bch."""
    spends = purse.take(1, deep=False)[:1]
    bare = draft(purse, spends, 2, count=1)
    data = purse.random.choice([b"\x6a", b"\x6a\x01\x07", b"\x6a" + push(bytes(19)), b"\x6a" + push(bytes(24))])
    keys = purse.random.choice([data, bare.outputs[0].key])
    kept = bare.outputs[0].amount if keys == bare.outputs[0].key else 0
    if purse.random.random() < 0.8:
        return serialise(purse.sign(draft(purse, spends, 2, count=1), spends))
    return serialise(purse.sign(bare._replace(outputs=(Output(keys, kept),)), spends))


def large(purse: Purse) -> bytes:
    """About 100,000 virtual bytes, alone or on what waits: the most of one, and of a chain of them."""
    spends = [max(purse.confirmed, key=lambda spend: spend.amount)]
    if purse.waiting and purse.random.random() < 0.6:
        spends.append(max(purse.waiting, key=lambda spend: spend.amount))
    total = sum(s.amount for s in spends)
    size = purse.random.choice([30_000, 60_000, 99_000, 101_000])
    least = 6000 if purse.coin == "ltc" else 600
    count = min(size // 34, (total - 2 * size) // least)
    keys = [purse.format.own_key("p2pkh", SECRETS[0])] * (count - 1)
    outs = (*[Output(key, least) for key in keys], Output(purse.key()[0], total - (count - 1) * least))
    bare = RawTx(2, tuple(RawIn(s.outpoint, b"", OPT_IN) for s in spends), outs)
    return serialise(purse.sign(less(bare, int(vsize(purse.sign(bare, spends)) * 1.5)), spends))


def odd_keys(purse: Purse) -> bytes:
    """The public key in another form: the wrong one for its hash."""
    spends = purse.take()
    signed = purse.sign(draft(purse, spends), spends)
    at = purse.random.randrange(len(spends))
    item = signed.inputs[at]
    public = purse.random.choice([public_key(SECRETS[0]), public_key(SECRETS[1]), b"\6" + bytes(64), b"", bytes(33)])
    if len(item.witness) == 2:
        item = item._replace(witness=(item.witness[0], public))
    elif item.script and not item.witness:
        item = item._replace(script=item.script[: 1 + item.script[0]] + push(public))
    return serialise(signed._replace(inputs=(*signed.inputs[:at], item, *signed.inputs[at + 1 :])))


def superfluous(purse: Purse) -> bytes:
    """Marker and flag without a witness, and a count of outputs written in a longer way."""
    spends = purse.take()
    signed = purse.sign(draft(purse, spends), spends)
    bare = signed._replace(inputs=tuple(i._replace(witness=()) for i in signed.inputs))
    raw = serialise(bare)
    if purse.random.random() < 0.5:
        return raw[:4] + b"\0\1" + raw[4:-4] + bytes(len(bare.inputs)) + raw[-4:]
    return raw[:4] + b"\xfd" + len(bare.inputs).to_bytes(2, "little") + raw[4 + len(compact_size(len(bare.inputs))) :]


FAMILIES: dict[str, tuple[Family, int]] = {
    "good": (good, 300),
    "many inputs": (many_inputs, 10),
    "many outputs": (many_outputs, 25),
    "around the least fee": (around_least_fee, 40),
    "around dust": (around_dust, 50),
    "hash types": (hash_types, 40),
    "wrong hash type": (wrong_hash_type, 40),
    "bad signature": (bad_signature, 40),
    "high s": (high_s, 20),
    "odd DER": (odd_der, 30),
    "odd pushes": (odd_pushes, 40),
    "odd witness": (odd_witness, 40),
    "odd bytes": (odd_bytes, 50),
    "odd keys": (odd_keys, 20),
    "missing inputs": (missing, 30),
    "spent again": (again, 60),
    "an input twice": (duplicate_inputs, 10),
    "amounts": (amounts, 30),
    "nothing in or out": (nothing, 10),
    "immature": (immature, 20),
    "lock times": (lock_times, 40),
    "relative locks": (relative_locks, 40),
    "versions": (versions, 30),
    "odd outputs": (odd_outputs, 60),
    "on what waits": (chain_link, 120),
    "small": (small, 15),
    "large": (large, 4),
    "superfluous": (superfluous, 15),
}
"""Family and how often it comes, of about 1,200."""
