"""The command `glasstumbler`: from settings to a running laboratory, and its answers on the terminal."""

from __future__ import annotations

import gc
import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from cyclopts import App, CycloptsError, Parameter

from glasstumbler import __version__, cli_lab, log, services, settings
from glasstumbler.clock import RealClock
from glasstumbler.engine import ledger, letter
from glasstumbler.errors import GlassTumblerError, SettingsError, StoreError
from glasstumbler.lock import claimed
from glasstumbler.place import NodeKind, nodes_of, record_of, remember, remember_nodes
from glasstumbler.sealed import VARIABLE
from glasstumbler.store.base import Store
from glasstumbler.store.records import KeyRow, Records
from glasstumbler.store.url import is_shared, open_store
from glasstumbler.terminal import progress, say
from glasstumbler.vault import Vault, change_seal, key_row, new_key

if TYPE_CHECKING:  # what only `serve` needs is loaded there: the other commands answer sooner
    from glasstumbler.house import House
    from glasstumbler.limits import Limits
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
app.command(cli_lab.simulate)
app.command(cli_lab.export)
app.command(cli_lab.report)
app.command(cli_lab.score)

Slug = Annotated[str, Parameter(help="bestmixer, btcmix, coinjoin or whir; the swap has no keys.")]
Folder = Annotated[Path, Parameter(help="Folder of the record, the chains and the secret.")]
Record = Annotated[
    str | None,
    Parameter(help="sqlite:///PATH or postgresql://USER@HOST/DATABASE in place of the folder's own record."),
]
Interval = Annotated[int, Parameter(help="Seconds between blocks; 0: only when asked for.")]
OnNodes = Annotated[
    NodeKind | None,
    Parameter(name="--nodes", help="in-process, or real: node software of its own or of yours. A folder keeps to one."),
]
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
    nodes: OnNodes = None,
) -> int:
    """Run the hub and the five services until Ctrl-C. The folder keeps everything; started again, it goes on.

    With a record in PostgreSQL, several may run side by side on one folder, each on its own ports.
    """
    from glasstumbler.web.serving import Serving, run

    if not 0 <= port <= _HIGHEST_PORT:
        raise SettingsError(f"--port goes from 0 to {_HIGHEST_PORT}: the services take the ports after it")
    with _laboratory(data, store, block_interval, config, nodes) as laboratory:
        serving = Serving(laboratory.open, host, port, block_interval, limits=laboratory.limits)
        laboratory.tell(serving.url("hub"))
        run(serving, partial(_announce, serving, data))
    say(f"stopped; {data} keeps everything")
    return 0


@app.command
def worker(
    *,
    store: Annotated[str, Parameter(help="postgresql://USER:PASSWORD@HOST:PORT/DATABASE, the record of `serve`.")],
    data: Folder = DATA,
    block_interval: Interval = 30,
    config: Config = None,
    nodes: OnNodes = None,
) -> int:
    """Work beside `serve` until Ctrl-C: watch the chains, pay what is due. Any number may run on one folder."""
    from glasstumbler.worker import Worker

    if not is_shared(store):
        raise SettingsError("workers share a record in PostgreSQL (--store postgresql://...); with SQLite, serve works")
    with _laboratory(data, store, block_interval, config, nodes) as laboratory:
        Worker(laboratory.open(), block_interval).run(partial(say, f"Glass Tumbler {__version__} - a worker on {data}"))
    say(f"stopped; {data} keeps everything")
    return 0


@app.command
def demo(
    *,
    seed: Annotated[int, Parameter(help="Same seed, same bytes.")] = 1,
    out: Annotated[Path, Parameter(help="Folder for the dataset and the report.")] = Path("demo-out"),
    nodes: Annotated[NodeKind, Parameter(help="What the chains run on; real nodes repeat no bytes.")] = "in-process",
) -> int:
    """Drive the documented requests of all five services over HTTP, pay, mine, wait, and show every link."""
    from glasstumbler.demo import run_demo

    return run_demo(seed, out, nodes)


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
    say(json.dumps({"service": service, "api_key": key, "secret_key": account.secret, "id": account.id}))
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
    say(json.dumps([{"service": row.service, "id": row.id, "blocked": row.blocked} for row in rows]))
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
    say(json.dumps({"service": service, "id": row.id, "blocked": True}))
    return 0


@app.command
def seal(*, data: Folder = DATA) -> int:
    """Seal the folder's secret under the key in GLASSTUMBLER_KEY; from then on the folder opens only with it."""
    change_seal(data, seal=True)
    say(f"sealed; without the key in {VARIABLE} nothing opens {data} any more")
    return 0


@app.command
def unseal(*, data: Folder = DATA) -> int:
    """Take the seal off the folder's secret: the file alone opens the folder."""
    change_seal(data, seal=False)
    say(f"not sealed any more; unset {VARIABLE} to open {data}")
    return 0


@app.command
def audit(
    *,
    data: Folder = DATA,
    store: Record = None,
    head: Annotated[str | None, Parameter(help="NUMBER:HASH of an entry, as an earlier audit printed it.")] = None,
) -> int:
    """Recompute the record, its balances, and the wallets against the chains. Exit code 1 at any difference."""
    from glasstumbler.audit import Kept
    from glasstumbler.audit import audit as check

    vault = Vault.of_folder(data, make=False)
    with progress() as show:
        report = check(data, show, record_of(data, store), vault.fingerprint, None if head is None else Kept.read(head))
    for line in report.lines():
        say(line)
    return 0 if report.clean else 1


