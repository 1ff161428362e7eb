"""Blocks that break one rule each, on top of an in-process chain."""

from __future__ import annotations

from collections.abc import Iterator

from glasstumbler.chains.base import Output, Spend
from glasstumbler.chains.blocks import Header
from glasstumbler.chains.tx import RawTx, serialise, txid
from tests.chains.forge import assemble
from tests.nodes.differ import Court
from tests.nodes.forgery import FINAL, draft, owned


def wrong_blocks(court: Court) -> Iterator[tuple[str, bytes]]:
    """(rule, block); the coins are those of the court's purse."""
    chain, purse = court.ours, court.purse
    coin, other, third = [spend for spend in purse.confirmed if spend.kind == purse.format.kinds[0]][:3]
    right = _pays(court, [coin])
    fee = coin.amount - sum(output.amount for output in right.outputs)
    raw = serialise(right)
    before = chain._view.median_time(chain.tip()[0])

    yield "merkle root", assemble(chain, [raw], fee, lambda h: h._replace(merkle_root=bytes(32)))
    yield "too much subsidy", assemble(chain, [raw], fee + 1)
    yield "time too old", assemble(chain, [raw], fee, lambda h: h._replace(time=before))
    yield "no work", assemble(chain, [raw], fee, work=False)
    yield "another parent", assemble(chain, [raw], fee, lambda h: h._replace(previous="77" * 32))
    yield "easier", assemble(chain, [raw], fee, _easier)
    yield "spent twice", assemble(chain, sorted_raws([right, _pays(court, [coin, other])]), 0)
    yield "a transaction twice", assemble(chain, [raw, raw], 0)
    yield "a bad signature", assemble(chain, [_spoilt(court, other)], 0)
    yield "more out than in", assemble(chain, [serialise(_pays(court, [third], more=1))], 0)
    yield "not there", assemble(chain, [serialise(_pays(court, [_elsewhere(other)]))], 0)
    yield "locked", assemble(chain, [serialise(_locked(court, other))], 0)
    yield "locked by its input", assemble(chain, [serialise(_pays(court, [other], sequence=60_000))], 0)
    yield "cut off", assemble(chain, [raw], fee)[:-1]
    yield "immature", assemble(chain, [serialise(_pays(court, [purse.young[-1][1]]))], 0)
    yield "wrong order", assemble(chain, _wrong_order(court, right), 0)
    if purse.segwit:
        yield "witness commitment", assemble(chain, [raw], fee, coinbase=_other_commitment)
        yield "no witness commitment", assemble(chain, [raw], fee, coinbase=_no_commitment)
    if court.judge.kind == "litecoind":  # the others' regtest never asks for it
        yield "no height", assemble(chain, [raw], fee, coinbase=_no_height)


def right_block(court: Court) -> bytes:
    """The control: what is wrong with the others is nothing else."""
    spend = court.purse.confirmed[0]
    tx = _pays(court, [spend])
    return assemble(court.ours, [serialise(tx)], spend.amount - sum(output.amount for output in tx.outputs))


def sorted_raws(txs: list[RawTx]) -> list[bytes]:
    return [serialise(tx) for tx in sorted(txs, key=txid)]


def _pays(court: Court, spends: list[Spend], more: int = 0, sequence: int = FINAL) -> RawTx:
    bare = draft(court.purse, spends, 3, sequence, count=1)
    amount = bare.outputs[0].amount if not more else sum(spend.amount for spend in spends) + more
    return court.purse.sign(bare._replace(outputs=(Output(bare.outputs[0].key, amount),)), spends)


def _spoilt(court: Court, spend: Spend) -> bytes:
    """Signed for another amount."""
    signed = _pays(court, [spend])
    output = signed.outputs[0]
    return serialise(signed._replace(outputs=(output._replace(amount=output.amount - 1),)))


def _elsewhere(spend: Spend) -> Spend:
    return spend._replace(outpoint=spend.outpoint._replace(vout=5000))


def _locked(court: Court, spend: Spend) -> RawTx:
    bare = draft(court.purse, [spend], 3, 0xFFFFFFFE, count=1)
    return court.purse.sign(bare._replace(locktime=court.ours.tip()[0] + 1), [spend])


def _wrong_order(court: Court, parent: RawTx) -> list[bytes]:
    """A child before its parent; on bch, where the ids say the order, the higher id first."""
    child = _pays(court, owned(court.purse, parent)[:1])
    if court.coin == "bch":
        return [serialise(tx) for tx in sorted((parent, child), key=txid, reverse=True)]
    return [serialise(child), serialise(parent)]


def _easier(header: Header) -> Header:
    return header._replace(bits=0x207FFFFE)


def _other_commitment(coinbase: RawTx) -> RawTx:
    last = coinbase.outputs[-1]
    return coinbase._replace(outputs=(*coinbase.outputs[:-1], last._replace(key=last.key[:-1] + b"\x77")))


def _no_commitment(coinbase: RawTx) -> RawTx:
    return coinbase._replace(outputs=coinbase.outputs[:-1])


def _no_height(coinbase: RawTx) -> RawTx:
    item = coinbase.inputs[0]
    return coinbase._replace(inputs=(item._replace(script=b"\x01\x07" + item.script),))
