"""Blocks and transactions as pages show them: what an observer sees, and beside it what the laboratory knows.

Pure but for the looks that are handed in: at the chain, at what waits, at the explorer's cache and at the record.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from glasstumbler.chains.base import Chain, Format, Outpoint, Output, Tx
from glasstumbler.chains.eth_format import read_transfer
from glasstumbler.errors import GlassTumblerError, TransactionRefused
from glasstumbler.explorer.chain_index import id_bytes
from glasstumbler.explorer.look import Look
from glasstumbler.explorer.waiting import Waiting
from glasstumbler.store.records import Records

HIDDEN: Final = frozenset(("xmr",))
"""Coins whose chain shows neither amounts nor addresses."""
SIDE_MOST: Final = 100
"""Inputs, or outputs, on one page."""
_COINBASE = Outpoint("00" * 32, 0xFFFFFFFF)


class Mark(NamedTuple):
    """Whose a key is: a service's own (`what`: deposit, change, sweep, float), or one that it pays out to (payout)."""

    service: str
    what: str
    order: str | None = None


class Side(NamedTuple):
    """An input or an output. None for what the chain hides, or what is not known here."""

    address: str | None
    amount: int | None
    mark: Mark | None = None
    outpoint: Outpoint | None = None
    """Of an input: what it spends."""
    spent: tuple[str, int | None] | None = None
    """Of an output: the transaction that spends it, and its height (None: it waits)."""


class Fee(NamedTuple):
    amount: int
    exact: bool
    """False: at most so much (Ethereum, where the block decides)."""


class Shown(NamedTuple):
    """One transaction, whole or the part that `first` begins."""

    tx: Tx
    height: int | None
    block: str | None
    confirmations: int
    coinbase: bool
    inputs: tuple[Side, ...]
    outputs: tuple[Side, ...]
    first: int
    fee: Fee | None
    hidden: bool


class Line(NamedTuple):
    """A transaction in a list."""

    txid: str
    inputs: int
    outputs: int
    value: int | None
    marks: tuple[Mark, ...]


def name_of(form: Format, key: bytes) -> str | None:
    """The address of a key, if it has one."""
    try:
        return form.address(key)
    except (GlassTumblerError, ValueError):
        return None


def transaction(
    chain: Chain, waiting: Waiting, look: Look, records: Records, txid: str, first: int = 0
) -> Shown | None:
    """None if neither the mempool nor the active chain has it."""
    place, tx = chain.place(txid), chain.transaction(txid)
    if place is None or tx is None:
        return None
    inputs, outputs = tx.inputs[first : first + SIDE_MOST], tx.outputs[first : first + SIDE_MOST]
    accounts, hidden = chain.format.one_to_one, chain.coin in HIDDEN
    spent = [] if accounts else [_source(chain, look, each) for each in inputs]
    keys = [*(each.key for each in spent if each), *(each.key for each in outputs), *_senders(tx, accounts)]
    own, paid = owners(records, chain.coin, keys), payouts(records, chain.coin, [tx.txid]).get(tx.txid, {})
    form, value = chain.format, sum(output.amount for output in tx.outputs)
    if accounts:
        shown_inputs = [Side(name_of(form, key), value, own.get(key)) for key in _senders(tx, accounts)]
    else:
        shown_inputs = [
            Side(each and name_of(form, each.key), each and each.amount, own.get(each.key) if each else None, outpoint)
            for outpoint, each in zip(inputs, spent, strict=True)
        ]
    known = {} if accounts else look.outputs(txid, first, SIDE_MOST)
    shown_outputs = []
    for vout, output in enumerate(outputs, first):
        by: tuple[str, int | None] | None = known[vout].by if vout in known else None
        if by is None and not accounts and (child := waiting.spender(txid, vout)):
            by = child, None
        mark = paid.get(vout) or own.get(output.key)
        if not hidden or mark:
            shown_outputs.append(Side(name_of(form, output.key), output.amount, mark, None, by))
    coinbase = tx.inputs == (_COINBASE,)
    confirmations = 0 if place.height is None else chain.tip()[0] - place.height + 1
    fee = None if hidden or coinbase else _fee(tx, spent, accounts)
    return Shown(
        tx, place.height, place.block, confirmations, coinbase, tuple(shown_inputs), tuple(shown_outputs), first, fee,
        hidden,
    )  # fmt: skip


