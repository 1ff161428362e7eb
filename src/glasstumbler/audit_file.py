"""The record's SQLite file as a file: its schema, its pages and indexes, and the end of its write-ahead log.

SQLite drops the end of a log whose checksum does not hold, since a power cut leaves such an end. What a power cut does
not leave is a whole transaction behind it: then something that was committed has been damaged.
"""

from __future__ import annotations

import struct
from itertools import count
from pathlib import Path

from glasstumbler.audit_entries import MOST, Finding, Findings
from glasstumbler.store.records import Records
from glasstumbler.store.sqlite import SqliteStore

_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master"
_HEADER, _FRAME = 32, 24
_MX_FRAME = 16
"""Where the wal-index says how many frames of the log are good (SQLite: "WAL-mode File Format", 2.1)."""


def check_file(records: Records, path: Path) -> list[Finding]:
    """What the rows do not show. `records` is a view of the same file that is open already."""
    findings = Findings()
    frames = _frames(path)
    _check_schema(set(records.rows(_SCHEMA)), findings)
    for (text,) in records.rows(f"PRAGMA integrity_check({MOST})"):
        if text != "ok":
            findings.add(f"the file {path.name} is damaged: {' '.join(text.split())}")
    _check_log(path, frames, findings)
    return findings.found


def _check_schema(stands: set[tuple[str, ...]], findings: Findings) -> None:
    fresh = SqliteStore(None)
    try:
        wanted: set[tuple[str, ...]] = set(fresh.read(lambda records: list(records.rows(_SCHEMA))))
    finally:
        fresh.close()
    for kind, name, _, _ in sorted(wanted ^ stands, key=repr):
        findings.add(f"the schema of the record was changed: {kind} {name}")


def _frames(path: Path) -> list[tuple[int, int]]:
    """(number, pages of the database after it or 0) of each frame that belongs to the log as it is now: it bears the
    salts of the log's header, or of its first frame if that is what was damaged."""
    wal = path.with_name(f"{path.name}-wal")
    if not wal.exists():
        return []
    with path.open("rb") as file:
        page = int.from_bytes(file.read(18)[16:], "big")
    size = _FRAME + (page if page > 1 else 65536)
    with wal.open("rb") as file:
        salts = {file.read(_HEADER)[16:24]}
        found: list[tuple[int, int]] = []
        for number in count(1):
            frame = file.read(_FRAME)
            if len(frame) < _FRAME:
                return found
            if number == 1:
                salts.add(frame[8:16])
            if frame[8:16] in salts:
                found.append((number, int.from_bytes(frame[4:8], "big")))
            file.seek(_HEADER + number * size)
    return found


def _check_log(path: Path, frames: list[tuple[int, int]], findings: Findings) -> None:
    """`frames` were read before: one transaction may have been on its way to the file at that time, no more."""
    index = path.with_name(f"{path.name}-shm")
    if not frames or not index.exists():
        return
    with index.open("rb") as file:
        (good,) = struct.unpack("=I", file.read(_MX_FRAME + 4)[_MX_FRAME:])
    lost = sum(1 for number, pages in frames if number > good and pages)
    if lost > 1:
        findings.add(
            f"the write-ahead log of {path.name} is damaged after frame {good}: {lost} commits behind it are lost"
        )
