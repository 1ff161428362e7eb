"""Blocks as Bitcoin Core and its kin keep them: `COIN/blk00000.dat` and so on, each block behind the network's mark and
its size (Bitcoin Core, `FlatFileSeq` and `BlockManager::SaveBlockToDisk`)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from glasstumbler.errors import DatasetError
from glasstumbler.lab.tasks import Dataset

MAGIC: Final = bytes.fromhex("fabfb5da")
"""Of regtest on disk: Bitcoin Core, Litecoin Core, and Bitcoin Cash Node (whose network has another one)."""
MOST_BYTES: Final = 128 << 20
"""Of a file: Core's MAX_BLOCKFILE_SIZE."""
_AT_ONCE: Final = 64


def write(dataset: Dataset, out: Path) -> None:
    """DatasetError if the dataset keeps no raw blocks."""
    if not dataset.has("observer/raw_block"):
        raise DatasetError(f"{dataset.folder} has no raw blocks; `simulate --mode signed` keeps them: make it anew")
    for coin, rows in groupby(_rows(dataset.folder / "observer" / "raw_block.parquet"), key=itemgetter(0)):
        folder = out / coin
        folder.mkdir()
        _files(folder, (raw for _, raw in rows))
    if not any(out.iterdir()):
        raise DatasetError(f"{dataset.folder} has no chain of btc, bch or ltc: other coins have no such blocks")


def _rows(path: Path) -> Iterator[tuple[str, bytes]]:
    for batch in pq.ParquetFile(path).iter_batches(_AT_ONCE, columns=["coin", "raw"]):
        yield from zip(batch["coin"].to_pylist(), batch["raw"].to_pylist(), strict=True)


def _files(folder: Path, raws: Iterator[bytes]) -> None:
    number, room = -1, 0
    for raw in raws:
        framed = MAGIC + len(raw).to_bytes(4, "little") + raw
        if len(framed) > room or number < 0:
            number, room = number + 1, MOST_BYTES
        with (folder / f"blk{number:05}.dat").open("ab") as file:
            file.write(framed)
        room -= len(framed)
