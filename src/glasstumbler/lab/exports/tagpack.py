"""GraphSense TagPacks (graphsense-tagpack-tool, src/tagpack/conf/tagpack_schema.yaml): addresses with their owner.

    public/SERVICE-COIN-N.yaml     what the observer knows
    services/SERVICE-COIN-N.yaml   the answer key: every address of a service that its chain shows

What all tags of a file share stands in its header, from which they inherit it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from glasstumbler import services
from glasstumbler.lab.tasks import Dataset

MOST_TAGS: Final = 100_000
"""Of a file; the tool passes over files above 200 MB."""
CONCEPTS: Final[Mapping[str, str]] = {"mixer": "mixing_service", "swap": "exchange"}
"""Of the taxonomy that the tool ships (db/concepts.yaml), by the category of schemas.PUBLIC_TAG."""
NETWORKS: Final[Mapping[str, str]] = {"regtest": "REGTEST"}
"""Ends of the network's name, by what the manifest calls it: no tool takes the addresses for those of a live chain."""
OTHERS: Final = "PRIVATE-TESTNET"
"""In place of what is not in NETWORKS."""


class Kind(NamedTuple):
    """Of packs. `confidence` is of the tool's db/confidence.csv."""

    folder: str
    what: str
    confidence: str


PUBLIC: Final = Kind("public", "tags that an observer has", "manual_transaction")
"""An own test order showed them: the tagger paid there."""
KEY: Final = Kind("services", "addresses of a service, from the answer key", "ownership")
"""The laboratory holds the keys."""


def write(dataset: Dataset, out: Path) -> None:
    names = dataset.names
    tags = pl.read_parquet(dataset.folder / "observer" / "public_tag.parquet")
    tags = tags.join(names, on=["coin", "address"], maintain_order="left")
    _packs(dataset, PUBLIC, tags.select("coin", "name", service="label"), out)
    wallets = dataset.answers("wallet_truth").select("coin", "service", name="address")
    _packs(dataset, KEY, wallets.join(names, on=["coin", "name"], how="semi", maintain_order="left"), out)


def _packs(dataset: Dataset, kind: Kind, rows: pl.DataFrame, out: Path) -> None:
    """`rows`: coin, service, name of the address."""
    (out / kind.folder).mkdir()
    for (service, coin), of_both in sorted(rows.group_by("service", "coin", maintain_order=True)):
        for number, part in enumerate(of_both.iter_slices(MOST_TAGS), 1):
            path = out / kind.folder / f"{service}-{coin}-{number}.yaml"
            path.write_text(_text(_header(dataset, kind, str(service), str(coin)), part["name"]), encoding="utf-8")


def _header(dataset: Dataset, kind: Kind, service: str, coin: str) -> dict[str, Any]:
    of = dataset.manifest
    run = f"Glass Tumbler dataset {of['scenario']}, seed {of['seed']}"
    return {
        "title": f"{service} on a private {coin} test chain: {kind.what}",
        "creator": "Glass Tumbler, a laboratory on private test chains",
        "description": of["notice"],
        "label": service,
        "source": f"{run}, {kind.folder}",
        "currency": coin.upper(),
        "network": f"{coin.upper()}-{NETWORKS.get(of['chains'][coin]['network'], OTHERS)}",
        "confidence": kind.confidence,
        "concepts": [CONCEPTS[_category(service)]],
    }


def _category(service: str) -> str:
    return "swap" if services.SERVICES[service].policy.swap is not None else "mixer"


def _text(header: Mapping[str, Any], names: pl.Series) -> str:
    """YAML, whose strings may be written as JSON's."""
    lines = [f"{field}: {json.dumps(value)}" for field, value in header.items()]
    return "\n".join(["---", *lines, "tags:", *(f"  - address: {json.dumps(name)}" for name in names), ""])
