"""The pieces of work that the comparison with a chain is made of. What is damaged there is told as a difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from glasstumbler.audit_blocks import Blocks, LoggedBlocks, beyond, up_to
from glasstumbler.audit_chain import Shown, Stretch, Wallets
from glasstumbler.audit_entries import Finding, Findings, at_hand, put_aside
from glasstumbler.audit_record import DAMAGED
from glasstumbler.errors import ChainError, RecordError, StoreError
from glasstumbler.store.records import Records

Source = Blocks | Path
"""A chain, or the path of its log."""
Aside = tuple[Any, ...] | Path
"""What `Shown` is made of, or the file with it."""


def names_of(records: Records, coin: str, source: Source) -> tuple[list[str], list[Finding]]:
    """The hashes of the blocks that the record has taken in, from the first on."""
    findings = Findings()
    with _comparing(coin, findings), _opened(source, coin) as blocks:
        return up_to(blocks, *(records.cursor(coin) or (0, ""))), []
    return [], findings.found


def look_at(
    records: Records, coin: str, source: Source, first: int, names: Sequence[str], folder: Path | None
) -> tuple[list[Finding], set[int], Aside | None]:
    """A stretch of blocks: see `Stretch`. Numbers of our payments, and what was shown, or None."""
    findings = Findings()
    with _comparing(coin, findings), _opened(source, coin) as blocks:
        stretch = Stretch(records, coin, findings)
        shown = stretch.look(blocks, first, names)
        return findings.found, stretch.mined, put_aside(tuple(shown), folder, f"{coin}-{first}")
    return findings.found, set(), None


def check_wallets(
    records: Records, coin: str, source: Source, tip: tuple[int, str], parts: Sequence[Aside | None]
) -> tuple[list[Finding], set[int]]:
    """The wallets against what the stretches have shown (not if one of them is damaged), and the blocks beyond, up to
    `tip`: the chain's, taken before the record was looked at. Numbers of our payments."""
    findings = Findings()
    with _comparing(coin, findings), _opened(source, coin) as blocks:
        wallets = Wallets(records, coin, findings)
        if None not in parts:
            wallets.compare(Shown(*at_hand(part)) for part in parts)
            wallets.check_ahead(beyond(blocks, *(records.cursor(coin) or (0, "")), tip))
        return findings.found, wallets.mined
    return findings.found, set()


@contextmanager
def _opened(source: Source, coin: str) -> Iterator[Blocks]:
    if isinstance(source, Path):
        with closing(LoggedBlocks(source, coin)) as log:
            yield log
    else:
        yield source


@contextmanager
def _comparing(coin: str, findings: Findings) -> Iterator[None]:
    try:
        yield
    except (ChainError, RecordError, StoreError, *DAMAGED) as error:
        findings.add(f"{coin}: the wallets cannot be compared: {error}")