def lines(chain: Chain, records: Records, txs: Sequence[Tx]) -> list[Line]:
    """Transactions in a list, with whom of ours they concern."""
    some = {tx.txid: tx.outputs[:SIDE_MOST] for tx in txs}
    accounts, hidden = chain.format.one_to_one, chain.coin in HIDDEN
    keys = [output.key for outputs in some.values() for output in outputs]
    keys += [key for tx in txs for key in _senders(tx, accounts)]
    own, paid = owners(records, chain.coin, keys), payouts(records, chain.coin, list(some))
    found = []
    for tx in txs:
        marks = dict.fromkeys(paid.get(tx.txid, {}).values())
        marks |= dict.fromkeys(own[each.key] for each in some[tx.txid] if each.key in own)
        value = None if hidden else sum(output.amount for output in tx.outputs)
        found.append(Line(tx.txid, len(tx.inputs), len(tx.outputs), value, tuple(marks)))
    return found


def owners(records: Records, coin: str, keys: Collection[bytes]) -> dict[bytes, Mark]:
    """Of those keys that a service has."""
    watched = records.watched(coin, list(dict.fromkeys(keys)))
    orders = records.orders_by_number({each.order for each in watched.values() if each.order is not None})
    return {
        key: Mark(each.service, each.branch, orders[each.order].id if each.order in orders else None)
        for key, each in watched.items()
    }


def payouts(records: Records, coin: str, txids: Collection[str]) -> dict[str, dict[int, Mark]]:
    """By transaction and output: the order that it pays out."""
    payments = records.payments_in(coin, txids)
    orders = records.orders_by_number({each.order for payment in payments for each in payment.carried})
    return {
        payment.txid: {
            each.vout: Mark(payment.service, "payout", orders[each.order].id)
            for each in payment.carried
            if each.order in orders
        }
        for payment in payments
    }


def _source(chain: Chain, look: Look, spent: Outpoint) -> Output | None:
    """What an input spends: of the cache, or of the chain where the cache is not there yet."""
    if spent == _COINBASE:
        return None
    found = look.output(spent)
    if found is not None and found.key is not None:
        return Output(found.key, found.amount)
    tx = chain.transaction(spent.txid)
    return tx.outputs[spent.vout] if tx is not None and spent.vout < len(tx.outputs) else None


def _senders(tx: Tx, accounts: bool) -> list[bytes]:
    return [id_bytes(account) for account, _ in tx.inputs] if accounts else []


def _fee(tx: Tx, spent: Iterable[Output | None], accounts: bool) -> Fee | None:
    """None where not all inputs are known."""
    if accounts:
        try:
            transfer = read_transfer(tx.raw)
        except TransactionRefused:
            return None
        return Fee(transfer.gas * transfer.max_fee, transfer.priority_fee == transfer.max_fee)
    brought = [each.amount for each in spent if each is not None]
    if len(brought) < len(tx.inputs):
        return None
    return Fee(sum(brought) - sum(output.amount for output in tx.outputs), True)


def said(owned: Mapping[str, int]) -> str:
    """What an observer would think of a cluster, and what is so. `owned`: how many addresses each service has."""
    services = {slug: number for slug, number in owned.items() if slug}
    if not services:
        return "none of them is a service's: they are customers', or the faucet's"
    if len(owned) == 1:
        return "all of them are one service's: the observer is right"
    if len(services) == 1:
        return "a service's and somebody else's are mixed up: the observer is wrong"
    return "several services' are mixed up: the observer is wrong"
