"""Every coin is accounted for: the record recomputed, and the wallets held against the chains.

Reads only, on one consistent view of the record; it may run beside `serve`, and after a kill. A large record is read by
several processes; nothing is left out or sampled for speed.
"""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from glasstumbler.audit_blocks import Blocks, LoggedBlocks
from glasstumbler.audit_chain import COINS, Network, check_channels, check_mined
from glasstumbler.audit_crew import TEAM, Alone, Crew, Task, team
from glasstumbler.audit_entries import Account, Finding, Findings, Played, Words, head, last_words, play
from glasstumbler.audit_file import check_file
from glasstumbler.audit_network import channel_file
from glasstumbler.audit_record import Sums, check_sums, check_table
from glasstumbler.audit_wallets import check_wallets, look_at, names_of
from glasstumbler.errors import ChainError, RecordError, SettingsError, StoreError
from glasstumbler.store.documents import TABLES
from glasstumbler.store.records import Records
from glasstumbler.store.url import reading

Progress = Callable[[str, int, int], None]
"""What is being looked at, how much of it is done, out of how much."""
_FOLLOWED = "SELECT DISTINCT coin FROM block"
Tips = dict[str, tuple[int, str]]
RANGE = 50_000
"""Entries that are played at once; more of them than this are worth processes of their own."""


class Kept(NamedTuple):
    """The last entry at an earlier time, kept elsewhere."""

    number: int
    hash: str

    @classmethod
    def read(cls, text: str) -> Kept:
        """NUMBER:HASH; SettingsError for anything else."""
        number, _, link = text.partition(":")
        if not (number.isascii() and number.isdigit() and re.fullmatch("[0-9a-f]{64}", link)):
            raise SettingsError(f"--head is NUMBER:HASH, a number and 64 hexadecimal digits, not {text!r}")
        return cls(int(number), link)


class Report(NamedTuple):
    """`differences`: the first twenty, each with the number of its entry where one is known."""

    differences: tuple[RecordError, ...]
    entries: int
    orders: int
    payments: int
    coins: int
    chains: tuple[str, ...]
    seconds: float
    head: str
    """Hash of the last entry: kept elsewhere, it shows later that nothing before it was rewritten."""

    @property
    def clean(self) -> bool:
        return not self.differences

    def lines(self) -> list[str]:
        size = (
            f"{self.entries} entries, {self.orders} orders, {self.payments} payments, {self.coins} coins, "
            f"chains {', '.join(self.chains) or 'none'}: {self.seconds:.1f} s"
        )
        if self.clean:
            return [f"the record is whole: {size}", f"last entry and its hash: {self.entries}:{self.head}"]
        return [*map(str, self.differences), f"{len(self.differences)} differences in {size}"]

    def document(self) -> dict[str, Any]:
        """Ready for JSON; `head` as `audit --head` takes it."""
        return {
            "clean": self.clean,
            "differences": [{"entry": each.number, "text": str(each)} for each in self.differences],
            "entries": self.entries,
            "orders": self.orders,
            "payments": self.payments,
            "coins": self.coins,
            "chains": self.chains,
            "seconds": round(self.seconds, 3),
            "head": f"{self.entries}:{self.head}",
        }


def audit(
    folder: Path,
    progress: Progress | None = None,
    store: str | Path | None = None,
    owner: str = "",
    kept: Kept | None = None,
) -> Report:
    """Of a folder, also while it is in use. `store`: the record's address, by default a file in the folder. `owner`:
    the laboratory's fingerprint, which the record must have. `kept`: the record must have that entry.

    StoreError if the record, or the file of a chain, cannot be read.
    """
    place = store or folder / "record.db"
    with ExitStack() as stack:
        paths = {coin: path for coin in COINS if (path := folder / "chains" / f"{coin}.blocks").exists()}
        tips: Tips = {}
        with reading(place, owner) as records:
            large = head(records)[0] > RANGE
        look = stack.enter_context(team(place, lambda: tips.update(_tips(paths)))) if large else None
        if look is None:
            tips.update(_tips(paths))
            records = stack.enter_context(reading(place))
            look = records, Alone(records)
        network = stack.enter_context(channel_file(folder / "chains" / "lightning.sqlite"))
        work = Audit(*look, progress)
        return work.run(_file_of(place), paths, tips, network, kept)


def audit_record(records: Records, kept: Kept | None = None) -> Report:
    """Of the record alone, as the view shows it: without chains, and without the file that it is in."""
    return Audit(records, Alone(records), None).run(None, {}, None, None, kept)


class Part(NamedTuple):
    """A piece of the work."""

    task: Task
    take: Callable[[Any], None]
    """What is done with its result."""
    size: int = 1
    """For the progress that is told."""


