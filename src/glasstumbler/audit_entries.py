"""The entries played again: numbers, links, sums, and what each says of documents. A range of them at a time.

A range begins with the hash that stands in the entry before it; whether that one is right, the range before tells.
"""

from __future__ import annotations

import marshal
from collections import defaultdict
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

import msgspec

from glasstumbler.engine.ledger import GENESIS_HASH, UNREADABLE
from glasstumbler.store.records import Records

MOST = 20
"""Differences that are collected."""
Account = tuple[str, str, str]
"""Service, name, coin."""
Words = dict[str, str] | Path
"""What was last said of a table's documents, digests by key, or a file with that."""


class Finding(NamedTuple):
    """`number`: of the entry, if that is what is wrong. `about`: the document that is."""

    text: str
    number: int | None = None
    about: str | None = None


class Findings:
    """The first differences; past `MOST` of them there is no point in going on."""

    def __init__(self) -> None:
        self.found: list[Finding] = []

    def add(self, text: str, number: int | None = None, about: str | None = None) -> None:
        self.take([Finding(text, number, about)])

    def take(self, more: list[Finding]) -> None:
        self.found += more[: MOST - len(self.found)]


class Played(NamedTuple):
    findings: list[Finding]
    entries: int
    balances: dict[Account, int]
    """What these entries add to each account, where it is not zero."""
    said: Mapping[str, Words]
    """By table."""


class _Entry(msgspec.Struct, gc=False):
    """What matters here of a `ledger.Entry`: reading the rest takes time."""

    kind: str
    service: str
    order: int | None = None
    postings: list[tuple[str, str, int]] = []
    docs: list[tuple[str, str, str]] = []


_read = msgspec.json.Decoder(_Entry).decode
_eight_bytes = Struct(">q").pack
_SELECT = "SELECT number, kind, service, order_number, body, hash FROM entry"


def play(records: Records, first: int, last: int, folder: Path | None) -> Played:
    """Entries `first` to `last`, and those that wrongly stand below 1 with the first. What they said is put aside into
    the folder, if there is one: all of it together may be more than memory should hold."""
    findings, expected, previous = Findings(), first, _link_before(records, first)
    balances: dict[Account, int] = defaultdict(int)
    said: dict[str, dict[str, str]] = defaultdict(dict)
    count = 0
    where = f"number BETWEEN {first} AND {last}" if first > 1 else f"number <= {last}"
    for number, kind, service, order, body, link in records.rows(f"{_SELECT} WHERE {where} ORDER BY number"):
        count += 1
        if number != expected:
            findings.add(_gap(expected, number), number)
        if type(body) is not bytes or type(link) is not bytes:
            findings.add("its body or its hash is not stored as bytes", number)
            expected, previous = number + 1, b""
            continue
        if sha256(previous + _eight_bytes(number) + body).digest() != link:
            findings.add("its hash does not follow from its body and the entry before", number)
        expected, previous = number + 1, link
        try:
            entry = _read(body)
        except UNREADABLE as error:
            findings.add(f"its body does not parse: {error}", number)
            continue
        if kind != entry.kind or service != entry.service or order != entry.order:
            findings.add(f"its columns say {(kind, service, order)}, its body another thing", number)
        if entry.postings:
            _post(entry, balances, findings, number)
        for table, key, digest in entry.docs:
            said[table][key] = digest
    if expected <= last:
        findings.add(_gap(expected, last + 1), last + 1)
    words: dict[str, Words] = {
        table: put_aside(digests, folder, f"{first}-{place}") for place, (table, digests) in enumerate(said.items())
    }
    return Played(findings.found, count, {account: sum_ for account, sum_ in balances.items() if sum_}, words)


def put_aside(value: Any, folder: Path | None, name: str) -> Any:
    """Something of plain types for a later task: its file in the folder, or itself where there is none."""
    if folder is None:
        return value
    path = folder / name
    with path.open("wb") as file:
        marshal.dump(value, file)
    return path


def at_hand(value: Any) -> Any:
    """What was put aside, if this is its path; else the value itself."""
    if not isinstance(value, Path):
        return value
    raw = value.read_bytes()  # at once: from an open file, marshal asks for each value with a call of its own
    return marshal.loads(raw)  # noqa: S302 - written by `put_aside` a moment ago


def words_of(parts: Iterable[Words]) -> dict[str, str]:
    """What was last said of a table's documents, the ranges one after another."""
    said: dict[str, str] = {}
    for part in parts:
        said |= at_hand(part)
    return said


def _link_before(records: Records, first: int) -> bytes:
    if first <= 1:
        return GENESIS_HASH
    row: Any = next(records.rows(f"SELECT hash FROM entry WHERE number = {first - 1}"), None)
    return row[0] if row is not None and type(row[0]) is bytes else b""


def head(records: Records) -> tuple[int, bytes]:
    """Number and hash of the last entry, whatever stands there for a hash."""
    number, link = next(records.rows("SELECT number, hash FROM entry ORDER BY number DESC LIMIT 1"), (0, GENESIS_HASH))
    return number, link if type(link) is bytes else repr(link).encode()


def _gap(expected: int, number: int) -> str:
    if number > expected:
        return f"entries {expected} to {number - 1} are missing"
    return f"stands where entry {expected} belongs"


def _post(entry: _Entry, balances: dict[Account, int], findings: Findings, number: int) -> None:
    service, total = entry.service, 0
    first, mixed = entry.postings[0][1], False
    for name, coin, amount in entry.postings:
        total += amount
        balances[service, name, coin] += amount
        mixed |= coin != first
    if total or mixed:
        sums: dict[str, int] = defaultdict(int)
        for _, coin, amount in entry.postings:
            sums[coin] += amount
        for coin, out in sums.items():
            if out:
                findings.add(f"it is out of balance by {out} {coin}", number)


def last_words(records: Records, about: set[str]) -> dict[str, int]:
    """The number of the last entry that speaks of each of these documents, if one does."""
    found: dict[str, int] = {}
    for number, body in records.rows("SELECT number, body FROM entry ORDER BY number DESC"):
        if len(found) == len(about):
            break
        try:
            docs = _read(body).docs
        except (*UNREADABLE, TypeError):
            continue
        for table, key, _ in docs:
            if (name := f"{table} {key}") in about:
                found.setdefault(name, number)
    return found
