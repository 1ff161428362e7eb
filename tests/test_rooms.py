"""The house's own rules: imports run downward, the core does no I/O, no main network stands in the tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import glasstumbler

HOUSE = Path(glasstumbler.__file__).parent
MOST_LINES = 500

ROOMS = """
__main__
cli
cli_folder cli_keys cli_lab cli_watch demo status testing
cli_orders
cli_options
web torture
backup backup_chain
audit audit_crew audit_house audit_wallets
audit_blocks audit_chain audit_entries audit_file audit_network audit_payments audit_record
orders_shown
webhooks webhook_book
condition story lab explorer
worker
keys house
service
watch turn accounts pay claim opening swap payment_url wallet limits
metrics recent sharing fleet ground vault agreed place behaviour
services client
dialects
store
nodes
chains
engine
terminal
settings sealed money clock log lock errors
"""
"""From the top down, the rooms of one floor in a row. A room imports from its own floor and from those below."""
FLOORS = {room: -floor for floor, row in enumerate(ROOMS.split("\n")) for room in row.split()}

IO = {
    *("asyncio", "concurrent", "glob", "http", "httpx", "multiprocessing", "os", "pathlib", "queue", "requests"),
    *("secrets", "select", "selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile"),
    *("threading", "time", "urllib.request", "urllib.error", "uvicorn"),
}

MAIN_NETWORKS = {
    "genesis block of Bitcoin": r"000000000019d668",
    "genesis block of Litecoin": r"12a765e31ffd4059",
    "genesis block of Monero": r"418015bb9ae982a1",
    "genesis block of Ethereum": r"d4e56740f876aef8",
    "prefix of a main address": r"""["'](bc|bitcoincash|lnbc|lnltc)["']|["'](bc1|ltc1|bitcoincash:|lnbc[0-9])""",
    "port of a main network": r":(8333|9333|18080|18081|30303)\b",
    "chain id of the main network": r"chain_?id['\"]?\s*(=|==|:)\s*(1|0x1)\b",
    "a host out there": r"""https?://(?!127\.0\.0\.1|localhost|\[|\{|$|www\.w3\.org/2000/svg")""",
}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(HOUSE.rglob("*.py")):
        parts = path.relative_to(HOUSE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported(path: Path) -> Iterator[str]:
    """Full names of all that a file imports, inside functions too; `from a import b` gives a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: imports are written in full"
            yield from (f"{node.module}.{name.name}" for name in node.names)


MODULES = dict(modules())


def own(path: Path) -> Iterator[str]:
    """Modules of the house that a file imports, without the package's name."""
    for name in imported(path):
        inner = name.removeprefix("glasstumbler.")
        if inner == name:
            continue
        if inner in MODULES:
            yield inner
        elif (parent := inner.rpartition(".")[0]) in MODULES and parent:
            yield parent


NAMES = [name for name in MODULES if name]


@pytest.mark.parametrize("name", NAMES)
def test_imports_run_downward(name: str) -> None:
    room = name.partition(".")[0]
    assert room in FLOORS, f"{room} is on no floor: give it one in ROOMS"
    upward = [other for other in own(MODULES[name]) if FLOORS[other.partition(".")[0]] > FLOORS[room]]
    assert not upward, f"{name} imports from above: {', '.join(upward)}"


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {name: set(own(path)) for name, path in MODULES.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_every_floor_is_lived_on() -> None:
    rooms = {name.partition(".")[0] for name in NAMES}
    assert set(FLOORS) <= rooms, "a room in the table that the house does not have"


def test_the_audit_is_called_from_the_top_only() -> None:
    callers = {name for name, path in MODULES.items() if {"audit", "audit_house"} & set(own(path))}
    assert callers - {name for name in MODULES if name.startswith("audit")} == {
        *("backup", "cli_folder", "demo", "torture.witness")
    }


AGREED = {"errors", "dialects.php", "engine.letter"}
"""What both ends of the wire must do alike: a reply's signed text, a letter's form."""


@pytest.mark.parametrize("name", [name for name in NAMES if name.partition(".")[0] == "client"])
def test_the_client_knows_nothing_of_the_services(name: str) -> None:
    assert {other for other in own(MODULES[name]) if other.partition(".")[0] != "client"} <= AGREED


PURE = [name for name in NAMES if name.partition(".")[0] in ("engine", "dialects", "client") and name != "client.faces"]


@pytest.mark.parametrize("name", PURE)
def test_the_core_does_no_io(name: str) -> None:
    io = [other for other in imported(MODULES[name]) if any(f"{other}.".startswith(f"{module}.") for module in IO)]
    assert not io


@pytest.mark.parametrize("name", PURE)
def test_the_core_calls_nothing_that_opens(name: str) -> None:
    calls = [node.func for node in ast.walk(ast.parse(MODULES[name].read_text())) if isinstance(node, ast.Call)]
    assert not [call.id for call in calls if isinstance(call, ast.Name) and call.id in ("open", "input", "print")]


_NOT_OURS = {"__pycache__", "vendor"}  # what is vendored is held by its digest (tests/web/test_pages.py)
FILES = [path for path in sorted(HOUSE.rglob("*")) if path.is_file() and _NOT_OURS.isdisjoint(path.parts)]


@pytest.mark.parametrize("what", MAIN_NETWORKS)
def test_no_main_network_stands_in_the_house(what: str) -> None:
    pattern = re.compile(MAIN_NETWORKS[what], re.IGNORECASE)
    found = []
    for path in FILES:
        lines = path.read_text(encoding="utf-8").splitlines()
        found += [f"{path.relative_to(HOUSE)}:{n}: {line}" for n, line in enumerate(lines, 1) if pattern.search(line)]
    assert not found


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("genesis block of Bitcoin", 'GENESIS = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"'),
        ("genesis block of Monero", "418015bb9ae982a1975da7d79277c2705727a56894ba0fb246adaabb1f4632e3"),
        ("prefix of a main address", 'if hrp == "bc":'),
        ("prefix of a main address", "'ltc1qxyz'"),
        ("port of a main network", "peer = '10.0.0.1:8333'"),
        ("chain id of the main network", "transfer(chain_id=1, to=key)"),
        ("chain id of the main network", '{"chainId": 1, "nonce": 0}'),
        ("a host out there", 'NODE = "https://node.example.org"'),
    ],
)
def test_a_main_network_would_be_found(what: str, line: str) -> None:
    assert re.search(MAIN_NETWORKS[what], line, re.IGNORECASE)


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".py"], ids=lambda path: path.stem)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES
