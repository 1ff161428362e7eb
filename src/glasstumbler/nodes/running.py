"""The nodes of one folder: started on free loopback ports, started again when they die, stopped.

`FOLDER/nodes.json` (readable by its owner only) says of each node what it is, its ports, password and process. It is
written before a node starts, and each node carries its folder in its environment, so that whatever a process of ours
left behind when it was killed is found again by the next one: a node that lives is used further, with the same ports
and password. The nodes do not die with the process that started them, since another process of the laboratory may take
them over; `close` ends them. One process at a time has the folder, by a lock that the system releases when it dies.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import IO

import msgspec

from glasstumbler import log
from glasstumbler.errors import NodeAway, SettingsError, StoreError
from glasstumbler.lock import exclusive
from glasstumbler.nodes import processes
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.processes import Process
from glasstumbler.nodes.ready import answers
from glasstumbler.nodes.software import SOFTWARE, Setting

INSTALLED = Path(__file__).parents[3] / "nodes-bin"
"""Where `make nodes` puts what it installs, beside the source."""
_MARK = "GLASSTUMBLER_NODE"
_FILE, _LOCK = "nodes.json", "nodes.lock"
_PORTS = range(12_000, 32_000)
"""Below those that the system gives to outgoing connections, so that a node that stopped finds its port free again."""
_TRIES = 5
"""Times that other ports are drawn, when somebody else was quicker to take them."""
_PAUSE = 0.05
_WORDS, _LETTERS = 3, 400
"""Lines of a node's output that an error repeats, since some say why and then sign off; and letters at most."""
_NONE: Mapping[str, Path] = MappingProxyType({})


class _Node(msgspec.Struct):
    """What is known of a node from one process of ours to the next."""

    kind: str
    ports: dict[str, int]
    user: str
    password: str
    behind: str
    pid: int = 0
    started: int = 0


