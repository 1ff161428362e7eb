"""The command `glasstumbler`: from settings to a running laboratory, and its answers on the terminal."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from glasstumbler import __version__, log, services, settings
from glasstumbler.clock import RealClock
from glasstumbler.engine import ledger, letter
from glasstumbler.errors import GlassTumblerError, SettingsError, StoreError
from glasstumbler.store.base import Store
from glasstumbler.store.records import KeyRow, Records
from glasstumbler.store.url import check_place, is_shared, open_store
from glasstumbler.vault import Vault, key_row, new_key

if TYPE_CHECKING:  # what only `serve` needs is loaded there: the other commands answer sooner
    from glasstumbler.house import House
    from glasstumbler.web.serving import Serving

DATA = Path("glasstumbler-data")
_SERVICES_WITH_KEYS = tuple(slug for slug in services.SERVICES if slug != "xmrto")
GARBAGE = (50_000, 20, 50)
"""How seldom Python looks for circular garbage: what a laboratory holds it holds for good, and there is much of it."""
_HIGHEST_PORT = 65535 - len(services.SERVICES)

app = App(
    name="glasstumbler",
    help="Coin mixing and swap services on private test chains, with the record of every link.",
    version=__version__,
)
keys = App(name="keys", help="API keys of a service: add, list, block.")
app.command(keys)

Slug = Annotated[str, Parameter(help="bestmixer, btcmix, coinjoin or whir; the swap has no keys.")]
Folder = Annotated[Path, Parameter(help="Folder of the record, the chains and the secret.")]
Record = Annotated[
    str | None,
    Parameter(help="sqlite:///PATH or postgresql://USER@HOST/DATABASE in place of the folder's own record."),
]
Interval = Annotated[int, Parameter(help="Seconds between blocks; 0: only when asked for.")]
Config = Annotated[Path | None, Parameter(help="Settings; else glasstumbler.toml in the folder.")]


@app.command
def serve(
    *,
    data: Folder = DATA,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port of the hub; the services take the next five. 0: free ports.")] = 8700,
    store: Record = None,
    block_interval: Interval = 30,
    config: Config = None,
) -> int:
    """Run the hub and the five services until Ctrl-C. The folder keeps everything; started again, it goes on.

    With a record in PostgreSQL, several may run side by side on one folder, each on its own ports.
    """
    from glasstumbler.web.serving import Serving, run

    if not 0 <= port <= _HIGHEST_PORT:
        raise SettingsError(f"--port goes from 0 to {_HIGHEST_PORT}: the services take the ports after it")
    with _house(data, store, block_interval, config) as house:
        house.start()
        serving = Serving(house, host, port, block_interval)
        run(serving, partial(_announce, house, serving, data))
    _say(f"stopped; {data} keeps everything")
    return 0


@app.command
def worker(
    *,
    store: Annotated[str, Parameter(help="postgresql://USER:PASSWORD@HOST:PORT/DATABASE, the record of `serve`.")],
    data: Folder = DATA,
    block_interval: Interval = 30,
    config: Config = None,
) -> int:
    """Work beside `serve` until Ctrl-C: watch the chains, pay what is due. Any number may run on one folder."""
    from glasstumbler.worker import Worker

    if not is_shared(store):
        raise SettingsError("workers share a record in PostgreSQL (--store postgresql://...); with SQLite, serve works")
    with _house(data, store, block_interval, config) as house:
        house.start()
        Worker(house, block_interval).run(partial(_say, f"Glass Tumbler {__version__} - a worker on {data}"))
    _say(f"stopped; {data} keeps everything")
    return 0


@app.command
def demo(
    *,
    seed: Annotated[int, Parameter(help="Same seed, same bytes.")] = 1,
    out: Annotated[Path, Parameter(help="Folder for the dataset and the report.")] = Path("demo-out"),
) -> int:
    """Drive the documented requests of all five services over HTTP, pay, mine, wait, and show every link."""
    from glasstumbler.demo import run_demo

    return run_demo(seed, out)


@keys.command
def add(service: Slug, /, *, data: Folder = DATA, store: Record = None) -> int:
    """Make a key and print it; this is the only time that it is shown. Works while `serve` runs."""
    _need_keys(service)
    vault, opened = _folder_store(data, store, make=True)
    try:
        key = new_key(service, random.SystemRandom())
        row = key_row(service, key, _now(opened))

        def unit(records: Records) -> None:
            records.add_key(row)
            records.append(ledger.Entry("key added", row.created, service))

        opened.write(unit)
    finally:
        opened.close()
    account = vault.account(row)
    _say(json.dumps({"service": service, "api_key": key, "secret_key": account.secret, "id": account.id}))
    return 0


@keys.command(name="list")
def list_(service: Slug | None = None, /, *, data: Folder = DATA, store: Record = None) -> int:
    """Print the keys' ids; the keys themselves are kept as hashes only."""
    if service is not None:
        _need_keys(service)
    _, opened = _folder_store(data, store)
    try:
        rows = [row for row in opened.read(lambda records: records.keys()) if service in (None, row.service)]
    finally:
        opened.close()
    _say(json.dumps([{"service": row.service, "id": row.id, "blocked": row.blocked} for row in rows]))
    return 0


