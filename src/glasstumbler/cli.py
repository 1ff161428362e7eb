"""The command `glasstumbler`: from settings to a running laboratory, and its answers on the terminal."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from cyclopts import App, CycloptsError, Group, Parameter

from glasstumbler import __version__, cli_folder, cli_lab, cli_orders, cli_watch, log, services, settings
from glasstumbler.cli_keys import keys
from glasstumbler.cli_options import DATA, AsJson, Folder, Record
from glasstumbler.clock import RealClock
from glasstumbler.errors import GlassTumblerError, SettingsError
from glasstumbler.lock import claimed
from glasstumbler.place import NodeKind, nodes_of, record_of, remember, remember_nodes
from glasstumbler.store.url import is_shared
from glasstumbler.terminal import answer, say, say_aside
from glasstumbler.vault import Vault, key_row

if TYPE_CHECKING:  # what only `serve` needs is loaded there: the other commands answer sooner
    from glasstumbler.house import House
    from glasstumbler.limits import Limits
    from glasstumbler.web.serving import Serving

GARBAGE = (50_000, 20, 50)
"""How seldom Python looks for circular garbage: what a laboratory holds it holds for good, and there is much of it."""
_HIGHEST_PORT = 65535 - len(services.SERVICES)
_NOBODY_READS = 141
"""The exit code of a command whose output is not read to its end, as a shell has it of any other (128 + SIGPIPE)."""

app = App(
    name="glasstumbler",
    help="Coin mixing and swap services on private test chains, with the record of every link.",
    version=__version__,
)

Interval = Annotated[int, Parameter(help="Seconds between blocks; 0: only when asked for.")]
OnNodes = Annotated[
    NodeKind | None,
    Parameter(name="--nodes", help="in-process, or real: node software of its own or of yours. A folder keeps to one."),
]
Config = Annotated[Path | None, Parameter(help="Settings; else glasstumbler.toml in the folder.")]


def serve(
    *,
    data: Folder = DATA,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port of the hub; the services take the next five. 0: free ports.")] = 8700,
    store: Record = None,
    block_interval: Interval = 30,
    config: Config = None,
    nodes: OnNodes = None,
    as_json: AsJson = False,
) -> int:
    """Run the hub and the five services until Ctrl-C. The folder keeps everything; started again, it goes on.

    With a record in PostgreSQL, several may run side by side on one folder, each on its own ports.
    """
    from glasstumbler.web.serving import Serving, run

    if not 0 <= port <= _HIGHEST_PORT:
        raise SettingsError(f"--port goes from 0 to {_HIGHEST_PORT}: the services take the ports after it")
    with _laboratory(data, store, block_interval, config, nodes, as_json) as laboratory:
        serving = Serving(laboratory.open, host, port, block_interval, limits=laboratory.limits)
        laboratory.tell(serving.url("hub"))
        run(serving, partial(_announce, serving, data, as_json))
    answer(as_json, {"event": "stopped", "data": data}, [f"stopped; {data} keeps everything"])
    return 0


def worker(
    *,
    store: Annotated[str, Parameter(help="postgresql://USER:PASSWORD@HOST:PORT/DATABASE, the record of `serve`.")],
    data: Folder = DATA,
    block_interval: Interval = 30,
    config: Config = None,
    nodes: OnNodes = None,
    as_json: AsJson = False,
) -> int:
    """Work beside `serve` until Ctrl-C: watch the chains, pay what is due. Any number may run on one folder."""
    from glasstumbler.worker import Worker

    if not is_shared(store):
        raise SettingsError("workers share a record in PostgreSQL (--store postgresql://...); with SQLite, serve works")
    with _laboratory(data, store, block_interval, config, nodes, as_json) as laboratory:
        told = {"event": "working", "version": __version__, "data": data}
        ready = partial(answer, as_json, told, [f"Glass Tumbler {__version__} - a worker on {data}"])
        Worker(laboratory.open(), block_interval).run(ready)
    answer(as_json, {"event": "stopped", "data": data}, [f"stopped; {data} keeps everything"])
    return 0


def demo(
    *,
    seed: Annotated[int, Parameter(help="Same seed, same bytes.")] = 1,
    out: Annotated[Path, Parameter(help="Folder for the dataset and the report.")] = Path("demo-out"),
    nodes: Annotated[NodeKind, Parameter(help="What the chains run on; real nodes repeat no bytes.")] = "in-process",
    as_json: AsJson = False,
) -> int:
    """Drive the documented requests of all five services over HTTP, pay, mine, wait, and show every link."""
    from glasstumbler.demo import run_demo

    return run_demo(seed, out, nodes, as_json)


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print what makes a shell complete these commands at TAB.

    bash: eval "$(glasstumbler completion bash)". zsh: the same with zsh. fish: glasstumbler completion fish | source
    """
    print(app.generate_completion(prog_name="glasstumbler", shell=shell))
    if shell == "zsh":  # what is generated is a file for zsh's fpath; to be evaluated it must be registered as well
        print("compdef _cyclopts_glasstumbler glasstumbler")
    return 0


