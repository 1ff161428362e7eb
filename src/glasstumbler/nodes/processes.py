"""Processes of this user, as Linux shows them under /proc: who one is, since when, where it listens; and its end.

A number alone may mean another process by now, so one is known by its number and the moment it started.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_PAUSE = 0.02
_LISTEN = "0A"


class Process(NamedTuple):
    pid: int
    started: int
    """In clock ticks since the machine started."""

    @property
    def alive(self) -> bool:
        return process(self.pid) == self


def process(pid: int) -> Process | None:
    """The process of this number, or None if there is none, or only what its parent has not taken note of yet. While
    threads of a killed process are still going, so are its sockets: that counts as alive."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    threads, started = int(fields[17]), int(fields[19])
    return None if fields[0] in "ZX" and threads <= 1 else Process(pid, started)


def carries(pid: int, mark: str) -> bool:
    """Whether a process of ours was started with this NAME=VALUE in its environment."""
    try:
        return os.fsencode(mark) in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def carrying(mark: str) -> Iterator[Process]:
    for path in _PROC.glob("[0-9]*"):
        pid = int(path.name)
        if carries(pid, mark) and (found := process(pid)):
            yield found


class Socket(NamedTuple):
    """A TCP socket. Hosts as the kernel writes them: hexadecimal."""

    host: str
    port: int
    peer: str
    listens: bool


def sockets(pid: int) -> set[Socket]:
    """The TCP sockets of a process."""
    inodes = set()
    with suppress(OSError):
        for link in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                inodes |= set(re.findall(r"socket:\[(\d+)\]", str(link.readlink())))
    found = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (_PROC / str(pid) / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[9] in inodes:
                    (host, port), (peer, _) = (fields[at].split(":") for at in (1, 2))
                    found.add(Socket(host, int(port, 16), peer, fields[3] == _LISTEN))
    return found


def end(known: Process, seconds: float) -> bool:
    """Ask it to stop, wait, then kill it; True if it stopped by itself."""
    for order, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 10.0)):
        if not known.alive:
            return True
        with suppress(ProcessLookupError):
            os.kill(known.pid, order)
        until = time.monotonic() + patience
        while known.alive and time.monotonic() < until:
            with suppress(ChildProcessError):
                os.waitpid(known.pid, os.WNOHANG)
            time.sleep(_PAUSE)
        if order == signal.SIGTERM and not known.alive:
            return True
    return False
