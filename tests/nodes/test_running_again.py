"""Nodes whose starter was killed, whose port or folder is taken, whose files are lost: each has a clear end."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from glasstumbler.errors import NodeAway, SettingsError, StoreError
from glasstumbler.nodes import processes
from glasstumbler.nodes.processes import Process
from glasstumbler.nodes.rpc import Rpc
from glasstumbler.nodes.running import Nodes, is_free, program
from glasstumbler.nodes.software import SOFTWARE
from tests.nodes.conftest import needs_installed
from tests.nodes.test_running import killed, wait_for, works

_START_AND_WAIT = """
import sys
from pathlib import Path
from glasstumbler.nodes.rpc import Rpc
from glasstumbler.nodes.running import Nodes
nodes = Nodes(Path(sys.argv[1]))
for kind in sys.argv[2:]:
    nodes.start(kind)
print("ready", flush=True)
sys.stdin.read()
"""

_A_TEST_RUN = """
import sys
from tests.nodes.conftest import running
with running() as nodes:
    nodes.start("anvil")
    print(*nodes.process("anvil"), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Of nodes of one test; whoever started them, they end with it."""
    needs_installed()
    yield tmp_path / "nodes"
    Nodes(tmp_path / "nodes").close()


def left_behind(folder: Path, *kinds: str) -> None:
    """Nodes whose starter was killed."""
    command = [sys.executable, "-c", _START_AND_WAIT, str(folder), *kinds]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None and starter.stdout.readline() == b"ready\n"
        starter.kill()


def on_file(folder: Path, kind: str) -> Process:
    known = msgspec.json.decode((folder / "nodes.json").read_bytes())[kind]
    return Process(known["pid"], known["started"])


# -- after our own death ----------------------------------------------------------------------------------------------


def test_nodes_of_a_killed_process_are_found_and_used_further(folder: Path) -> None:
    left_behind(folder, "litecoind", "anvil")
    orphans = {kind: on_file(folder, kind) for kind in ("litecoind", "anvil")}
    nodes = Nodes(folder)
    try:
        for kind, orphan in orphans.items():
            assert orphan.alive
            assert nodes.process(kind) == orphan
            nodes.start(kind)
            assert nodes.process(kind) == orphan
            assert works(nodes, kind)
    finally:
        nodes.close()
    assert not any(orphan.alive for orphan in orphans.values())


def test_a_node_is_found_by_its_environment_when_its_start_was_not_written_down(folder: Path) -> None:
    left_behind(folder, "anvil")
    orphan = on_file(folder, "anvil")
    path = folder / "nodes.json"
    path.write_text(path.read_text().replace(f'"pid": {orphan.pid}', '"pid": 0'))
    nodes = Nodes(folder)
    try:
        nodes.start("anvil")
        assert nodes.process("anvil") == orphan
    finally:
        nodes.close()


def test_another_process_with_the_number_of_a_node_is_left_alone(folder: Path) -> None:
    nodes = Nodes(folder)
    nodes.start("anvil")
    nodes.close()
    ours = processes.process(os.getpid())
    path = folder / "nodes.json"
    known = msgspec.json.decode(path.read_bytes())
    known["anvil"] |= {"pid": ours.pid, "started": ours.started}  # type: ignore[union-attr]
    path.write_bytes(msgspec.json.encode(known))
    again = Nodes(folder)
    assert again.process("anvil") is None
    again.close()
    assert ours == processes.process(os.getpid())


def test_a_stray_node_is_ended_when_nodes_json_was_lost(folder: Path) -> None:
    left_behind(folder, "anvil")
    orphan = on_file(folder, "anvil")
    (folder / "nodes.json").unlink()
    nodes = Nodes(folder)
    try:
        nodes.start("anvil")
        assert not orphan.alive
        assert works(nodes, "anvil")
    finally:
        nodes.close()


def test_two_processes_do_not_run_the_same_nodes(folder: Path) -> None:
    nodes = Nodes(folder)
    with pytest.raises(StoreError, match="another process runs the nodes of"):
        Nodes(folder)
    nodes.close()
    Nodes(folder).close()


def test_a_test_run_that_is_killed_leaves_no_node() -> None:
    needs_installed()
    command = [sys.executable, "-c", _A_TEST_RUN]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as run:
        assert run.stdout is not None
        node = Process(*map(int, run.stdout.readline().split()))
        assert node.alive
        run.kill()
        wait_for(lambda: not node.alive)


# -- what others took, hold or broke ----------------------------------------------------------------------------------


def test_a_port_taken_while_the_node_was_down_is_named_and_the_node_returns_when_it_is_free(folder: Path) -> None:
    nodes = Nodes(folder)
    try:
        endpoint = nodes.start("anvil")
        killed(nodes, "anvil")
        port = int(endpoint.url.rstrip("/").rpartition(":")[2])
        told = rf"its port {port} \(rpc\) is taken by another program"
        with socket.create_server(("127.0.0.1", port)), pytest.raises(NodeAway, match=told):
            nodes.ensure("anvil")
        assert nodes.ensure("anvil") == endpoint
    finally:
        nodes.close()


def test_a_port_taken_since_the_folder_was_last_open_is_exchanged_for_another(folder: Path) -> None:
    nodes = Nodes(folder)
    before = nodes.start("anvil")
    nodes.close()
    port = int(before.url.rstrip("/").rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
        again = Nodes(folder)
        try:
            assert again.start("anvil").url != before.url
            assert works(again, "anvil")
        finally:
            again.close()


def test_many_threads_that_miss_a_node_start_it_once(folder: Path) -> None:
    nodes = Nodes(folder)
    try:
        nodes.start("anvil")
        killed(nodes, "anvil")
        with ThreadPoolExecutor(8) as pool:
            endpoints = {str(each) for each in pool.map(nodes.ensure, ["anvil"] * 8)}
        assert len(endpoints) == 1
        assert len(list(processes.carrying(f"GLASSTUMBLER_NODE={folder / 'anvil'}"))) == 1
    finally:
        nodes.close()


def test_a_node_that_does_not_come_up_is_told_with_its_last_words(folder: Path) -> None:
    (folder / "litecoind").mkdir(parents=True)
    (folder / "litecoind" / "regtest").write_text("a file where a folder belongs")
    nodes = Nodes(folder)
    try:
        with pytest.raises(
            NodeAway, match=r"the litecoind node is away: it ended; its last words: .*File exists.*regtest"
        ):
            nodes.start("litecoind")
        (folder / "litecoind" / "regtest").unlink()
        nodes.ensure("litecoind")
    finally:
        nodes.close()


def test_a_node_that_stands_still_is_killed(folder: Path) -> None:
    nodes = Nodes(folder)
    try:
        nodes.start("anvil")
        known = nodes.process("anvil")
        assert known is not None
        os.kill(known.pid, signal.SIGSTOP)
        assert not processes.end(known, 0.2)
        wait_for(lambda: not known.alive)
    finally:
        nodes.close()


def test_a_node_that_only_stands_still_is_not_waited_for(folder: Path) -> None:
    nodes = Nodes(folder)
    try:
        endpoint = nodes.start("anvil")
        known = nodes.process("anvil")
        assert known is not None
        os.kill(known.pid, signal.SIGSTOP)
        assert nodes.ensure("anvil") == endpoint  # otherwise NodeAway, after a minute
        os.kill(known.pid, signal.SIGCONT)
        assert nodes.process("anvil") == known
    finally:
        nodes.close()


def test_litecoind_stops_by_itself_although_a_client_keeps_its_connection(folder: Path) -> None:
    nodes = Nodes(folder)
    try:
        rpc = Rpc(nodes.start("litecoind"), lambda ask: None)
        assert rpc.call("getblockcount") == 0
        known = nodes.process("litecoind")
        assert known is not None
        assert processes.end(known, SOFTWARE["litecoind"].stop_seconds)
    finally:
        nodes.close()


def test_passwords_are_readable_by_their_owner_only_and_differ(folder: Path, tmp_path: Path) -> None:
    nodes = Nodes(folder)
    try:
        endpoint = nodes.start("litecoind")
        assert len(endpoint.password) == 32
        for path in (folder / "nodes.json", folder / "litecoind" / "node.conf"):
            assert endpoint.password in path.read_text()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        known = nodes.process("litecoind")
        assert known is not None
        assert endpoint.password not in Path(f"/proc/{known.pid}/cmdline").read_text()
        assert nodes.start("litecoind", "another").password != endpoint.password
    finally:
        nodes.close()


def test_a_lost_node_behind_another_is_started_first(folder: Path) -> None:
    nodes = Nodes(folder)
    try:
        nodes.start("monero-wallet-rpc")
        killed(nodes, "monerod")
        nodes.ensure("monero-wallet-rpc")
        assert works(nodes, "monerod")
    finally:
        nodes.close()


# -- what the person is told ------------------------------------------------------------------------------------------


def test_a_folder_that_takes_no_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=f"cannot use {tmp_path}/file/nodes: Not a directory"):
        Nodes(tmp_path / "file" / "nodes")


def test_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "nodes.json").write_text('{"anvil": {"pid"')
    with pytest.raises(StoreError, match=f"{tmp_path}/nodes.json is damaged .*; delete it"):
        Nodes(tmp_path)
    (tmp_path / "nodes.json").unlink()
    Nodes(tmp_path).close()


@pytest.mark.parametrize("kind", SOFTWARE)
def test_software_that_is_missing(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match=r"is not installed here: it is .*(make nodes|bring yourself)"):
        program(kind, installed=tmp_path)


def test_a_program_of_the_users_own(tmp_path: Path) -> None:
    own = tmp_path / "bitcoind"
    with pytest.raises(SettingsError, match=f"{own} is no program; it was named as the bitcoind to start"):
        program("bitcoind", {"bitcoind": own})
    own.touch(mode=0o700)
    assert program("bitcoind", {"bitcoind": own}) == own


def test_a_program_of_the_users_own_is_started(tmp_path: Path) -> None:
    needs_installed()
    nodes = Nodes(tmp_path, {"bitcoind": Path("/usr/bin/litecoind")})  # it reads the same settings
    try:
        assert Rpc(nodes.start("bitcoind"), lambda ask: None).call("getblockcount") == 0
    finally:
        nodes.close()


def test_a_program_that_does_not_run(tmp_path: Path) -> None:
    own = tmp_path / "bitcoind"
    own.write_text("#!/nowhere/interpreter\n")
    own.chmod(0o700)
    nodes = Nodes(tmp_path / "nodes", {"bitcoind": own})
    with pytest.raises(SettingsError, match=f"cannot start {own}: No such file or directory"):
        nodes.start("bitcoind")
    nodes.close()