@keys.command
def block(
    service: Slug,
    key: Annotated[str, Parameter(help="The key or its id.")],
    /,
    *,
    data: Folder = DATA,
    store: Record = None,
) -> int:
    """Answer 403 to this key from now on."""
    _need_keys(service)
    _, opened = _folder_store(data, store)
    try:
        row = _find_key(opened, service, key)
        now = _now(opened)

        def unit(records: Records) -> None:
            records.block_key(row)
            records.append(ledger.Entry("key blocked", now, service))

        opened.write(unit)
    finally:
        opened.close()
    _say(json.dumps({"service": service, "id": row.id, "blocked": True}))
    return 0


@app.command
def audit(*, data: Folder = DATA, store: Record = None) -> int:
    """Recompute the record, its balances, and the wallets against the chains. Exit code 1 at any difference."""
    from glasstumbler.audit import audit as check

    vault = Vault.of_folder(data, make=False)
    report = check(data, store=store, owner=vault.fingerprint)
    for line in report.lines():
        _say(line)
    return 0 if report.clean else 1


@app.command(name="verify-letter")
def verify_letter(
    file: Annotated[
        Path, Parameter(help="The letter, or its base64 form; - for standard input.", allow_leading_hyphen=True)
    ],
    /,
    *,
    data: Annotated[Path | None, Parameter(help="The key must be this folder's.")] = None,
) -> int:
    """Check a letter of guarantee."""
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {file}: {error.strerror}") from None
    trusted = None
    if data is not None:
        trusted = Vault.of_folder(data, make=False).letter_key.public_key().public_bytes_raw()
    for name, value in letter.verify(raw, trusted).items():
        _say(f"{name}: {value}")
    _say("the signature holds" + ("" if trusted is None else f", and the key is that of {data}"))
    return 0


def main() -> None:
    """Every error of ours is one line; the exit code tells."""
    log.set_level(os.environ.get("GLASSTUMBLER_LOG", "warning"))
    gc.set_threshold(*GARBAGE)
    try:
        code: Any = app(sys.argv[1:], exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        print(f"glasstumbler: {' '.join(str(error).split())} (--help tells more)", file=sys.stderr)
        raise SystemExit(2) from None
    except GlassTumblerError as error:
        print(f"glasstumbler: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    raise SystemExit(code if isinstance(code, int) else 0)


# -- inside -------------------------------------------------------------------------------------------------------


def _say(line: str) -> None:
    print(line, flush=True)


def _announce(house: House, serving: Serving, data: Path) -> None:
    _say(f"Glass Tumbler {__version__} - TEST NETWORKS ONLY - folder {data}")
    _say(f"{'hub':10} {serving.url('hub')}")
    for slug, service in house.services.items():
        line = f"{slug:10} {serving.url(slug)}"
        if service.keyed:
            key = house.vault.first_key(slug)
            line += f"  api_key {key}  secret_key {house.vault.account(key_row(slug, key, 0)).secret}"
        _say(line)
    _say(f"{'lab token':10} {house.vault.lab_token}")


def _tables(config: Path | None, data: Path) -> dict[str, Any]:
    own = data / "glasstumbler.toml"
    return settings.load(config or (own if own.exists() else None), os.environ)


@contextmanager
def _house(data: Path, store: str | None, block_interval: int, config: Path | None) -> Iterator[House]:
    """The folder's laboratory, open for as long as the block lasts."""
    from glasstumbler.house import House

    if block_interval < 0:
        raise SettingsError("--block-interval is a number of seconds, or 0")
    check_place(store)
    tables, vault = _tables(config, data), Vault.of_folder(data)
    with _claimed(data, is_shared(store)):
        house = House(data, vault, RealClock(), None, tables, store)
        try:
            yield house
        finally:
            house.close()


@contextmanager
def _claimed(data: Path, shared: bool) -> Iterator[None]:
    """One server to a folder, or several that share a record: not both."""
    with (data / "serve.lock").open("w") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            raise StoreError(f"another `glasstumbler serve` runs on {data}") from None
        yield


def _folder_store(data: Path, store: str | None, make: bool = False) -> tuple[Vault, Store]:
    check_place(store)
    vault = Vault.of_folder(data, make)
    return vault, open_store(store or data / "record.db", vault.fingerprint)


def _now(store: Store) -> int:
    """The laboratory's time, which may be ahead of the machine's."""
    clock = RealClock()
    clock.restore(int(store.read(lambda records: records.meta("clock offset")) or 0))
    return clock.now()


def _need_keys(service: str) -> None:
    if service not in services.SERVICES:
        raise SettingsError(f"no service is called {service!r}; these are: {', '.join(services.SERVICES)}")
    if service not in _SERVICES_WITH_KEYS:
        raise SettingsError(f"{service} has no keys; these have: {', '.join(_SERVICES_WITH_KEYS)}")


def _find_key(store: Store, service: str, key: str) -> KeyRow:
    wanted = key_row(service, key, 0).key_hash
    for row in store.read(lambda records: records.keys()):
        if row.service == service and (row.id == key or row.key_hash == wanted):
            return row
    raise SettingsError(f"{service} has no such key")
