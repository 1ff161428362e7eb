"""The observer's part of a dataset in memory: each chain as flat arrays, which methods work on.

Transactions, outputs and addresses are the numbers of the dataset (schemas.py), so an array's index is its number.
What belongs to a transaction lies together: its outputs are `first_output[tx]` up to `first_output[tx + 1]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from glasstumbler.errors import DatasetError
from glasstumbler.lab import schemas

Ints = npt.NDArray[np.int64]
Shorts = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]
NONE: Final = -1
"""In place of a number or an amount that is hidden or does not exist."""
UNITS: Final[Mapping[str, int]] = {"eth": 10**9}
"""Base units in one unit of the arrays, where 64 bits do not hold base units: Ethereum's amounts are whole gwei here,
rounded down. The dataset's tables have them exactly."""


class Graph:
    """One chain."""

    def __init__(self, coin: str, tables: Mapping[str, pa.Table]) -> None:
        """`tables`: those of schemas.OBSERVER, or what _COLUMNS has of them, with the rows of this coin only."""
        self.coin, self.unit = coin, UNITS.get(coin, 1)
        txs, inputs, outputs, blocks = (tables[name] for name in ("tx", "input", "output", "block"))
        self.height: Shorts = _numbers(txs["height"]).astype(np.int32)
        """Of each transaction's block."""
        times = np.zeros(len(blocks), np.int64)
        times[_numbers(blocks["height"])] = _numbers(blocks["time"])
        self.time: Ints = times[self.height] if len(times) else np.zeros(0, np.int64)
        """Of each transaction's block, epoch seconds."""
        self.coinbase: Flags = _flags(txs["coinbase"])
        self.size: Shorts = _numbers(txs["bytes"]).astype(np.int32)
        self.fee: Ints = _amounts(txs["fee"], self.unit)
        self.first_input: Ints = _offsets(_numbers(inputs["tx"]), len(txs))
        self.first_output: Ints = _offsets(_numbers(outputs["tx"]), len(txs))
        self.spends: Ints = _numbers(inputs["output"])
        """By input: the output that is spent; NONE on a chain of accounts."""
        self.account: Ints = _numbers(inputs["account"])
        """By input: the sender's address on a chain of accounts; NONE elsewhere."""
        self.nonce: Ints = _numbers(inputs["nonce"])
        self.paid_in: Ints = _amounts(inputs["amount"], self.unit)
        """By input: its amount."""
        self.address: Ints = _numbers(outputs["address"])
        """By output."""
        self.amount: Ints = _amounts(outputs["amount"], self.unit)
        """By output."""
        self.names: pa.ChunkedArray = tables["address"]["name"]
        """By address: in test-network form."""

    @classmethod
    def mapped(cls, coin: str, folder: Path) -> Graph:
        """Out of what `lay` left there. A change to an array is the process's own."""
        graph = cls.__new__(cls)
        graph.coin, graph.unit = coin, UNITS.get(coin, 1)
        for name in _LAID:
            setattr(graph, name, np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c")))
        graph.names = pa.ipc.open_file(pa.memory_map(str(folder / _NAMES))).read_all()["name"]
        return graph

    def lay(self, folder: Path) -> None:
        """Into a folder that is not there yet, for processes that share the memory."""
        folder.mkdir(parents=True)
        for name in _LAID:
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)
        table = pa.table({"name": self.names})
        with pa.ipc.new_file(str(folder / _NAMES), table.schema) as file:
            file.write_table(table)

    @property
    def txs(self) -> int:
        return len(self.height)

    @property
    def outputs(self) -> int:
        return len(self.address)

    @property
    def addresses(self) -> int:
        return len(self.names)

    @cached_property
    def tx_of_input(self) -> Ints:
        return _owners(self.first_input)

    @cached_property
    def tx_of_output(self) -> Ints:
        return _owners(self.first_output)

    @cached_property
    def spender(self) -> Ints:
        """By output: the transaction that spends it; NONE if none does."""
        found = np.full(self.outputs, NONE, np.int64)
        known = self.spends != NONE
        found[self.spends[known]] = self.tx_of_input[known]
        return found

    @cached_property
    def input_address(self) -> Ints:
        """By input: the address that it spends from."""
        found = self.account.copy()
        known = self.spends != NONE
        found[known] = self.address[self.spends[known]]
        return found

    @cached_property
    def first_payer(self) -> Ints:
        """By address: the first transaction that pays it; NONE if none does. At the end, what NONE finds."""
        found = np.full(self.addresses + 1, NONE, np.int64)
        found[self.address[::-1]] = self.tx_of_output[::-1]  # the last one written stays
        return found