class Audit:
    """Of one view of a record, by a crew that sees the same."""

    def __init__(self, records: Records, crew: Crew, progress: Progress | None) -> None:
        self._records, self._crew, self._tell = records, crew, progress or _silent
        self._findings, self._sums = Findings(), Sums()
        self._balances: Counter[Account] = Counter()
        self._words: dict[str, list[Words]] = defaultdict(list)
        self._shown: dict[str, list[Any]] = defaultdict(list)
        self._mined: set[int] = set()
        self._entries = 0

    def run(
        self,
        file: Path | None,
        chains: Mapping[str, Blocks | Path],
        tips: Tips | None,
        network: Network | None,
        kept: Kept | None,
    ) -> Report:
        """`tips` None: the wallets are not compared."""
        began = time.perf_counter()
        number, link = head(self._records)
        followed = [] if tips is None else sorted({str(coin) for (coin,) in self._records.rows(_FOLLOWED)})
        here = {coin: chains[coin] for coin in followed if coin in chains}
        with TemporaryDirectory(prefix="glasstumbler-audit-") as name:
            folder = Path(name) if number > RANGE else None
            stretches = [part for coin, source in here.items() for part in self._stretches(coin, source, folder)]
            files = [] if file is None else [Part(Task(check_file, (file,)), self._findings.take, 0)]
            self._do("entries", [*stretches, *files, *self._ranges(number, folder)])
            self._check_kept(kept)
            tips = tips or {}
            wallets = [self._wallets(coin, source, tips.get(coin, (-1, ""))) for coin, source in here.items()]
            self._do("documents and wallets", [*wallets, *self._tables()])
        for table in self._words:
            self._findings.add(f"entries speak of documents of {table!r}: there is no such table")
        check_sums(self._records, self._sums, self._balances, self._findings)
        if here and not self._findings.found:  # else payments that no block shows may be a consequence
            check_mined(self._records, {coin: self._sums.mined[coin] for coin in here}, self._mined, self._findings)
        for coin in followed:
            if coin not in chains:
                self._findings.add(f"the record follows {coin}, whose chain is not here")
        if network is not None:
            check_channels(self._records, network, self._balances, self._findings)
        sums = self._sums.counts
        return Report(
            self._numbered(),
            self._entries,
            *(sums["order"], sums["payment"], sums["coin"]),
            tuple(coin for coin in COINS if coin in followed),
            time.perf_counter() - began,
            link.hex(),
        )

    # -- the parts --------------------------------------------------------------------------------------------------

    def _ranges(self, last: int, folder: Path | None) -> Iterator[Part]:
        """All entries."""

        def take(played: Played) -> None:
            self._findings.take(played.findings)
            self._balances.update(played.balances)
            self._entries += played.entries
            for table, words in played.said.items():
                self._words[table].append(words)

        for first in range(1, max(last, 1) + 1, RANGE):
            end = min(first + RANGE - 1, last)
            yield Part(Task(play, (first, end, folder)), take, end - first + 1)

    def _stretches(self, coin: str, source: Blocks | Path, folder: Path | None) -> Iterator[Part]:
        """All blocks up to the record's place on a chain."""

        def take(result: tuple[list[Finding], set[int], Any]) -> None:
            found, mined, shown = result
            self._findings.take(found)
            self._mined |= mined
            self._shown[coin].append(shown)

        names, found = names_of(self._records, coin, source)
        self._findings.take(found)
        size = -(-len(names) // (1 if folder is None else TEAM)) or 1
        for first in range(0, len(names), size):
            stretch = names[max(first - 1, 0) : first + size]
            yield Part(Task(look_at, (coin, source, first, stretch, folder)), take, 0)

    def _wallets(self, coin: str, source: Blocks | Path, tip: tuple[int, str]) -> Part:
        def take(result: tuple[list[Finding], set[int]]) -> None:
            self._findings.take(result[0])
            self._mined |= result[1]

        return Part(Task(check_wallets, (coin, source, tip, self._shown.get(coin, [None]))), take)

    def _tables(self) -> Iterator[Part]:
        """All documents."""

        def take(result: tuple[list[Finding], Sums]) -> None:
            self._findings.take(result[0])
            self._sums.add(result[1])

        owed = {account: sum_ for account, sum_ in self._balances.items() if sum_ and account[1].startswith("order:")}
        for name in TABLES:
            yield Part(Task(check_table, (name, self._words.pop(name, []), owed)), take)

    def _do(self, stage: str, parts: list[Part]) -> None:
        """All of them; the results are taken in the parts' order."""
        results: dict[int, Any] = {}
        done, total = 0, sum(part.size for part in parts)
        self._tell(stage, 0, total)
        for place, result in self._crew.run([part.task for part in parts]):
            results[place] = result
            done += parts[place].size
            self._tell(stage, done, total)
        for place, part in enumerate(parts):
            part.take(results.pop(place))

    def _check_kept(self, kept: Kept | None) -> None:
        if kept is None:
            return
        row = next(self._records.rows(f"SELECT hash FROM entry WHERE number = {kept.number}"), None)
        if row is None:
            self._findings.add(f"entry {kept.number}, whose hash was kept, is not there: the record was cut off")
        elif row[0] != bytes.fromhex(kept.hash):
            self._findings.add(
                "has not the hash that was kept: it, or what stands before it, was rewritten", kept.number
            )

    def _numbered(self) -> tuple[RecordError, ...]:
        """The findings with the number of the last entry that speaks of each one's document."""
        about = {each.about for each in self._findings.found if each.number is None and each.about is not None}
        words = last_words(self._records, about) if about else {}
        return tuple(
            RecordError(words.get(each.about or "") if each.number is None else each.number, each.text)
            for each in self._findings.found
        )


def _tips(paths: Mapping[str, Path]) -> Tips:
    """Of the chains now; a log that cannot be read is told of when it is compared."""
    found: Tips = {}
    for coin, path in paths.items():
        with suppress(ChainError, StoreError), closing(LoggedBlocks(path, coin)) as log:
            found[coin] = log.tip()
    return found


def _file_of(place: str | Path) -> Path | None:
    """The record's file, if it is one."""
    if isinstance(place, Path):
        return place
    return Path(place.removeprefix("sqlite:///")) if place.startswith("sqlite:///") else None


def _silent(stage: str, done: int, total: int) -> None:
    pass
