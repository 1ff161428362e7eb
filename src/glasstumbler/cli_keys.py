"""`glasstumbler keys`: API keys of a service. Each command works while `serve` runs, and prints JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from glasstumbler import keys as api_keys
from glasstumbler.cli_options import DATA, AlwaysJson, Folder, Record, Slug, check_keyed
from glasstumbler.clock import RealClock
from glasstumbler.place import record_of, remember
from glasstumbler.store.base import Store
from glasstumbler.store.url import open_store
from glasstumbler.terminal import say_json
from glasstumbler.vault import Vault

keys = App(name="keys", help="API keys of a service: add, list, block. They print JSON in any case.")


@keys.command
def add(service: Slug, /, *, data: Folder = DATA, store: Record = None, as_json: AlwaysJson = True) -> int:
    """Make a key and print it; this is the only time that it is shown. Works while `serve` runs."""
    check_keyed(service)
    vault, opened = _folder_store(data, store, make=True)
    try:
        key, account = api_keys.make(opened, vault, service, _now(opened))
    finally:
        opened.close()
    say_json({"service": service, "api_key": key, "secret_key": account.secret, "id": account.id})
    return 0


@keys.command(name="list")
def list_(
    service: Slug | None = None, /, *, data: Folder = DATA, store: Record = None, as_json: AlwaysJson = True
) -> int:
    """Print the keys' ids; the keys themselves are kept as hashes only."""
    if service is not None:
        check_keyed(service)
    _, opened = _folder_store(data, store)
    try:
        rows = [row for row in opened.read(lambda records: records.keys()) if service in (None, row.service)]
    finally:
        opened.close()
    say_json([{"service": row.service, "id": row.id, "blocked": row.blocked} for row in rows])
    return 0


@keys.command
def block(
    service: Slug,
    key: Annotated[str, Parameter(help="The key or its id.")],
    /,
    *,
    data: Folder = DATA,
    store: Record = None,
    as_json: AlwaysJson = True,
) -> int:
    """Answer 403 to this key from now on."""
    check_keyed(service)
    _, opened = _folder_store(data, store)
    try:
        row = api_keys.block(opened, service, key, _now(opened))
    finally:
        opened.close()
    say_json({"service": service, "id": row.id, "blocked": True})
    return 0


def _folder_store(data: Path, store: str | None, make: bool = False) -> tuple[Vault, Store]:
    record = record_of(data, store)
    vault = Vault.of_folder(data, make)
    opened = open_store(record, vault.fingerprint)
    if make:
        remember(data, store)
    return vault, opened


def _now(store: Store) -> int:
    """The laboratory's time, which may be ahead of the machine's."""
    clock = RealClock()
    clock.restore(int(store.read(lambda records: records.meta("clock offset")) or 0))
    return clock.now()