class Nodes:
    """The nodes of `folder`. `programs`: software -> the user's own program in place of the installed one.

    StoreError if the folder cannot be used, or another process has it. Safe from any thread.
    """

    def __init__(self, folder: Path, programs: Mapping[str, Path] = _NONE, installed: Path = INSTALLED) -> None:
        self._folder, self._programs, self._installed = folder.absolute(), programs, installed
        self._changing = threading.RLock()
        self._ready: dict[str, Process] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = _claimed(self._folder)
        try:
            self._nodes = _read(self._folder / _FILE)
        except BaseException:
            self._lock.close()
            raise

    def start(self, kind: str, name: str = "", behind: str = "") -> Endpoint:
        """Start a node and wait until it is ready; harmless if it runs. `kind` is a row of SOFTWARE; `name` tells nodes
        of one kind apart; `behind` names the node that it asks for blocks (otherwise the one called like its software).

        SettingsError if its program is missing; NodeAway, with its last words, if it does not come up.
        """
        name = name or kind
        with self._changing:
            if name not in self._nodes:
                program(kind, self._programs, self._installed)
                for stray in processes.carrying(self._mark(name)):  # nodes.json was lost
                    processes.end(stray, SOFTWARE[kind].stop_seconds)
                behind = behind or SOFTWARE[kind].needs
                self._nodes[name] = _Node(kind, self._free_ports(kind), "lab", secrets.token_hex(16), behind)
                self._write()
            return self.ensure(name)

    def ensure(self, name: str) -> Endpoint:
        """A node that was started once: started again, and waited for, if it has died. Its endpoint stays what it was
        as long as this object lives; one that was not given out yet gets other ports where somebody else took them.

        NodeAway, with the node's last words, if it does not come up.
        """
        with self._changing:
            node = self._nodes[name]
            if node.behind:
                self.start(SOFTWARE[node.kind].needs, node.behind)
            for last in (*[False] * _TRIES, True):
                known = self.process(name)
                if known is not None and self._ready.get(name) == known:
                    break  # whether it answers now is the adapter's to see: a slow node is not waited for twice
                try:
                    known = known or self._spawn(name)
                    self._wait(name, known)
                    self._ready[name] = known
                except NodeAway:
                    taken = [port for port in node.ports.values() if not is_free(port)]
                    if last or not taken or name in self._ready or self.process(name) is not None:
                        raise
                    node.ports = self._free_ports(node.kind)
            return self.endpoint(name)

    def endpoint(self, name: str) -> Endpoint:
        """Where a node that was started once is, whether it runs or not."""
        with self._changing:
            return SOFTWARE[self._nodes[name].kind].endpoint(self._setting(name))

    def names(self) -> tuple[str, ...]:
        """The nodes of this folder in the order in which they were first started."""
        with self._changing:
            return tuple(self._nodes)

    def process(self, name: str) -> Process | None:
        """The process that is this node, whoever started it; None if it does not run."""
        with self._changing:
            node, mark = self._nodes[name], self._mark(name)
            if name in self._children and self._children[name].poll() is not None:
                del self._children[name]
            known = Process(node.pid, node.started)
            if known.alive and processes.carries(node.pid, mark):
                return known
            return next(processes.carrying(mark), None)

    def stop(self, name: str) -> None:
        """Cleanly if it can be; killed when that takes too long. `ensure` starts it again."""
        with self._changing:
            known, software = self.process(name), SOFTWARE[self._nodes[name].kind]
            if known is not None and not processes.end(known, software.stop_seconds):
                log.warning("a node did not stop in time and was killed", node=name)
            if (child := self._children.pop(name, None)) is not None:
                child.wait()

    def close(self) -> None:
        """Stop all nodes, those first that ask others; let go of the folder."""
        with self._changing:
            if self._lock.closed:
                return
            try:
                for name in sorted(self._nodes, key=lambda name: not self._nodes[name].behind):
                    self.stop(name)
            finally:
                self._lock.close()

    # Inside.

    def _spawn(self, name: str) -> Process:
        setting, software = self._setting(name), SOFTWARE[self._nodes[name].kind]
        for what, port in setting.ports.items():
            if not is_free(port):
                raise NodeAway(name, f"its port {port} ({what}) is taken by another program")
        mark, _, value = self._mark(name).partition("=")
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(setting.folder), mark: value}
        try:
            setting.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for file, text in software.files(setting).items():
                _write_whole(setting.folder / file, text.encode())
            output = _fresh_log(setting.folder)
        except OSError as error:
            raise StoreError(f"cannot use {setting.folder}: {error.strerror}") from None
        with output:
            try:
                child = subprocess.Popen(  # noqa: S603
                    [setting.program, *software.command(setting)],
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=setting.folder,
                    env={**environment, **software.environment(setting)}, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise SettingsError(f"cannot start {setting.program}: {error.strerror}") from None
        self._children[name] = child
        known = processes.process(child.pid) or Process(child.pid, 0)  # or it is gone already
        self._nodes[name].pid, self._nodes[name].started = known
        self._write()
        return known

    def _wait(self, name: str, known: Process) -> None:
        """Until it answers. Only what this very process listens on is asked: no stranger gets our password."""
        setting, software = self._setting(name), SOFTWARE[self._nodes[name].kind]
        until = time.monotonic() + software.start_seconds
        while known.alive:
            heard = any(each.listens and each.port == setting.ports["rpc"] for each in processes.sockets(known.pid))
            if heard and answers(software.endpoint(setting), software.question):
                return
            if time.monotonic() > until:
                raise NodeAway(name, f"no answer in {software.start_seconds:.0f} s; {_last_words(setting.folder)}")
            time.sleep(_PAUSE)
        raise NodeAway(name, f"it ended; {_last_words(setting.folder)}")

    def _setting(self, name: str) -> Setting:
        node = self._nodes[name]
        path = program(node.kind, self._programs, self._installed)
        behind = self.endpoint(node.behind) if node.behind else None
        modules = self._installed / "npm" / "node_modules"
        return Setting(path, self._folder / name, node.ports, node.user, node.password, behind, modules)

    def _mark(self, name: str) -> str:
        return f"{_MARK}={self._folder / name}"

    def _free_ports(self, kind: str) -> dict[str, int]:
        taken = {port for node in self._nodes.values() for port in node.ports.values()}
        ports: dict[str, int] = {}
        while len(ports) < len(SOFTWARE[kind].ports):
            port = secrets.choice(_PORTS)
            if port not in taken and is_free(port):
                taken.add(port)
                ports[SOFTWARE[kind].ports[len(ports)]] = port
        return ports

    def _write(self) -> None:
        try:
            _write_whole(self._folder / _FILE, msgspec.json.format(msgspec.json.encode(self._nodes), indent=1))
        except OSError as error:
            raise StoreError(f"cannot write {self._folder / _FILE}: {error.strerror}") from None


def program(kind: str, programs: Mapping[str, Path] = _NONE, installed: Path = INSTALLED) -> Path:
    """The program of a row of SOFTWARE: the user's own, the installed one, or the one on PATH. SettingsError if there
    is none."""
    software = SOFTWARE[kind]
    own = programs.get(kind)
    if own is not None:
        if not os.access(own, os.X_OK) or own.is_dir():
            raise SettingsError(f"{own} is no program; it was named as the {kind} to start")
        return own
    ours = installed / software.program
    found = str(ours) if os.access(ours, os.X_OK) else shutil.which(software.program)
    wanted = software.module and not (installed / "npm" / "node_modules" / software.module).is_dir()
    if found is None or wanted:
        missing = software.module if wanted else software.program
        raise SettingsError(f"{missing} is not installed here: it is {software.package}")
    return Path(found)


def is_free(port: int) -> bool:
    """Whether a program could listen on this loopback port now. Connections that ended lately are no hindrance."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _claimed(folder: Path) -> IO[str]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = exclusive(folder / _LOCK)
    except OSError as error:
        raise StoreError(f"cannot use {folder}: {error.strerror}") from None
    if lock is None:
        raise StoreError(f"another process runs the nodes of {folder}")
    return lock


def _read(path: Path) -> dict[str, _Node]:
    try:
        nodes = msgspec.json.decode(path.read_bytes(), type=dict[str, _Node])
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise StoreError(f"{path} is damaged ({error}); delete it, and the nodes are begun anew") from None
    return {name: node for name, node in nodes.items() if node.kind in SOFTWARE}


def _write_whole(path: Path, raw: bytes) -> None:
    """All of it or what was there before; its owner alone reads it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _fresh_log(folder: Path) -> IO[bytes]:
    """What the node said the time before is kept beside it."""
    path = folder / "log"
    with suppress(FileNotFoundError):
        path.replace(folder / "log.before")
    return path.open("wb")


def _last_words(folder: Path) -> str:
    try:
        with (folder / "log").open("rb") as file:
            file.seek(max(0, (folder / "log").stat().st_size - 4096))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        lines = []
    said = [line.strip() for line in lines if line.strip()]
    return f"its last words: {' | '.join(said[-_WORDS:])[-_LETTERS:]}" if said else "it said nothing"
