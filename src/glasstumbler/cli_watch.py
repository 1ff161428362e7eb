"""`glasstumbler watch`: the record as it grows. A picture that is drawn anew on a terminal, lines elsewhere.

It looks at the record once a second, each time for a moment: a view that was kept open would hold up the clearing of
SQLite's log.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from cyclopts import Parameter

from glasstumbler import services
from glasstumbler.cli_options import DATA, AsJson, Folder, Record
from glasstumbler.cli_orders import record
from glasstumbler.engine.order import State
from glasstumbler.errors import SettingsError
from glasstumbler.lock import running
from glasstumbler.store import listing
from glasstumbler.store.counts import states_up_to
from glasstumbler.store.records import Records
from glasstumbler.terminal import cell, console, say, say_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from glasstumbler.story import Line

_LOOK_SECONDS: Final = 1.0
_MOST: Final = 10_000
"""Orders that are counted in each state; of more it is said that there are more."""
_SHOWN_AT_FIRST: Final = 20
"""Entries of the services from before the watch began."""
_BLOCK: Final = "block"
"""Entries of blocks are many, and the heights tell of them; they stand in the JSON only."""
_TAKEN_UP: Final = 15
"""Lines of the terminal that are not entries."""
_FEWEST: Final = 5
_LETTERS: Final = 12
"""Of a transaction's name in the picture."""


class View(NamedTuple):
    """One look."""

    hub: str | None
    """Of the server that runs; "" while it starts; None where none runs, or where that cannot be known."""
    states: Mapping[tuple[str, str], int]
    """Orders by (service, state); `_MOST` stands for that many or more."""
    heights: Mapping[str, int]
    last: int
    """Number of the last entry."""
    lines: tuple[Line, ...]
    """What happened since the look before."""


def watch(
    *,
    data: Folder = DATA,
    store: Record = None,
    seconds: Annotated[float | None, Parameter(name="--for", help="Seconds; else until Ctrl-C.")] = None,
    as_json: AsJson = False,
) -> int:
    """Watch orders, chains and the newest entries of the record, until Ctrl-C.

    Where nobody looks (a pipe, a file) each entry is one line; with --json, one object.
    """
    if seconds is not None and not seconds >= 0:
        raise SettingsError("--for is a number of seconds, 0 or more")
    looks = _looks(data, store, seconds)
    out = console()
    with ended_gently() as ending:
        if as_json:
            _as_json(looks)
        elif out.is_terminal:
            draw(out, looks, ending)
        else:
            _as_lines(looks)
    return 0


class Ending:
    """Of Ctrl-C and SIGTERM. While it is held they wait: the next picture would be drawn onto the end of half a one."""

    def __init__(self) -> None:
        self._held = self._asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self._held:
            raise KeyboardInterrupt
        self._asked = True

    @contextmanager
    def held(self) -> Iterator[None]:
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._asked:
            raise KeyboardInterrupt


