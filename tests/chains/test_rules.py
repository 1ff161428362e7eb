"""Blocks that break one rule each: our own checks refuse them on every chain, and Core's engine refuses them too."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from glasstumbler.chains import blocks, keys, script, signing
from glasstumbler.chains.base import Outpoint, Output, Spend
from glasstumbler.chains.kernel import Kernel
from glasstumbler.chains.networks import NETWORKS, subsidy
from glasstumbler.chains.tx import RawTx, parse, serialise
from glasstumbler.chains.utxo_chain import UtxoChain
from glasstumbler.errors import BlockRefused
from tests.chains.forge import RING, assemble, change_of, coins, opened, own_key, spend

Forge = Callable[[UtxoChain], bytes]


class Wrong(NamedTuple):
    says: str
    make: Forge
    coins: tuple[str, ...] = ("btc", "ltc", "bch")


def bad_signature(chain: UtxoChain) -> bytes:
    (coin,) = coins(chain, 1)
    tx = parse(spend(chain, [coin]).raw)
    first = tx.inputs[0]
    if first.witness:
        first = first._replace(witness=(_flip(first.witness[0]), *first.witness[1:]))
    else:
        first = first._replace(script=first.script[:1] + _flip(first.script[1:]))
    return assemble(chain, [serialise(tx._replace(inputs=(first,)))], 1000)


def _flip(signature: bytes) -> bytes:
    return signature[:20] + bytes([signature[20] ^ 1]) + signature[21:]


def stolen(chain: UtxoChain) -> bytes:
    (coin,) = coins(chain, 1)
    return assemble(chain, [spend(chain, [coin._replace(secret=b"\x09" * 32)]).raw], 1000)


def double_spend(chain: UtxoChain) -> bytes:
    (coin,) = coins(chain, 1)
    raws = sorted((spend(chain, [coin], fee) for fee in (1000, 2000)), key=lambda signed: signed.txid)
    return assemble(chain, [signed.raw for signed in raws], 3000)


def spent_before(chain: UtxoChain) -> bytes:
    (coin,) = coins(chain, 1)
    chain.broadcast(spend(chain, [coin]).raw)
    chain.mine()
    return assemble(chain, [spend(chain, [coin], 2000).raw], 2000)


def inflated(chain: UtxoChain) -> bytes:
    (coin,) = coins(chain, 1)
    return assemble(chain, [spend(chain, [coin._replace(amount=coin.amount + 1)], fee=0).raw])


def overflowing(chain: UtxoChain) -> bytes:
    (coin,) = coins(chain, 1)
    key = own_key(chain)
    huge = coin._replace(amount=1 << 63)
    return assemble(chain, [chain.format.sign([huge], [Output(key, 1 << 62), Output(key, 1 << 62)]).raw])


def twice_the_transaction(chain: UtxoChain) -> bytes:
    (coin,) = coins(chain, 1)
    return assemble(chain, [spend(chain, [coin]).raw] * 2, 2000)


def child_first(chain: UtxoChain) -> bytes:
    (coin,) = coins(chain, 1)
    parent = spend(chain, [coin])
    return assemble(chain, [spend(chain, [change_of(parent)]).raw, parent.raw], 2000)


def unsorted(chain: UtxoChain) -> bytes:
    signed = [spend(chain, [coin]) for coin in coins(chain, 2)]
    signed.sort(key=lambda one: one.txid, reverse=True)
    return assemble(chain, [one.raw for one in signed], 2000)


def immature(chain: UtxoChain) -> bytes:
    young = chain.block(chain.block_hash(chain.tip()[0] - 20) or "").txs[0]
    kind = NETWORKS[chain.coin].funding_kind
    secret = RING.secret(chain.coin, "faucet", "float", 0)
    coin = Spend(Outpoint(young.txid, 0), young.outputs[0].amount, kind, secret)
    return assemble(chain, [spend(chain, [coin]).raw], 1000)


def locked(chain: UtxoChain) -> bytes:
    (coin,) = coins(chain, 1)
    return assemble(chain, [_resigned(chain, coin, 0xFFFFFFFE, chain.tip()[0] + 1)], 1000)


def relatively_locked(chain: UtxoChain) -> bytes:
    (coin,) = coins(chain, 1)
    return assemble(chain, [spend(chain, [coin], sequence=2).raw], 1000)


def _resigned(chain: UtxoChain, coin: Spend, sequence: int, locktime: int) -> bytes:
    """The format signs no locktime, so this does."""
    bare = parse(spend(chain, [coin], sequence=sequence).raw)._replace(locktime=locktime)
    public, kind = keys.public_key(coin.secret), signing.HASH_TYPE[chain.coin]
    code = script.p2pkh_code(script.hash160(public))
    digest = signing.Digests(bare).segwit(0, code, coin.amount, kind)
    signature = signing.ecdsa(coin.secret, digest) + bytes([kind])
    item = bare.inputs[0]
    if coin.kind == "p2wpkh":
        item = item._replace(witness=(signature, public))
    else:
        item = item._replace(script=bytes([len(signature)]) + signature + bytes([len(public)]) + public)
    return serialise(bare._replace(inputs=(item,)))


def greedy(chain: UtxoChain) -> bytes:
    return assemble(chain, fees=1)


def another_height(chain: UtxoChain) -> bytes:
    wrong = blocks.script_number(chain.tip()[0] + 2) + b"wrong"
    return assemble(chain, coinbase=lambda tx: tx._replace(inputs=(tx.inputs[0]._replace(script=wrong),)))


def no_coinbase(chain: UtxoChain) -> bytes:
    (coin,) = coins(chain, 1)
    bare = parse(spend(chain, [coin]).raw)
    return assemble(chain, coinbase=lambda _: bare)


def two_coinbases(chain: UtxoChain) -> bytes:
    network = NETWORKS[chain.coin]
    second = blocks.coinbase(chain.tip()[0] + 1, (Output(own_key(chain), 0),), [] if network.witness else None)
    return assemble(chain, [serialise(second)])


def wrong_commitment(chain: UtxoChain) -> bytes:
    def spoil(tx: RawTx) -> RawTx:
        kept, (key, amount) = tx.outputs[:-1], tx.outputs[-1]
        return tx._replace(outputs=(*kept, Output(key[:-1] + bytes([key[-1] ^ 1]), amount)))

    return assemble(chain, coinbase=spoil)


def no_commitment(chain: UtxoChain) -> bytes:
    (coin,) = coins(chain, 1)
    raw = spend(chain, [coin]).raw
    return assemble(chain, [raw], 1000, coinbase=lambda tx: tx._replace(outputs=tx.outputs[:-1]))


def witness_where_none_is(chain: UtxoChain) -> bytes:
    (coin,) = coins(chain, 1)
    tx = parse(spend(chain, [coin]).raw)
    return assemble(chain, [serialise(tx._replace(inputs=(tx.inputs[0]._replace(witness=(b"w",)),)))], 1000)


def with_header(**changes: object) -> Forge:
    return lambda chain: assemble(chain, header=lambda header: header._replace(**changes))  # type: ignore[arg-type]


def too_old(chain: UtxoChain) -> bytes:
    height = chain.tip()[0]
    times = sorted(chain.block(chain.block_hash(at) or "").time for at in range(height - 10, height + 1))
    return assemble(chain, header=lambda header: header._replace(time=times[5]))


WRONG = {
    "bad signature": Wrong("bad-signature", bad_signature),
    "stolen": Wrong("bad-signature", stolen),
    "double spend": Wrong("missing-inputs", double_spend),
    "spent before": Wrong("missing-inputs", spent_before),
    "inflated": Wrong("funds", inflated),
    "overflowing": Wrong("beyond all money", overflowing),
    "twice": Wrong("twice", twice_the_transaction),
    "child first": Wrong("missing-inputs", child_first, ("btc", "ltc")),
    "unsorted": Wrong("canonical order", unsorted, ("bch",)),
    "immature": Wrong("immature", immature),
    "locked": Wrong("locked", locked),
    "relatively locked": Wrong("locked", relatively_locked),
    "greedy": Wrong("the coinbase pays", greedy),
    "another height": Wrong("lacks its height", another_height),
    "no coinbase": Wrong("exactly one coinbase", no_coinbase),
    "two coinbases": Wrong("exactly one coinbase", two_coinbases),
    "wrong commitment": Wrong("witness commitment", wrong_commitment, ("btc", "ltc")),
    "no commitment": Wrong("witness commitment", no_commitment, ("btc", "ltc")),
    "witness": Wrong("witness on a chain without", witness_where_none_is, ("bch",)),
    "merkle root": Wrong("merkle root", with_header(merkle_root=bytes(32))),
    "previous": Wrong("does not follow", with_header(previous="11" * 32)),
    "difficulty": Wrong("another difficulty", with_header(bits=0x207FFFFE)),
    "version": Wrong("an old version", with_header(version=1)),
    "too old": Wrong("median time past", too_old),
    "no work": Wrong("no proof of work", lambda chain: assemble(chain, work=False)),
    "cut short": Wrong("malformed", lambda chain: assemble(chain)[:-1]),
    "bytes behind": Wrong("malformed", lambda chain: assemble(chain) + b"\0"),
    "header only": Wrong("malformed", lambda chain: assemble(chain)[:80]),
    "nothing": Wrong("a header has 80 bytes", lambda chain: b""),
}
CASES = [pytest.param(coin, name, id=f"{coin}-{name}") for name, w in WRONG.items() for coin in w.coins]


@pytest.fixture(scope="module")
def chains() -> Iterator[dict[str, UtxoChain]]:
    opens = {coin: opened(coin) for coin in ("btc", "ltc", "bch")}
    yield opens
    for chain in opens.values():
        chain.close()


@pytest.mark.parametrize(("coin", "name"), CASES)
def test_a_wrong_block_is_refused(chains: dict[str, UtxoChain], coin: str, name: str) -> None:
    chain = chains[coin]
    raw = WRONG[name].make(chain)
    tip, mempool = chain.tip(), chain.mempool()
    with pytest.raises(BlockRefused, match=WRONG[name].says):
        chain.submit(raw)
    assert chain.tip() == tip and chain.mempool() == mempool
    good = assemble(chain)
    assert chain.submit(good) == chain.tip()[1] == blocks.block_hash(good)


ACCEPTED_BY_THE_ENGINE = {"bytes behind"}
"""It reads a block from the front and does not look behind it."""


@pytest.mark.parametrize("name", [name for name, wrong in WRONG.items() if "btc" in wrong.coins])
def test_the_engine_agrees(chains: dict[str, UtxoChain], name: str) -> None:
    chain = chains["btc"]
    raw = WRONG[name].make(chain)
    kernel = Kernel()
    try:
        for height in range(1, chain.tip()[0] + 1):
            block = chain.block(chain.block_hash(height) or "")
            kernel.process(_raw(chain, block.hash), block.hash)
        if name in ACCEPTED_BY_THE_ENGINE:
            kernel.process(raw, blocks.block_hash(raw))
            return
        with pytest.raises(BlockRefused):
            kernel.process(raw, blocks.block_hash(raw))
        assert kernel.tip() == chain.tip()
        good = assemble(chain)
        kernel.process(good, blocks.block_hash(good))
    finally:
        kernel.close()


def _raw(chain: UtxoChain, block_hash: str) -> bytes:
    logged = chain._log.find(block_hash)
    assert logged is not None
    return logged.raw


@pytest.mark.parametrize("coin", ["btc", "ltc", "bch"])
def test_parents_and_children_in_one_block(chains: dict[str, UtxoChain], coin: str) -> None:
    chain = chains[coin]
    first = spend(chain, coins(chain, 1))
    coin_made = change_of(first)._replace(kind=NETWORKS[coin].funding_kind)
    second = spend(chain, [coin_made])
    order = [first, second]
    if NETWORKS[coin].canonical_order:
        order.sort(key=lambda one: one.txid)
    chain.submit(assemble(chain, [one.raw for one in order], 2000))
    assert chain.place(second.txid) == chain.place(first.txid)


@pytest.mark.parametrize(
    ("height", "coins_made"), [(1, 50), (149, 50), (150, 25), (299, 25), (300, 12.5), (150 * 33, 0)]
)
def test_subsidy_halves_every_150_blocks(height: int, coins_made: float) -> None:
    assert subsidy(height) == int(coins_made * 10**8)
