"""A wall around this process: it reads and writes what is listed and nothing else, runs no program, and has no network.

Linux's Landlock, by its three system calls; numbers and layouts are those of the kernel's documentation
(userspace-api/landlock) and of linux/landlock.h. It holds for this thread and all that it starts, for good. A path that
leads elsewhere (symbolic links, /proc, ..) is judged by where it leads. Nothing that starts threads may be imported
before. Where user namespaces are allowed the process also loses its capabilities and every network interface; else
TCP alone is forbidden.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_NO_NEW_PRIVILEGES: Final = 38
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_EVERYTHING: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""By version: how many kinds of access to files there are; versions after 5 have the 16 of 5."""
_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE, _DEVICE = (1 << bit for bit in (0, 1, 2, 3, 14, 15))
_REMOVE, _MAKE_FOLDER, _MAKE_FILE = 1 << 4 | 1 << 5, 1 << 7, 1 << 8
_OF_FILES: Final = _EXECUTE | _WRITE | _READ | _TRUNCATE | _DEVICE
_READING: Final = _READ | _LIST
_WRITING: Final = _READING | _WRITE | _REMOVE | _MAKE_FOLDER | _MAKE_FILE | _TRUNCATE
"""No links, pipes or sockets."""
LEAST: Final = 4
"""Version that forbids whatever could reach an answer key: files by 3 (Linux 6.2), TCP by 4 (Linux 6.7)."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def lacking() -> str:
    """Why no wall can be built here; empty: it can."""
    if not sys.platform.startswith("linux"):
        return f"it takes Linux, and this is {sys.platform}"
    version = _libc().syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    if version < LEAST:
        has = f"has version {version}" if version > 0 else "does not have it, or not switched on"
        return f"it takes Landlock of version {LEAST} (Linux 6.7), and this kernel {has}"
    return ""


def build(reading: Iterable[str], writing: Iterable[str]) -> None:
    """Folders with all below them, or files; what does not exist is left out. OSError if the kernel refuses."""
    libc = _libc()
    version = libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    if version < LEAST:
        raise OSError("no Landlock that suffices")
    libc.unshare(_NEW_USER | _NEW_NET)  # where it is not allowed, TCP is forbidden all the same
    every = (1 << _EVERYTHING[min(version, 5)]) - 1
    rules = _Ruleset(every, 0b11, 0b11 if version >= 6 else 0)
    size = 24 if version >= 6 else 16
    ruleset = _called(libc.syscall(_CREATE, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0)))
    for allowed, paths in ((_READING, reading), (_WRITING, writing)):
        for path in paths:
            _allow(libc, ruleset, path, allowed & every)
    _called(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _called(libc.syscall(_RESTRICT, ruleset, ctypes.c_uint32(0)))
    os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, allowed: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = _Beneath(allowed if Path(path).is_dir() else allowed & _OF_FILES, place)
        _called(libc.syscall(_ADD, ruleset, _PATH_BENEATH, ctypes.byref(rule), ctypes.c_uint32(0)))
    finally:
        os.close(place)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _called(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