@contextmanager
def ended_gently() -> Iterator[Ending]:
    """Ctrl-C and SIGTERM are how it ends: the terminal is left as it was, and the exit code is 0."""
    ending = Ending()
    before = {number: signal.signal(number, ending) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ending
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def look(data: Path, store: str | None, last: int | None) -> View:
    """`last`: the last entry that was seen; None: the newest ones are told."""
    from glasstumbler.story import page

    with record(data, store) as records:
        head = records.head()[0]
        lines = _newest(records) if last is None else []
        seen = head if last is None else last
        while seen < head:
            seen, more = page(seen, records)
            lines += more
        heights: dict[str, int] = dict(records.rows("SELECT coin, max(height) FROM block GROUP BY coin ORDER BY coin"))
        states = states_up_to(records, services.SERVICES, _MOST)
    return View(None if store else running(data), states, heights, seen, tuple(lines))


# -- inside -----------------------------------------------------------------------------------------------------------


def _newest(records: Records) -> list[Line]:
    """Of the services' entries, oldest first; an idle laboratory goes on mining, so its own last ones are blocks."""
    from glasstumbler.story import told

    found = [
        (each.number, each.entry)
        for slug in services.SERVICES
        for each in listing.entries(records, service=slug, limit=_SHOWN_AT_FIRST)
    ]
    return told(sorted(found, key=itemgetter(0))[-_SHOWN_AT_FIRST:], records)


def _looks(data: Path, store: str | None, seconds: float | None) -> Iterator[View]:
    """One at once, then one each second, and a last one when the time is over."""
    end = None if seconds is None else time.monotonic() + seconds
    last = None
    while True:
        view = look(data, store, last)
        last = view.last
        yield view
        left = _LOOK_SECONDS if end is None else min(_LOOK_SECONDS, end - time.monotonic())
        if left <= 0:
            return
        time.sleep(left)


def _as_json(looks: Iterator[View]) -> None:
    for number, view in enumerate(looks):
        if number == 0:
            orders: dict[str, dict[str, int]] = {}
            for (service, state), count in view.states.items():
                orders.setdefault(service, {})[state] = count
            say_json({"event": "watching", "hub": view.hub, "orders": orders, "heights": view.heights})
        for line in view.lines:
            say_json({"event": line.event, **line.fields})


def _as_lines(looks: Iterator[View]) -> None:
    heights: Mapping[str, int] | None = None
    for view in looks:
        if heights is None:
            for told in _standing(view):
                say(told)
        elif heights != view.heights:
            say(f"{'blocks':10} {_blocks(view)}")
        for line in _news(view):
            say(_told(line))
        heights = view.heights


def _news(view: View) -> list[Line]:
    return [line for line in view.lines if line.event != _BLOCK]


def _standing(view: View) -> Iterator[str]:
    yield _where(view)
    for slug in services.SERVICES:
        mine = {state: number for (service, state), number in view.states.items() if service == slug}
        if mine:
            yield f"{slug:10} {', '.join(f'{_number(count)} {state}' for state, count in mine.items())}"
    yield f"{'blocks':10} {_blocks(view)}"


def _told(line: Line) -> str:
    return "  ".join(part for part in (*_cells(line), line.fields.get("txid", "")) if part)


def _cells(line: Line) -> tuple[str, ...]:
    fields = line.fields
    named = (fields.get("service", ""), fields.get("order", ""), fields.get("coin", ""))
    reason = f"{line.event}: {fields['reason']}" if "reason" in fields else line.event
    return (str(fields.get("entry", "")), *map(str, named), reason)


def _cut(txid: str) -> str:
    return f"{txid[:_LETTERS]}…" if txid else ""


def _where(view: View) -> str:
    if view.hub is None:
        return f"record of {view.last:,} entries"
    return f"record of {view.last:,} entries, served at {view.hub}" if view.hub else "a server is starting"


def _blocks(view: View) -> str:
    return ", ".join(f"{coin} {height}" for coin, height in view.heights.items()) or "none yet"


def _number(count: int) -> str:
    return f"{_MOST:,} or more" if count == _MOST else f"{count:,}"


def draw(out: Console, looks: Iterable[View], ending: Ending) -> None:
    from rich.live import Live

    kept: list[Line] = []
    with Live(console=out, auto_refresh=False) as live:
        for view in looks:
            kept = [*kept, *_news(view)][-max(out.height - _TAKEN_UP, _FEWEST) :]
            with ending.held():
                live.update(_picture(view, kept), refresh=True)


def _picture(view: View, lines: list[Line]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table

    from glasstumbler.orders_shown import STYLES

    states = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    states.add_column("Orders")
    for slug in services.SERVICES:
        states.add_column(slug, justify="right")
    for state in State:
        if state is not State.CREATED:  # no order is seen in it
            counts = (view.states.get((slug, state.value), 0) for slug in services.SERVICES)
            row = (cell(_short(count), "dim" if not count else "") for count in counts)
            states.add_row(cell(state.value, STYLES.get(state, "")), *row)
    entries = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("Entry", "Service", "Order", "Coin", "Transaction"):
        entries.add_column(heading, no_wrap=True)
    entries.add_column("What happened", overflow="fold")
    for line in reversed(lines):
        *named, what = _cells(line)
        entries.add_row(*map(cell, (*named, _cut(line.fields.get("txid", "")), what)))
    head = f"TEST NETWORKS ONLY - {_where(view)}"
    return Group(cell(head, "bold"), states, cell(f"blocks: {_blocks(view)}; Ctrl-C ends"), cell(""), entries)


def _short(count: int) -> str:
    return f"{_MOST:,}+" if count == _MOST else str(count or "·")
