"""Whether a method's answer can be: right columns, true numbers, each thing once, nothing that does not exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from glasstumbler.errors import MethodError
from glasstumbler.lab.methods.base import ANSWERS
from glasstumbler.lab.public import Flags, Ints, Public

Column = npt.NDArray[Any]
Columns = Mapping[str, Column]
"""An answer as arrays. Coins are small numbers: places in Public.coins."""
_PARTS: Final = {"T5": "tainted", "T7": "score"}
"""Columns that go from 0 to 1 whatever the method."""


def checked(table: pa.Table, task: str, public: Public, probabilities: bool) -> Columns:
    """MethodError in one line for the first thing that is wrong. `probabilities`: scores must be such."""
    columns = {field.name: _column(table, field, public.coins) for field in _shaped(table, task)}
    number = _PARTS.get(task, "score")
    if number in columns:
        _numbers(columns[number], number, probabilities or task in _PARTS)
    _there(columns, task, public)
    keys = [name for name in columns if name not in ("score", "tainted", "cluster")]
    _once([columns[name] for name in keys], keys)
    return columns


def _shaped(table: pa.Table, task: str) -> pa.Schema:
    schema = ANSWERS[task]
    if sorted(table.schema.names) != sorted(schema.names):
        raise MethodError(
            f"its answer has the columns {', '.join(table.schema.names) or 'none'};"
            f" those of {task} are {', '.join(schema.names)}"
        )
    return schema


def _column(table: pa.Table, field: pa.Field, coins: Sequence[str]) -> Column:
    column = table.column(field.name)
    if column.null_count:
        raise MethodError(f"{column.null_count} rows of its answer have no {field.name}")
    if field.type == pa.string():
        return _coins(column, field.name, coins)
    try:
        plain: Column = column.cast(field.type).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise MethodError(f"its column {field.name} is of {column.type}, and not of {field.type}") from None
    return plain


def _coins(column: pa.ChunkedArray, name: str, coins: Sequence[str]) -> Column:
    found = []
    for chunk in column.chunks:
        if not pa.types.is_dictionary(chunk.type):
            chunk = chunk.dictionary_encode()
        if not (pa.types.is_string(chunk.type.value_type) or pa.types.is_large_string(chunk.type.value_type)):
            raise MethodError(f"its column {name} is of {column.type}, and not of string")
        number = pc.index_in(chunk.dictionary.cast(pa.string()), pa.array(coins, pa.string()))
        places = pc.fill_null(number, -1).to_numpy(zero_copy_only=False).astype(np.int16)
        one = np.append(places, np.int16(0))[chunk.indices.to_numpy(zero_copy_only=False)]
        if len(one) and one.min() < 0:
            strange = chunk.dictionary[int(chunk.indices[int(one.argmin())].as_py())].as_py()
            raise MethodError(f"its answer speaks of the coin {strange!r}; the dataset has {', '.join(coins)}")
        found.append(one)
    return np.concatenate([np.zeros(0, np.int16), *found])


def _numbers(column: Column, name: str, part: bool) -> None:
    strange = np.flatnonzero(~np.isfinite(column))
    if len(strange):
        raise MethodError(
            f"{len(strange)} rows of its answer have a {name} that is no number, the first is row {strange[0]}"
        )
    if part and len(column) and (column.min() < 0 or column.max() > 1):
        wrong = int(np.flatnonzero((column < 0) | (column > 1))[0])
        raise MethodError(f"its {name} must go from 0 to 1, and row {wrong} has {column[wrong]:g}")


def _there(columns: Columns, task: str, public: Public) -> None:
    graphs = [public.graph(coin) for coin in public.coins]
    outputs, addresses, txs = (
        np.array([getattr(one, name) for one in graphs]) for name in ("outputs", "addresses", "txs")
    )
    if task in ("T1", "T4"):
        _below(columns["address"], addresses, columns["coin"], "address", public)
    elif task == "T5":
        _below(columns["output"], outputs, columns["coin"], "output", public)
    elif task == "T7":
        _below(columns["tx"], txs, columns["coin"], "tx", public)
        for coin, graph in enumerate(graphs):
            mine = np.asarray(columns["coin"] == coin)
            for name, first in (("place", graph.first_input), ("vout", graph.first_output)):
                tx = columns["tx"][mine].astype(np.int64)
                _all(columns[name][mine], first[tx + 1] - first[tx], name, graph.coin)
    else:
        for side in ("deposit", "payout"):
            _below(columns[f"{side}_output"], outputs, columns[f"{side}_coin"], f"{side}_output", public)


def _below(numbers: Column, many: Ints, coin: Column, what: str, public: Public) -> None:
    wrong: Flags = (numbers < 0) | (numbers >= many[coin])
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        name = public.coins[int(coin[row])]
        raise MethodError(
            f"{int(wrong.sum())} rows of its answer name what does not exist, such as {what} {numbers[row]:.0f} on"
            f" {name}, which has {many[coin[row]]:,}"
        )


def _all(numbers: Column, many: Ints, what: str, coin: str) -> None:
    wrong = (numbers < 0) | (numbers >= many)
    if wrong.any():
        raise MethodError(
            f"{int(wrong.sum())} rows of its answer name a {what} that its transaction on {coin} does not have"
        )


def _once(keys: Sequence[Column], names: Sequence[str]) -> None:
    """Two numbers at a time become one, in order, so that one sort tells."""
    joined = np.zeros(len(keys[0]), np.int64)
    for key in keys:
        width = int(key.max(initial=0)) + 1
        if int(joined.max(initial=0)) >= (1 << 62) // width:
            joined = np.unique(joined, return_inverse=True)[1]
        joined *= width
        joined += key
    if not (joined[1:] > joined[:-1]).all():
        joined.sort()
    again = int((joined[1:] == joined[:-1]).sum())
    if again:
        raise MethodError(f"{again} rows of its answer say again what another row says (same {', '.join(names)})")
