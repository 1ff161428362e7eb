"""Methods that misbehave, each in its own way; tests run copies of this file behind the wall."""

# ruff: noqa: PTH104, PTH123, PTH208, PTH211, SIM115

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from glasstumbler.lab.methods.base import ANSWERS

WHERE = Path(__file__).with_name("where.txt")
"""Beside a copy of this file: the dataset's folder. A method is not told."""


class _Quiet:
    name, task, calibrated = "quiet", "T2", False

    def fit(self, public, told):
        self.told = told

    def predict(self, public):
        return ANSWERS[self.task].empty_table()


class Good(_Quiet):
    """Links every deposit of the known orders' services to the payment that comes next."""

    name = "good"

    def predict(self, public):
        print("prints are thrown away")
        graph, (cluster, *_) = public.graph("btc"), [one for one in self.told.clusters if len(one.addresses)]
        mine = np.isin(graph.address, cluster.addresses)
        deposits = np.flatnonzero(mine)
        payouts = np.minimum(deposits + 1, graph.outputs - 1)
        columns = [["btc"] * len(deposits), deposits, ["btc"] * len(deposits), payouts, np.ones(len(deposits))]
        return pa.table(dict(zip(ANSWERS["T2"].names, columns, strict=True)))


class Crash(_Quiet):
    def predict(self, public):
        raise ZeroDivisionError("a\nb")


class Dies(_Quiet):
    def predict(self, public):
        ctypes.string_at(0)


class Leaves(_Quiet):
    def predict(self, public):
        os._exit(7)


class Hangs(_Quiet):
    def predict(self, public):
        time.sleep(1000)


class Eats(_Quiet):
    def predict(self, public):
        kept = []
        while True:
            kept.append(np.ones(1 << 22))


class Shares(_Quiet):
    """Memory that no limit of a process counts."""

    def predict(self, public):
        import mmap

        kept = []
        while True:
            kept.append(mmap.mmap(-1, 1 << 26))
            kept[-1].write(b"x" * (1 << 26))


class Dictionary(_Quiet):
    def predict(self, public):
        return {}


class Columns(_Quiet):
    def predict(self, public):
        return pa.table({"deposit": [1]})


class _Row(_Quiet):
    row = ("btc", 0, "btc", 1, 0.5)
    times = 1

    def predict(self, public):
        return pa.table({name: [value] * self.times for name, value in zip(ANSWERS["T2"].names, self.row, strict=True)})


class NotThere(_Row):
    row = ("btc", 0, "btc", 10**12, 0.5)


class NotACoin(_Row):
    row = ("doge", 0, "btc", 1, 0.5)


class NotANumber(_Row):
    row = ("btc", 0, "btc", 1, float("nan"))


class Twice(_Row):
    times = 2


class Words(_Row):
    row = ("btc", "zero", "btc", 1, 0.5)


class Sure(_Row):
    calibrated, row = True, ("btc", 0, "btc", 1, 7.0)


class Spy(_Quiet):
    """Tries whatever might lead to the answer key, and says what it got hold of."""

    def predict(self, public):
        dataset = Path(WHERE.read_text())
        key = dataset / "answers" / "link.parquet"
        here = Path.cwd()
        tries = {
            "the key": lambda: key.read_bytes(),
            "the manifest": lambda: (dataset / "manifest.json").read_bytes(),
            "its folder's list": lambda: os.listdir(dataset / "answers"),
            "the dataset's list": lambda: os.listdir(dataset),
            "the way around": lambda: (dataset / "observer" / ".." / "answers" / "link.parquet").read_bytes(),
            "a symbolic link": lambda: (os.symlink(key, here / "link"), (here / "link").read_bytes()),
            "a link that stands": lambda: (WHERE.parent / "shortcut" / "link.parquet").read_bytes(),
            "a hard link": lambda: os.link(key, here / "hard"),
            "its own root": lambda: Path(f"/proc/self/root{key}").read_bytes(),
            "its own list of files": lambda: os.listdir("/proc/self/fd"),
            "the scorer's files": lambda: os.listdir(f"/proc/{_scorer()}/fd"),
            "the scorer's memory": lambda: open(f"/proc/{_scorer()}/mem", "rb"),
            "the scorer's memory by call": lambda: _peek(_scorer()),
            "a program": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
            "writing beside it": lambda: (dataset / "observer" / "new").write_text(""),
            "TCP": lambda: socket.create_connection(("127.0.0.1", int(WHERE.with_name("port.txt").read_text()))),
            "a device": lambda: os.mknod(here / "disk", 0o60600, os.makedev(254, 0)),
            "a new root": lambda: (os.chroot("/"), key.read_bytes()),
            "an open file of the worker": _descriptors,
            "a cut": lambda: os.truncate(key, 0),
            "a move": lambda: os.rename(key, here / "moved"),
            "a mount": lambda: _mount(dataset / "answers", here),
        }
        got = []
        for what, attempt in tries.items():
            try:
                attempt()
            except (OSError, ValueError):
                continue
            got.append(what)
        (here / "written").write_text("this it may")
        sys.path.clear()
        raise PermissionError(f"got {', '.join(got) or 'nothing'}")


def _scorer() -> int:
    """The parent's parent is not to be seen from here, so its number was written down."""
    return int(WHERE.with_name("pid.txt").read_text())


def _peek(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(0x4206, pid, None, None) < 0:
        raise OSError(ctypes.get_errno(), "ptrace seize")


def _mount(source, target):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(bytes(source), bytes(target), None, 4096, None) < 0:
        raise OSError(ctypes.get_errno(), "mount")
    libc.umount2(bytes(target), 2)


def _descriptors():
    """Any that is open and leads to a folder or to the dataset."""
    for number in range(3, 256):
        try:
            os.listdir(number)
        except OSError:
            continue
        return
    raise OSError("none")
