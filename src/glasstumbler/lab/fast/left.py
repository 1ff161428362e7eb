"""What one service's part of a simulation leaves behind: its transactions as arrays, and its rows of the answer key.

On each chain its transactions are numbered: deposits, then what paid its own first coins, then its payments. Rows speak
of transactions and wallet keys by these numbers until all services' chains are put together (chains.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glasstumbler.chains.base import Format
from glasstumbler.engine.coins import Coin, Origin
from glasstumbler.engine.desk import Deposit, DepositState
from glasstumbler.engine.order import Order
from glasstumbler.engine.payment import Payment
from glasstumbler.lab import dataset, schemas, truth
from glasstumbler.lab.custody import Book
from glasstumbler.lab.fast.chain import SCRIPTS
from glasstumbler.lab.fast.custody_walks import Walks, walks
from glasstumbler.lab.population import Ints
from glasstumbler.store.records import Records, Watched

NONE: Final = -1
Bytes = npt.NDArray[np.uint8]
_SIZE: Final = 64
"""Bytes that are kept of a key's payload."""
_BATCH: Final = 1 << 16
_HEADS: Final = {"p2pkh": 3, "p2sh-p2wpkh": 2, "p2wpkh": 2, "p2tr": 2}
"""Bytes before the payload of a key."""

LINK: Final = pa.schema(
    [field for field in schemas.LINK if field.name not in ("deposit_output", "payout_output")]
    + [pa.field(name, pa.int64()) for name in ("deposit_tx", "payout_tx", "payout_vout", "index")]
)
"""Of schemas.LINK, with transactions in place of outputs."""
HOP: Final = pa.schema(
    [field for field in schemas.HOP if field.name not in ("output", "account")]
    + [pa.field(name, pa.int64()) for name in ("made_tx", "made_vout", "key")]
)
"""Of schemas.HOP; the coin by the transaction that made it, an account by its key."""
ORDER: Final = pa.schema(
    [field for field in schemas.ORDER if field.name != "deposit_address"]
    + [pa.field(name, pa.int64()) for name in ("key", "index")]
)
WALLET: Final = pa.schema(
    [field for field in schemas.WALLET_TRUTH if field.name != "address"] + [pa.field("key", pa.int64())]
)
TABLES: Final = {"order": ORDER, "link": LINK, "hop": HOP, "wallet_truth": WALLET}


class Side(NamedTuple):
    """One service on one chain. Amounts are whole numbers; Ethereum's as text, since 64 bits do not hold them."""

    keys: Bytes
    """(keys, payload): of the wallet, in the order they were made."""
    kinds: Ints
    """By key: index of the format's kinds."""
    deposit_order: Ints
    """Number of the order among all orders of the simulation, as everywhere here."""
    deposit_key: Ints
    deposit_amount: npt.NDArray[Any]
    deposit_height: Ints
    deposit_seen: Ints
    float_key: Ints
    float_amount: npt.NDArray[Any]
    txids: Bytes
    """(transactions, 32)"""
    payment_height: Ints
    payment_fee: npt.NDArray[Any]
    first_input: Ints
    input_tx: Ints
    """By input of a payment: the transaction that made the coin; on a chain of accounts NONE."""
    input_vout: Ints
    """... and its place among the outputs; on a chain of accounts the nonce."""
    input_key: Ints
    input_amount: npt.NDArray[Any]
    first_output: Ints
    output_order: Ints
    """By output of a payment: the order that it pays, or NONE for the service's own."""
    output_place: Ints
    """... and which of its payouts."""
    output_key: Ints
    """The service's own key, or NONE."""
    output_amount: npt.NDArray[Any]
    unspent: npt.NDArray[Any]
    """One number: the sum of the wallet's coins, and of deposits that it does not count yet, as the record has them."""


class Told(msgspec.Struct):
    """What else the whole has to know of it."""

    service: str
    blocks: int
    refused: int
    entries: int
    head: str
    """Of the record: how many entries, and the hash of the last."""
    tags: dict[str, tuple[int, int]]
    """By coin: order and key of the first order that was paid."""


class Numbers(NamedTuple):
    """What is numbered on one chain, by its names."""

    tx: dict[str, int]
    key: dict[tuple[str, int], int]
    """By branch and index."""
    brought: dict[str, int]
    """Orders of this house by the transaction of their deposit."""
    walks: Walks


class Documents(NamedTuple):
    """Of one chain, each list in the order of the record."""

    watched: list[Watched]
    deposits: list[Deposit]
    coins: list[Coin]
    payments: list[Payment]


