"""The data card: what a dataset is, for people, out of its manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from glasstumbler.errors import StoreError
from glasstumbler.lab import schemas


def write(manifest: Path) -> Path:
    """DATASET.md beside the manifest. StoreError if it cannot be written."""
    path = manifest.with_name("DATASET.md")
    try:
        path.write_text(text(json.loads(manifest.read_text(encoding="utf-8"))), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from None
    return path


def text(manifest: dict[str, Any]) -> str:
    """Markdown."""
    scenario = manifest["settings"]
    lines = [
        f"# Dataset: {manifest['scenario']}, seed {manifest['seed']}",
        "",
        scenario["about"],
        "",
        manifest["notice"],
        "",
        "| What | |",
        "|---|---|",
        f"| Mode | {manifest['mode']} |",
        f"| Orders asked for | {manifest['orders']:,} |",
        f"| Refused by a service | {manifest['refused']:,} |",
        f"| Deposits for which nobody had coins | {manifest['unpaid']:,} |",
        f"| Time covered, epoch seconds | {manifest['begin']} to {manifest['end']} |",
        f"| Orders a day, phase by phase | {', '.join(f'{volume:,}' for volume in scenario['volumes'])} |",
        f"| This seed is for | {manifest['seed_is_for']} |",
        f"| Models in place of real consensus | {', '.join(manifest['models']) or 'none'} |",
        f"| Chains that hide amounts and addresses | {', '.join(manifest['hidden']) or 'none'} |",
        "",
        *_means(manifest),
        "## Chains",
        "",
        "| Coin | Network | Node | Height |",
        "|---|---|---|---|",
        *(f"| {c} | {of['network']} | {of['node']} | {of['height']:,} |" for c, of in manifest["chains"].items()),
        "",
        "## Tables",
        "",
        "| File | Rows | What |",
        "|---|---|---|",
        *(f"| {name} | {file['rows']:,} | {_doc(name)} |" for name, file in manifest["files"].items()),
        "",
        "## What it is good for, and what not",
        "",
        "The chains are synthetic and the services follow stated policies (answers/service_policy). A method's score",
        "on this dataset holds for these policies and this traffic; it says nothing of any live service.",
        "An observer's method is given the folder `observer` only. `answers` is the key: keep it from the method.",
        "Tune on training seeds and on the period `train`; score a test seed once.",
        "",
        "Versions: " + ", ".join(f"{name} {number}" for name, number in manifest["versions"].items() if number) + ".",
    ]
    return "\n".join(lines) + "\n"


def _means(manifest: dict[str, Any]) -> list[str]:
    """What is to be known of a mode, and the records that were kept."""
    if "mode_means" not in manifest:
        return []
    kept = [f"| {of['file']} | {of['entries']:,} | {of['head']} |" for of in manifest["record"].values()]
    return [
        "## The mode",
        "",
        manifest["mode_means"],
        "",
        "| Record | Entries | Hash of the last |",
        "|---|---|---|",
        *kept,
        "",
    ]


def _doc(name: str) -> str:
    folder, _, file = name.partition("/")
    tables = {**schemas.OBSERVER, **schemas.ANSWERS, **schemas.MORE[folder]}
    return str(tables[file.removesuffix(".parquet")].metadata[b"doc"].decode())
