"""One worked laboratory and its dataset for all tests of datasets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from glasstumbler.lab import dataset
from tests.laboratory import Laboratory

ABOUT = dataset.About(seed=1, scenario="test", lightning_model=True)


def worked(seed: int = 1) -> Laboratory:
    """A laboratory in which every kind of payout happened."""
    lab = Laboratory("btc", "bch", "eth", "xmr", "lightning", seed=seed)
    orders = [lab.bearer("coinjoin", [6_00_000_000, 1_000_000]), lab.bearer("whir", [3_000_000], hours=1)]
    orders += [lab.codes(coin, (505, 295, 200), minutes=30) for coin in ("btc", "bch", "eth", "eth")]
    orders += [lab.swap(3_000_000), lab.swap_lightning(40_000)]
    for order in orders:
        lab.fund(order)
    lab.house.advance(3600)
    lab.settle()
    return lab


def exported(lab: Laboratory, out: Path) -> Path:
    with lab.house.store.snapshot() as records:
        return dataset.export(records, lab.house.chains, lab.house.policies, ABOUT, out)


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    """Of a dataset's table, such as observer/tx."""
    found: list[dict[str, Any]] = pq.read_table(folder / f"{name}.parquet").to_pylist()
    return found


@pytest.fixture(scope="package")
def worked_lab() -> Iterator[Laboratory]:
    """Not to be changed."""
    with closing(worked()) as laboratory:
        yield laboratory


@pytest.fixture(scope="package")
def folder(worked_lab: Laboratory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of its dataset."""
    return exported(worked_lab, tmp_path_factory.mktemp("dataset")).parent