def documents(records: Records, coins: Iterable[str]) -> dict[str, Documents]:
    """By coin; invoices have none."""
    found = {coin: Documents([], [], [], []) for coin in coins}
    for watched in records.all_watched():
        if watched.coin in found:
            found[watched.coin].watched.append(watched)
    for deposit in records.all_deposits():
        found[deposit.coin].deposits.append(deposit)
    for coin in records.all_coins():
        found[coin.coin].coins.append(coin)
    for payment in records.all_payments():
        if payment.coin in found:
            found[payment.coin].payments.append(payment)
    return found


def side(docs: Documents, coin: str, form: Format, opened: Ints) -> tuple[Side, Numbers]:
    """`opened`: by number of an order in this house, from 1, its number in the simulation."""
    accounts, amounts = form.one_to_one, _wide if coin == "eth" else _plain
    floats = [each for each in docs.coins if each.origin is Origin.FLOAT]
    given = list(dict.fromkeys(each.sources[0] if accounts else each.txid for each in floats))
    txids = [each.txid for each in docs.deposits] + given + [each.txid for each in docs.payments]
    brought = {each.txid: each.order for each in docs.deposits}
    numbers = Numbers(
        {txid: number for number, txid in enumerate(txids)},
        {(each.branch, each.place): number for number, each in enumerate(docs.watched)},
        brought,
        walks(docs.payments, docs.coins, brought if accounts else {}),
    )
    key = numbers.key
    by_number = {each.number: each for each in docs.coins}
    spent = [(payment, by_number[number]) for payment in docs.payments for number in payment.coins]
    outputs = [each for payment in docs.payments for each in _outputs(payment, by_number, key, opened, accounts)]
    made = Side(
        keys=_payloads(docs.watched),
        kinds=_ints(form.kinds.index(each.kind) for each in docs.watched),
        deposit_order=opened[_ints(each.order for each in docs.deposits)],
        deposit_key=_ints(key["deposit", each.order] for each in docs.deposits),
        deposit_amount=amounts([each.amount for each in docs.deposits]),
        deposit_height=_ints(_height(each) for each in docs.deposits),
        deposit_seen=_ints(each.first_seen for each in docs.deposits),
        float_key=_ints(key[each.branch, each.index] for each in floats),
        float_amount=amounts([each.amount for each in floats]),
        txids=_raw(txids),
        payment_height=_ints(_height(each) for each in docs.payments),
        payment_fee=amounts([each.fee for each in docs.payments]),
        first_input=_offsets([len(each.coins) for each in docs.payments]),
        input_tx=_ints(NONE if accounts else numbers.tx[each.txid] for _, each in spent),
        input_vout=_ints(each.vout for _, each in spent),
        input_key=_ints(key[each.branch, each.index] for _, each in spent),
        input_amount=amounts([_sent(payment) if accounts else each.amount for payment, each in spent]),
        first_output=_offsets(
            [len(each.carried) + (each.change is not None and not accounts) for each in docs.payments]
        ),
        output_order=_ints(each[0] for each in outputs),
        output_place=_ints(each[1] for each in outputs),
        output_key=_ints(each[2] for each in outputs),
        output_amount=amounts([each[3] for each in outputs]),
        unspent=amounts([_held(docs)]),
    )
    return made, numbers


def _held(docs: Documents) -> int:
    """By the wallet, and what it does not count yet."""
    seen = sum(each.amount for each in docs.deposits if each.state is DepositState.SEEN)
    return seen + sum(each.amount for each in docs.coins if each.booked and each.spent_by is None)


def _height(found: Deposit | Payment) -> int:
    assert found.height is not None, "a run ends when everything is mined"
    return found.height


def _sent(payment: Payment) -> int:
    return payment.fee + sum(each.amount for each in payment.carried)


def _outputs(
    payment: Payment, coins: Mapping[int, Coin], key: Mapping[tuple[str, int], int], opened: Ints, accounts: bool
) -> Iterable[tuple[int, int, int, int]]:
    """(order, which of its payouts, key, amount)"""
    for each in payment.carried:
        yield int(opened[each.order]), each.output, NONE, each.amount
    if payment.change is not None and not accounts:
        made = coins[payment.change]
        yield NONE, NONE, key[made.branch, made.index], made.amount


def _payloads(watched: list[Watched]) -> Bytes:
    """(keys, _SIZE), filled up with zeros."""
    raw = b"".join([each.key[_HEADS.get(each.kind, 0) :][: _length(each.kind)].ljust(_SIZE, b"\0") for each in watched])
    return np.frombuffer(raw, np.uint8).reshape(len(watched), _SIZE)


def _length(kind: str) -> int:
    return SCRIPTS[kind][1]


def _raw(txids: list[str]) -> Bytes:
    raw = bytes.fromhex("".join([txid[-64:] for txid in txids]))
    return np.frombuffer(raw, np.uint8).reshape(len(txids), 32)


def _ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, np.int64)


def _plain(values: list[int]) -> Ints:
    return np.array(values, np.int64)


def _wide(values: list[int]) -> npt.NDArray[Any]:
    return np.array([str(value) for value in values], dtype="U40")


