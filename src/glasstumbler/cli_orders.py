"""`glasstumbler orders`, `order` and `links`: the record as people look at it, also while `serve` runs.

They read only. Orders come newest first, a page at a time through an index, so that a long record answers as soon as a
short one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from glasstumbler.cli_options import (
    DATA,
    AsJson,
    Folder,
    InState,
    OfService,
    Record,
    Service,
    check_service,
    check_state,
)
from glasstumbler.engine.order import Order
from glasstumbler.errors import SettingsError
from glasstumbler.place import record_of
from glasstumbler.store import listing
from glasstumbler.store.records import Records
from glasstumbler.store.url import reading
from glasstumbler.terminal import cell, console, say, say_json
from glasstumbler.vault import Vault

if TYPE_CHECKING:
    from glasstumbler.orders_shown import Column, Linked

_PAGE = 100
"""Orders that are read at once."""
_ENOUGH = 200
"""The newest orders of a service, among which a name that was misspelt is looked for."""
_NEAR = 3


def _names(context: Any) -> list[str]:
    """At TAB: names that begin so, of the service and the folder that stand in the line already."""
    service, data = context["service"].raw, context["data"].value
    with record(data, None) as records:
        found = listing.orders_named(records, context.incomplete, _PAGE)
    return [each.id for each in found if each.service == service]


Before = Annotated[int | None, Parameter(help="Numbers below this one: what comes after the last line.")]


def orders(
    *,
    data: Folder = DATA,
    store: Record = None,
    service: OfService = None,
    state: InState = None,
    limit: Annotated[int, Parameter(help="Lines at most.")] = 20,
    before: Before = None,
    as_json: AsJson = False,
) -> int:
    """List the orders, newest first. With --json one line for each."""
    from glasstumbler.orders_shown import ORDERS, order_line

    _check(service, state, limit, before)
    with record(data, store) as records:
        some = _several(limit, before, lambda end, many: listing.orders(records, service, state, end, many))
        if as_json:
            for each in some:
                say_json(order_line(each))
            return 0
        found = list(some)
    if not found:
        say(_none("orders", service, state, before))
        return 0
    _table(ORDERS, found)
    if len(found) == limit:
        say(f"older ones: --before {found[-1].number}")
    return 0


def order(
    service: Service,
    name: Annotated[str, Parameter(name="ID", help="Its name, as the service shows it.", completer=_names)],
    /,
    *,
    data: Folder = DATA,
    store: Record = None,
    as_json: AsJson = False,
) -> int:
    """Show one order whole: its deposits, its payouts, whose value each is and which coins paid it."""
    from glasstumbler.lab.truth import order_truth
    from glasstumbler.orders_shown import STYLES, order_document, order_page

    check_service(service)
    with record(data, store) as records:
        found = records.order(service, name)
        if found is None:
            raise SettingsError(_not_found(records, service, name))
        truth = order_truth(records, found)
    if as_json:
        say_json(order_document(found, truth))
        return 0
    out = console()
    for label, value in order_page(found, truth):
        style = STYLES.get(found.state, "") if label == "state" else ""
        parts = (cell(f"  {label:9} ", "dim"), cell(value, style)) if label else (cell(value, "bold"),)
        out.print(*parts, sep="", soft_wrap=True)
    return 0


def links(
    *,
    data: Folder = DATA,
    store: Record = None,
    service: OfService = None,
    limit: Annotated[int, Parameter(help="Orders at most.")] = 20,
    before: Before = None,
    as_json: AsJson = False,
) -> int:
    """List the links, one line for each payout: from which deposits, how long, through how many transactions.

    Of the orders that were paid out, newest first.
    """
    from glasstumbler.orders_shown import LINKS, link_line

    _check(service, None, limit, before)
    with record(data, store) as records:
        paid = _several(limit, before, lambda end, many: _paid(records, service, end, many))
        if as_json:
            for row in _linked(records, paid):
                say_json(link_line(row))
            return 0
        of = list(paid)
        found = list(_linked(records, of))
    if not found:
        say(_none("payouts", service, None, before))
        return 0
    _table(LINKS, found)
    if len(of) == limit:
        say(f"older ones: --before {of[-1].number}")
    return 0


@contextmanager
def record(data: Path, store: str | None) -> Iterator[Records]:
    """One view of the record of a folder, or of the one at an address; nothing is written."""
    place: str | Path = store if store is not None else record_of(data, None)
    owner = Vault.of_folder(data, make=False).fingerprint if store is None else ""
    with reading(place, owner) as records:
        yield records


# -- inside -----------------------------------------------------------------------------------------------------------


def _check(service: str | None, state: str | None, limit: int, before: int | None) -> None:
    if service is not None:
        check_service(service)
    if state is not None:
        check_state(state)
    if limit < 1:
        raise SettingsError("--limit is at least 1")
    if before is not None and not 0 < before <= listing.END:
        raise SettingsError("--before is the number of an order, as the first column shows it")


def _several(limit: int, before: int | None, page: Callable[[int, int], list[Order]]) -> Iterator[Order]:
    """Page by page, each beginning below the last number of the one before."""
    end, left = listing.END if before is None else before, limit
    while left > 0 and (found := page(end, min(left, _PAGE))):
        yield from found
        end, left = found[-1].number, left - len(found)


def _paid(records: Records, service: str | None, end: int, many: int) -> list[Order]:
    from glasstumbler.orders_shown import WITH_PAYOUTS

    found = [each for state in WITH_PAYOUTS for each in listing.orders(records, service, state, end, many)]
    return sorted(found, key=lambda order: -order.number)[:many]


def _linked(records: Records, paid: Iterable[Order]) -> Iterator[Linked]:
    from glasstumbler.lab.custody import Book
    from glasstumbler.lab.truth import order_links
    from glasstumbler.orders_shown import Linked

    for each in paid:
        for link in order_links(Book(records), each):
            yield Linked(each.number, link)


def _table(columns: Sequence[Column], rows: Iterable[Any]) -> None:
    from rich.table import Table

    from glasstumbler.orders_shown import shown

    out = console()
    chosen = shown(columns, out.width)
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for column in chosen:
        table.add_column(column.heading, justify="right" if column.right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(column.cell(row), column.style(row)) for column in chosen))
    out.print(table)


def _none(what: str, service: str | None, state: str | None, before: int | None) -> str:
    """Why a list is empty, and what would fill it."""
    if before is not None:
        return f"no older {what}"
    if service is not None or state is not None:
        return f"no such {what} yet; without --service and --state all of them are listed"
    return f"no {what} yet; the hub's first page says how to make an order, and `glasstumbler demo` makes some"


def _not_found(records: Records, service: str, name: str) -> str:
    """What is wrong with an order's name, and what to try."""
    elsewhere = sorted(each.service for each in listing.orders_named(records, name) if each.id == name)
    if elsewhere:
        return f"{service} has no order {name!r}, but {elsewhere[0]} has: `glasstumbler order {elsewhere[0]} {name}`"
    near = _near(records, service, name)
    hint = f"near it: {', '.join(near)}; " if near else ""
    return f"{service} has no order {name!r}; {hint}`glasstumbler orders --service {service}` lists what it has"


def _near(records: Records, service: str, name: str) -> list[str]:
    """Names that go on where this one ends; else those that begin alike, or are new, and look alike."""
    begun = [each.id for each in listing.orders_named(records, name) if each.service == service]
    if begun:
        return begun[:_NEAR]
    alike = [each.id for each in listing.orders_named(records, name[: len(name) * 2 // 3]) if each.service == service]
    recent = [each.id for each in listing.orders(records, service, limit=_ENOUGH)]
    folded = {each.casefold(): each for each in (*recent, *alike)}
    return [folded[each] for each in get_close_matches(name.casefold(), folded, _NEAR)]