@app.command
def status(
    *,
    data: Folder = DATA,
    store: Annotated[str | None, Parameter(help="Where `serve` keeps the record, if not in the folder.")] = None,
    url: Annotated[str | None, Parameter(help="A hub anywhere, in place of the folder's own.")] = None,
    token: Annotated[str, Parameter(help="Lab token of that hub, if it is not on this machine.")] = "",
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="As one line of JSON.")] = False,
) -> int:
    """Tell how the laboratory is. Exit code 0: it runs and is ready; 1: it is not ready; 3: it does not run."""
    from glasstumbler.status import code, lines, look

    if url is None:
        record_of(data, store)
    where, now = look(data, store, url, token)
    if as_json:
        say(msgspec.json.encode(now).decode())
    else:
        for line in lines(where, now):
            say(line)
    return code(now)


@app.command
def backup(
    *,
    out: Annotated[Path, Parameter(help="A new folder, or a new file whose name ends in .tar.")],
    data: Folder = DATA,
    store: Record = None,
) -> int:
    """Copy record, chains, settings and secret, also while `serve` runs, and audit the copy."""
    from glasstumbler.backup import back_up

    record_of(data, store)
    with progress() as show:
        done = back_up(data, out, store, show)
    say(
        f"{out}: {len(done.manifest.files)} files, {done.size / 2**20:.0f} MB; it holds the folder's secret: keep it so"
    )
    for line in done.report.lines():
        say(line)
    return 0


@app.command
def restore(
    source: Annotated[Path, Parameter(help="The backup.")],
    /,
    *,
    data: Folder = DATA,
    store: Annotated[str | None, Parameter(help="An empty record that takes the rows, in place of a file.")] = None,
) -> int:
    """Make a folder out of a backup, and audit it."""
    from glasstumbler.backup import restore as restore_

    with progress() as show:
        done = restore_(source, data, store, show)
    remember(data, store)
    say(f"{data}: as it was at {done.manifest.made}")
    for line in done.report.lines():
        say(line)
    return 0


@app.command
def torture(
    *,
    seed: Annotated[int, Parameter(help="The first seed; the same one is the same run.")] = 0,
    seeds: Annotated[int, Parameter(help="So many seeds, one after another.")] = 1,
    steps: Annotated[int, Parameter(help="Of each seed's run.")] = 60,
) -> int:
    """Drive a laboratory through crashes, failing disks, lying nodes and reorganisations. Exit code 1 at the first
    seed that breaks one of the four promises, with the shortest run that still does."""
    from glasstumbler.torture.run import torture as live

    if seeds < 1 or steps < 1:
        raise SettingsError("--seeds and --steps are at least 1")
    for number in range(seed, seed + seeds):
        report = live(number, steps)
        for line in report.lines():
            say(line)
        if report.failure is not None:
            return 1
    return 0


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
        say(f"{name}: {value}")
    say("the signature holds" + ("" if trusted is None else f", and the key is that of {data}"))
    return 0


def main() -> None:
    """Every error of ours is one line; the exit code tells."""
    gc.set_threshold(*GARBAGE)
    try:
        log.configure(os.environ)
        code: Any = app(sys.argv[1:], exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        print(f"glasstumbler: {log.printable(' '.join(str(error).split()))} (--help tells more)", file=sys.stderr)
        raise SystemExit(2) from None
    except GlassTumblerError as error:
        print(f"glasstumbler: {log.printable(str(error))}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    raise SystemExit(code if isinstance(code, int) else 0)


# -- inside -------------------------------------------------------------------------------------------------------


def _announce(serving: Serving, data: Path, house: House) -> None:
    say(f"Glass Tumbler {__version__} - TEST NETWORKS ONLY - folder {data}")
    say(f"{'hub':10} {serving.url('hub')}")
    for slug, service in house.services.items():
        line = f"{slug:10} {serving.url(slug)}"
        if service.keyed:
            key = house.vault.first_key(slug)
            line += f"  api_key {key}  secret_key {house.vault.account(key_row(slug, key, 0)).secret}"
        say(line)
    if house.nodes == "real":
        for coin, chain in house.chains.items():
            say(f"{'chain':10} {coin}: {chain.node}, block {chain.tip()[0]}")
        if house.lightning is not None:
            say(f"{'chain':10} lightning: {house.lightning.node}")
    say(f"{'lab token':10} {house.vault.lab_token}")


def _tables(config: Path | None, data: Path) -> dict[str, Any]:
    own = data / "glasstumbler.toml"
    return settings.load(config or (own if own.exists() else None), os.environ)


class _Laboratory(NamedTuple):
    """A folder's laboratory, which is this process's. Once opened, it is closed at the end. `tell` where its hub is."""

    open: Callable[[], House]
    limits: Limits
    tell: Callable[[str], None]


@contextmanager
def _laboratory(
    data: Path, store: str | None, block_interval: int, config: Path | None, asked: NodeKind | None
) -> Iterator[_Laboratory]:
    """For as long as the block lasts."""
    from glasstumbler.house import House, lab_settings

    if block_interval < 0:
        raise SettingsError("--block-interval is a number of seconds, or 0")
    record, tables, vault = record_of(data, store), _tables(config, data), Vault.of_folder(data)
    limits, opened, nodes = lab_settings(tables).limits, list[House](), nodes_of(data, asked)

    def open_house() -> House:
        remember_nodes(data, nodes)
        opened.append(House(data, vault, RealClock(), None, tables, record, nodes=nodes, say=say))
        remember(data, store)
        opened[0].start()
        return opened[0]

    with claimed(data, is_shared(store)) as tell:
        try:
            yield _Laboratory(open_house, limits, tell)
        finally:
            for house in opened:
                house.close()


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
