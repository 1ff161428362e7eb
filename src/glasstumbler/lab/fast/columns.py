"""Arrow columns out of arrays, without a Python object for each value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glasstumbler.lab import schemas
from glasstumbler.lab.fast.chains import Amounts
from glasstumbler.lab.fast.left import NONE, Bytes
from glasstumbler.lab.population import Flags, Ints

_HEX = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), np.uint16)


def amounts(values: Amounts, there: Flags | None = None) -> pa.Array:
    """schemas.AMOUNT; null where not `there`."""
    if values.dtype == object:
        known = values.tolist() if there is None else [v if ok else None for v, ok in zip(values, there, strict=True)]
        return pa.array(known, schemas.AMOUNT)
    halves = np.zeros((len(values), 2), np.int64)
    halves[:, 0] = values
    halves[:, 1] = values >> 63
    return pa.Array.from_buffers(schemas.AMOUNT, len(values), [_valid(there), pa.py_buffer(halves)])


def numbers(values: Ints, kind: pa.DataType) -> pa.Array:
    """Null in place of NONE where that can be; `kind` int32 or int64."""
    there = values != NONE
    width = np.int32 if kind == pa.int32() else np.int64
    valid = None if there.all() else _valid(there)
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(np.ascontiguousarray(values, width))])


def nothing(count: int, kind: pa.DataType) -> pa.Array:
    return pa.nulls(count, kind)


def same(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text), count)


def hashes(raw: Bytes, prefix: str = "") -> pa.Array:
    """Hex digits of rows of bytes."""
    letters = _HEX[raw].view(np.uint8)
    if prefix:
        lead = np.repeat(np.frombuffer(prefix.encode(), np.uint8)[None, :], len(letters), axis=0)
        letters = np.concatenate([lead, letters], axis=1)
    ends = np.arange(len(letters) + 1, dtype=np.int32) * letters.shape[1]
    return pa.StringArray.from_buffers(len(letters), pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(letters)))


def table(schema: pa.Schema, columns: Sequence[Any]) -> pa.Table:
    """In the schema's order."""
    return pa.Table.from_arrays(
        [
            c if isinstance(c, pa.Array | pa.ChunkedArray) else pa.array(c, f.type)
            for c, f in zip(columns, schema, strict=True)
        ],
        schema=schema,
    )


def _valid(there: Flags | None) -> pa.Buffer | None:
    if there is None:
        return None
    bits: npt.NDArray[np.uint8] = np.packbits(there, bitorder="little")
    return pa.py_buffer(bits)
