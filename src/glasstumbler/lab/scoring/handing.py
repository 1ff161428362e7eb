"""What a method is told and what it answers, as Arrow files: the one way between it and whoever scores it.

Nothing is unpickled. An answer may come from a process that is not trusted: it is opened only if it is a plain file,
and checked through and through before anyone looks at it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from glasstumbler.errors import MethodError
from glasstumbler.lab.methods.base import Cluster, OwnOrder, Told

_TEXT, _LONG = pa.string(), pa.int64()
_CLUSTERS: Final = pa.schema([("service", _TEXT), ("coin", _TEXT), ("addresses", pa.list_(_LONG))])
_ORDERS: Final = pa.schema(
    [("service", _TEXT), ("coin", _TEXT), ("output", _LONG), ("coins", pa.list_(_TEXT)), ("outputs", pa.list_(_LONG))]
)
_ASKED: Final = pa.schema([("service", _TEXT)])
_SEEDS: Final = pa.schema([("coin", _TEXT), ("output", _LONG)])


def write_told(told: Told, folder: Path) -> None:
    """Into an empty folder."""
    orders = [
        (one.service, one.deposit_coin, one.deposit_output, *map(list, zip(*one.payouts, strict=True)))
        for one in told.own_orders
        if one.payouts
    ]
    tables = {
        "tags": told.tags,
        "clusters": _table(_CLUSTERS, told.clusters),
        "orders": _table(_ORDERS, orders),
        "seeds": _table(_SEEDS, told.seeds),
        "asked": _table(_ASKED, [(service,) for service in told.asked]),
        "prices": told.prices,
    }
    for name, table in tables.items():
        if table is not None:
            _write(table, folder / f"{name}.arrow")


def _table(schema: pa.Schema, rows: Iterable[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table(
        [pa.array(column, field.type) for field, column in zip(schema, columns, strict=True)], schema=schema
    )


def _write(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(str(path), table.schema) as file:
        file.write_table(table)


def read_told(folder: Path) -> Told:
    tables = {path.stem: pa.ipc.open_file(pa.OSFile(str(path))).read_all() for path in folder.glob("*.arrow")}
    clusters = tables["clusters"]
    addresses = (each.values.to_numpy(zero_copy_only=False) for each in clusters["addresses"])
    return Told(
        tables["tags"],
        tuple(map(Cluster, clusters["service"].to_pylist(), clusters["coin"].to_pylist(), addresses)),
        tuple(
            OwnOrder(service, coin, output, tuple(zip(coins, outputs, strict=True)))
            for service, coin, output, coins, outputs in zip(*tables["orders"].to_pydict().values(), strict=True)
        ),
        tables.get("prices"),
        tuple(zip(*tables["seeds"].to_pydict().values(), strict=True)),
        tuple(tables["asked"]["service"].to_pylist()),
    )


def write_answer(table: pa.Table, path: Path) -> None:
    """Names of coins as numbers into a list of them: a tenth of the size."""
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            table = table.set_column(place, field.name, pc.dictionary_encode(table.column(place)))
    _write(table, path)


def read_answer(path: Path) -> pa.Table:
    """MethodError in one line if there is none, or it is none."""
    try:
        place = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        raise MethodError("it gave no answer") from None
    with os.fdopen(place, "rb") as file:
        if not stat.S_ISREG(os.fstat(place).st_mode):
            raise MethodError("its answer is no file")
        try:
            table = pa.ipc.open_file(file).read_all()
            table.validate(full=True)
        except (pa.ArrowException, OSError) as error:
            raise MethodError(f"its answer cannot be read: {str(error).splitlines()[0]}") from None
    return table