class Public:
    """What anyone can see of a dataset. A chain's tables are read when it is asked for, and only what a Graph needs."""

    def __init__(self, folder: Path, laid: Path | None = None) -> None:
        """`folder` is the dataset's `observer`; `laid`: where `lay` put its graphs. DatasetError if a table is missing,
        or not as schemas.py has it."""
        self._folder, self._laid = folder, laid
        for name, schema in schemas.OBSERVER.items():
            _check(folder, name, schema)
        self.coins: tuple[str, ...] = tuple(pc.unique(_read(folder, "tx", ["coin"])["coin"]).to_pylist())
        self._graphs: dict[str, Graph] = {}

    def graph(self, coin: str) -> Graph:
        """DatasetError if the dataset has no such chain."""
        if coin not in self.coins:
            raise DatasetError(f"the dataset has no chain of {coin}; it has {', '.join(self.coins)}")
        if coin not in self._graphs and self._laid is not None:
            self._graphs[coin] = Graph.mapped(coin, self._laid / coin)
        if coin not in self._graphs:
            tables = {name: _read(self._folder, name, columns, coin) for name, columns in _COLUMNS.items()}
            self._graphs[coin] = Graph(coin, tables)
        return self._graphs[coin]

    def lay(self, folder: Path) -> Public:
        """The same on files in a folder, which several processes may map into their memory. One chain after another,
        and nothing of them is kept here."""
        for coin in self.coins:
            self.graph(coin).lay(folder / coin)
            del self._graphs[coin]
        return Public(self._folder, folder)

    @cached_property
    def tags(self) -> pa.Table:
        """schemas.PUBLIC_TAG."""
        return _read(self._folder, "public_tag", schemas.PUBLIC_TAG.names)


_LAID: Final = (
    *("height", "time", "coinbase", "size", "fee", "first_input", "first_output", "spends", "account", "nonce"),
    *("paid_in", "address", "amount", "tx_of_input", "tx_of_output", "spender", "input_address"),
)
"""Arrays of a Graph, with all that methods would reckon anew, each for itself."""
_NAMES: Final = "names.arrow"
_COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "block": ("height", "time"),
    "tx": ("height", "coinbase", "bytes", "fee"),
    "input": ("tx", "output", "account", "nonce", "amount"),
    "output": ("tx", "address", "amount"),
    "address": ("name",),
}
"""That a Graph is made of."""


def _check(folder: Path, name: str, schema: pa.Schema) -> None:
    path = folder / f"{name}.parquet"
    try:
        found = pq.read_schema(path)
    except FileNotFoundError:
        raise DatasetError(f"{folder} lacks {path.name}") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None
    if not found.equals(schema):
        raise DatasetError(f"{path} has other columns than this program's: {', '.join(found.names)}")


def _read(folder: Path, name: str, columns: Sequence[str], coin: str | None = None) -> pa.Table:
    """Rows of one coin, or all."""
    path = folder / f"{name}.parquet"
    try:
        return pq.read_table(path, columns=list(columns), filters=None if coin is None else [("coin", "=", coin)])
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None


def _numbers(column: pa.ChunkedArray) -> Ints:
    found: Ints = pc.fill_null(column.cast(pa.int64()), NONE).to_numpy()
    return found


def _flags(column: pa.ChunkedArray) -> Flags:
    found: Flags = column.to_numpy(zero_copy_only=False).astype(np.bool_)
    return found


def _amounts(column: pa.ChunkedArray, unit: int) -> Ints:
    """Whole units; what is left over is cut off. Arrow divides no decimals of 38 places, so their two halves are."""
    if unit == 1:
        return _numbers(column)
    array = column.combine_chunks()
    halves = np.frombuffer(array.buffers()[1], np.uint64).reshape(-1, 2)[array.offset : array.offset + len(array)]
    low, high = halves[:, 0], halves[:, 1]
    per_high, rest = divmod(1 << 64, unit)
    whole = high * np.uint64(per_high) + low // np.uint64(unit)
    whole += (high * np.uint64(rest) + low % np.uint64(unit)) // np.uint64(unit)
    found: Ints = np.where(array.is_null().to_numpy(zero_copy_only=False), NONE, whole.astype(np.int64))
    return found


def _offsets(owners: Ints, count: int) -> Ints:
    """Where each owner's rows begin, and the end of the last; the rows come owner by owner."""
    found = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(owners, minlength=count), out=found[1:])
    return found


def _owners(offsets: Ints) -> Ints:
    found: Ints = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return found