def _offsets(counts: list[int]) -> Ints:
    found = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=found[1:])
    return found


# -- rows -------------------------------------------------------------------------------------------------------------


class Rows:
    """Of one table, turned into columns every so often."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema, self._rows = schema, list[tuple[Any, ...]]()
        self._done: list[pa.RecordBatch] = []

    def add(self, row: tuple[Any, ...]) -> None:
        self._rows.append(row)
        if len(self._rows) == _BATCH:
            self._turn()

    def table(self) -> pa.Table:
        self._turn()
        return pa.Table.from_batches(self._done, self._schema)

    def _turn(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
            self._done.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
            self._rows.clear()


def tables(
    records: Records, docs: Mapping[str, Documents], numbers: Mapping[str, Numbers], opened: Ints
) -> dict[str, pa.Table]:
    """By the names of TABLES."""
    found = {name: Rows(schema) for name, schema in TABLES.items()}
    _orders(Book(records), numbers, opened, found["order"], found["link"])
    for coin in docs:
        _hops(records, docs[coin], numbers[coin], found["hop"])
        for key, each in enumerate(docs[coin].watched):
            name = None if each.order is None else records.order_by_number(each.order).id
            found["wallet_truth"].add((coin, each.service, each.branch, each.kind, name, key))
    return {name: rows.table() for name, rows in found.items()}


def _orders(book: Book, numbers: Mapping[str, Numbers], opened: Ints, orders: Rows, links: Rows) -> None:
    names = [field.name for field in ORDER][:-2]

    def met(order: Order, payment: Payment) -> tuple[int | None, bool]:
        if payment.coin not in numbers:
            return None, False  # Lightning: no coin moved
        return numbers[payment.coin].walks.met(payment.number, order.number)

    for order in book.every_order():
        divided, index = truth.shares(order, book.deposits(order)), int(opened[order.number])
        row = dataset.order_row(order, divided)
        orders.add((*[row[name] for name in names], numbers[order.coin].key["deposit", order.number], index))
        for link in truth.order_links(book, order, met, divided):
            _link(link, numbers, index, links)


def _link(link: truth.Link, numbers: Mapping[str, Numbers], index: int, rows: Rows) -> None:
    lightning = link.coin == truth.LIGHTNING
    payout, payment_hash = (None, link.txid) if lightning else (numbers[link.coin].tx[link.txid], None)
    deposits = numbers[link.deposit_coin].tx
    for part in link.parts:
        rows.add(
            (
                *(link.service, link.order, link.output, link.deposit_coin, link.coin, payment_hash, link.height),
                *(part.amount, link.amount, link.asked, link.passed, link.fee, link.hops, link.truncated),
                *(deposits[part.txid], payout, None if lightning else link.vout, index),
            )
        )


def _hops(records: Records, docs: Documents, numbers: Numbers, rows: Rows) -> None:
    payment_of = {each.number: each.txid for each in docs.payments}
    coin_of = {each.number: each for each in docs.coins}
    for payment in docs.payments:
        tx, kind = numbers.tx[payment.txid], "payout" if payment.carried else "sweep"
        for coin in map(coin_of.__getitem__, payment.coins):
            account = coin.kind == "account"
            made_by = None if coin.made_by is None else numbers.tx[payment_of[coin.made_by]]
            order = None if coin.order is None else records.order_by_number(coin.order).id
            paid_in = [numbers.tx[txid] for txid in coin.sources if txid in numbers.tx]
            made_tx = None if account else numbers.tx[coin.txid]
            vout = coin.vout if coin.origin is not Origin.DEPOSIT else 0
            rows.add(
                (
                    *(coin.service, coin.coin, tx, kind, coin.vout if account else None, coin.amount),
                    *(coin.origin.value, made_by, order, paid_in, made_tx, vout, numbers.key[coin.branch, coin.index]),
                )
            )


# -- files ------------------------------------------------------------------------------------------------------------


class Left(NamedTuple):
    """Of one service."""

    told: Told
    sides: dict[str, Side]
    tables: dict[str, pa.Table]


def save(left: Left, folder: Path) -> None:
    for coin, each in left.sides.items():
        np.savez(folder / f"{coin}.npz", allow_pickle=False, **each._asdict())
    for name, table in left.tables.items():
        with pa.OSFile(str(folder / f"{name}.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    (folder / "told.json").write_bytes(msgspec.json.encode(left.told))


def load(folder: Path) -> Left:
    told = msgspec.json.decode((folder / "told.json").read_bytes(), type=Told)
    found = {path.stem: Side(**np.load(path)) for path in sorted(folder.glob("*.npz"))}
    read = {name: pa.ipc.open_file(pa.memory_map(str(folder / f"{name}.arrow"))).read_all() for name in TABLES}
    return Left(told, found, read)