_COMMANDS: dict[str, tuple[Callable[..., int], ...]] = {
    "Run": (demo, serve, worker),
    "Look": (cli_folder.status, cli_orders.orders, cli_orders.order, cli_orders.links, cli_watch.watch),
    "Keep": (
        *(cli_folder.audit, cli_folder.backup, cli_folder.restore, cli_folder.seal, cli_folder.unseal),
        *(cli_folder.verify_letter, cli_lab.torture, completion),
    ),
    "Measure": (cli_lab.simulate, cli_lab.score, cli_lab.report, cli_lab.export),
}
_GROUPS = {title: Group(title, sort_key=place) for place, title in enumerate(_COMMANDS)}
for _title, _commands in _COMMANDS.items():
    for _command in _commands:
        app.command(_command, group=_GROUPS[_title])
keys.group = _GROUPS["Run"]
app.command(keys)


def main() -> None:
    """Every error of ours is one line; the exit code tells."""
    gc.set_threshold(*GARBAGE)
    try:
        log.configure(os.environ)
        code: Any = app(sys.argv[1:], exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as error:
        print(f"glasstumbler: {log.printable(' '.join(str(error).split()))} (--help tells more)", file=sys.stderr)
        raise SystemExit(2) from None
    except GlassTumblerError as error:
        print(f"glasstumbler: {log.printable(str(error))}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is not tried again at the end
        raise SystemExit(_NOBODY_READS) from None
    raise SystemExit(code if isinstance(code, int) else 0)


# -- inside -------------------------------------------------------------------------------------------------------


def _announce(serving: Serving, data: Path, as_json: bool, house: House) -> None:
    answer(as_json, _announcement(serving, data, house), _announced(serving, data, house))


def _keys(house: House, slug: str) -> dict[str, str]:
    """The first key of a service and its secret; nothing where there are no keys."""
    if not house.services[slug].keyed:
        return {}
    key = house.vault.first_key(slug)
    return {"api_key": key, "secret_key": house.vault.account(key_row(slug, key, 0)).secret}


def _announcement(serving: Serving, data: Path, house: House) -> dict[str, Any]:
    return {
        "event": "serving",
        "version": __version__,
        "data": data,
        "hub": serving.url("hub"),
        "services": {slug: {"url": serving.url(slug), **_keys(house, slug)} for slug in house.services},
        "lab_token": house.vault.lab_token,
    }


def _announced(serving: Serving, data: Path, house: House) -> Iterator[str]:
    yield f"Glass Tumbler {__version__} - TEST NETWORKS ONLY - folder {data}"
    yield f"{'hub':10} {serving.url('hub')}"
    for slug in house.services:
        named = (f"  {name} {value}" for name, value in _keys(house, slug).items())
        yield f"{slug:10} {serving.url(slug)}{''.join(named)}"
    if house.nodes == "real":
        for coin, chain in house.chains.items():
            yield f"{'chain':10} {coin}: {chain.node}, block {chain.tip()[0]}"
        if house.lightning is not None:
            yield f"{'chain':10} lightning: {house.lightning.node}"
    yield f"{'lab token':10} {house.vault.lab_token}"


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
    data: Path, store: str | None, block_interval: int, config: Path | None, asked: NodeKind | None, as_json: bool
) -> Iterator[_Laboratory]:
    """For as long as the block lasts. Nodes that are started are told of; `as_json`: on standard error."""
    from glasstumbler.house import House, lab_settings

    if block_interval < 0:
        raise SettingsError("--block-interval is a number of seconds, or 0")
    record, tables, vault = record_of(data, store), _tables(config, data), Vault.of_folder(data)
    tell_of = say_aside if as_json else say
    limits, opened, nodes = lab_settings(tables).limits, list[House](), nodes_of(data, asked)

    def open_house() -> House:
        remember_nodes(data, nodes)
        opened.append(House(data, vault, RealClock(), None, tables, record, nodes=nodes, say=tell_of))
        remember(data, store)
        opened[0].start()
        return opened[0]

    with claimed(data, is_shared(store)) as tell:
        try:
            yield _Laboratory(open_house, limits, tell)
        finally:
            for house in opened:
                house.close()
