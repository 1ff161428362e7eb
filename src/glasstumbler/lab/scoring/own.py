"""A user's own method: where it is, and what it may read. It is never imported here, only behind the wall."""

from __future__ import annotations

import site
import sys
import sysconfig
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final, NamedTuple

import glasstumbler
from glasstumbler.errors import MethodError
from glasstumbler.lab.scoring import wall

_SYSTEM: Final = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime"),
    *("/dev/urandom", "/dev/zero", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"),
)
"""Shared libraries, and what they ask of the machine."""


class Own(NamedTuple):
    said: str
    """As the user named it."""
    module: str
    name: str
    """Of the class."""
    file: Path | None
    """None: an installed module."""
    folder: Path | None
    """Where its imports are looked for beside installed ones."""


def is_own(text: str) -> bool:
    """Names of the registry have no colon."""
    return ":" in text


def locate(text: str) -> Own:
    """`module:Class`, looked for in the working folder and then among what is installed, or `path/to/file.py:Class`.
    MethodError if nothing is there."""
    where, _, name = text.rpartition(":")
    if not where or not name.isidentifier():
        raise MethodError(f"{text!r} names no class: write my_module:MyMethod or path/to/file.py:MyMethod")
    if where.endswith(".py") or "/" in where:
        file = Path(where).resolve()
        if not file.is_file():
            raise MethodError(f"{text}: there is no file {where}")
        return Own(text, file.stem, name, file, file.parent)
    top = where.partition(".")[0]
    found = PathFinder.find_spec(top, [str(Path.cwd())])
    if found is not None and found.origin is not None and top.isidentifier():
        file = Path(found.origin).resolve()
        return Own(text, where, name, None if found.submodule_search_locations else file, Path.cwd())
    if top.isidentifier() and PathFinder.find_spec(top, _installed()) is not None:
        return Own(text, where, name, None, None)
    raise MethodError(f"{text}: no module is called {top!r}, neither in this folder nor among what is installed")


def job(own: Own, readable: list[str]) -> dict[str, Any]:
    """For worker.load."""
    folders = [str(own.folder)] if own.folder is not None and str(own.folder) in readable else []
    return {
        "module": own.module,
        "class": own.name,
        "file": None if own.file is None else str(own.file),
        "folders": folders,
    }


def walled(own: Own, dataset: Path) -> dict[str, list[str]]:
    """What the method may read and write, beside the observer's part and its scratch folder: for Worker. MethodError
    if no wall can be built on this machine, or the answer key would lie within."""
    why = wall.lacking()
    if why:
        raise MethodError(f"{own.said}: a method of one's own runs only where it cannot open the answer key; {why}")
    key, observer = (dataset / "answers").resolve(), (dataset / "observer").resolve()
    reading = [*_installed(), str(Path(glasstumbler.__file__).parent), *_SYSTEM]
    if own.folder is not None:
        folder = own.folder.resolve()
        alone = own.file is not None and (_holds(folder, key) or _holds(folder, dataset.resolve()))
        reading.append(str(own.file if alone else folder))
    for path in (*reading, str(observer)):
        if _holds(Path(path).resolve(), key):
            raise MethodError(f"{own.said}: it must read {path}, and the answer key lies in it: move the dataset")
    return {"reading": reading, "writing": ["/dev/null"]}


def _holds(folder: Path, inner: Path) -> bool:
    return inner == folder or folder in inner.parents


def _installed() -> list[str]:
    """Python's own modules and those that are installed beside it."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    found = [path for part in (None, base) for path in (sysconfig.get_path(name, vars=part) for name in names)]
    return list(dict.fromkeys([*found, *site.getsitepackages()]))
