"""What a folder was begun with and keeps to: where its record is, and what its chains run on.

A folder's chains and secret belong to one record. Another one beside it would give out the same addresses again, so the
first address is written down (without user and password), and a command that names another one is refused. A chain
that in-process code has made is not one that a node knows, and the other way round, so that is written down too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, cast, get_args

from glasstumbler.errors import SettingsError, StoreError
from glasstumbler.store.url import check_place, name_of

NodeKind = Literal["in-process", "real"]
_FILE, _NODES, _CHAINS = "store", "ground", "chains"
_OWN = "record.db"


def record_of(data: Path, store: str | None) -> str | Path:
    """The record's address: `store`, or the folder's own file. SettingsError if the folder's record is elsewhere."""
    check_place(store)
    path = data / _FILE
    known = _read(path)
    if known not in (None, _name(store)):
        option = "no --store" if known == _OWN else "--store"
        raise SettingsError(f"the record of {data} is {known} ({option}); if it was moved there, delete {path}")
    return store or data / _OWN


def remember(data: Path, store: str | None) -> None:
    """Once the record is open for the first time; whole or not at all. StoreError if the folder takes no file."""
    _write(data / _FILE, _name(store))


def nodes_of(data: Path, asked: NodeKind | None) -> NodeKind:
    """What the chains run on: as asked, as the folder was begun, or in-process. SettingsError where these differ."""
    known = _read(data / _NODES) or ("in-process" if (data / _CHAINS).exists() else None)
    if known is not None and known not in get_args(NodeKind):
        raise StoreError(f"{data / _NODES} says {known!r}, which is none of: {', '.join(get_args(NodeKind))}")
    if asked is not None and known not in (None, asked):
        raise SettingsError(f"the chains of {data} run on {known} nodes for good (--nodes {known}); use another folder")
    return asked or cast(NodeKind | None, known) or "in-process"


def remember_nodes(data: Path, nodes: NodeKind) -> None:
    """Before the chains are made."""
    _write(data / _NODES, nodes)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() if path.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"cannot read {path}: {error}") from None


def _write(path: Path, line: str) -> None:
    if path.exists():
        return
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        part.write_text(f"{line}\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror}") from None


def _name(store: str | None) -> str:
    return _OWN if store is None else name_of(store)
