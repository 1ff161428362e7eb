"""The process in which methods run: it maps the observer's part into its memory, then lives through one job after
another, each in a fork of its own, so that a method that dies takes nothing along.

Started by crew.py with a JSON object: `observer` (folder), `laid` (folder of its graphs), `wall` (null, or the paths
`reading` and `writing`). On standard input a job a line, on standard output a reply a line. What a job's method prints
goes nowhere.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glasstumbler.lab.scoring import wall

if TYPE_CHECKING:
    from glasstumbler.lab.methods.base import Method
    from glasstumbler.lab.public import Public

_LONGEST = 300
"""Characters of what is said of an error."""


def main(text: str) -> None:
    config = json.loads(text)
    if config["wall"] is not None:
        try:
            wall.build(config["wall"]["reading"], config["wall"]["writing"])
        except OSError as error:
            _reply({"what": f"the wall cannot be built: {error}"})
            return
    from glasstumbler.errors import GlassTumblerError  # only now: what follows starts threads

    try:
        public = _loaded(config["observer"], config["laid"])
        if config["wall"] is None:
            importlib.import_module("glasstumbler.lab.methods.registry")  # once, and not in each fork
    except GlassTumblerError as error:
        _reply({"what": str(error)})
        return
    _reply({"ready": True})
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _child(job, public)
        _, status = os.waitpid(pid, 0)
        _reply({"status": os.waitstatus_to_exitcode(status)})


def _reply(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


def _loaded(folder: str, laid: str) -> Public:
    from glasstumbler.lab.public import Public

    public = Public(Path(folder), Path(laid))
    for coin in public.coins:
        public.graph(coin)
    return public


# -- one job, in its fork ---------------------------------------------------------------------------------------------


def _child(job: dict[str, Any], public: Public) -> None:
    """Never returns. What it has to say is in the file `status`."""
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        if job["memory"]:
            resource.setrlimit(resource.RLIMIT_DATA, (job["memory"], job["memory"]))
        said = _described(job) if job["describe"] else _answered(job, public)
    except MemoryError:
        said = {"memory": True}
    except BaseException as error:
        said = {"what": line_of(error)}
    try:
        Path(job["status"]).write_text(json.dumps(said), encoding="utf-8")
    finally:
        os._exit(0)


def _described(job: dict[str, Any]) -> dict[str, Any]:
    method = load(job["method"])
    about = getattr(method, "about", None)
    texts = {
        name: str(getattr(about, name, ""))[:2000]
        for name in ("paper", "rule", "knows", "cost", "fails", "rebuilt", "elsewhere")
    }
    return {
        "name": str(getattr(method, "name", "")),
        "task": str(getattr(method, "task", "")),
        "calibrated": bool(getattr(method, "calibrated", False)),
        "about": texts,
    }


def _answered(job: dict[str, Any], public: Public) -> dict[str, Any]:
    import pyarrow as pa

    from glasstumbler.errors import MethodError
    from glasstumbler.lab.scoring import handing

    kind, seconds = load(job["method"]), 0.0
    for folder, answer in zip(job["told"], job["answers"], strict=True):
        told, method = handing.read_told(Path(folder)), kind()
        started = time.perf_counter()
        method.fit(public, told)
        table = method.predict(public)
        seconds += time.perf_counter() - started
        if not isinstance(table, pa.Table):
            raise MethodError(f"predict gave a {type(table).__name__}, and not a pyarrow.Table")
        handing.write_answer(table, Path(answer))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "peak_mb": peak / 1024 / (1 if sys.platform != "darwin" else 1024)}


def load(method: dict[str, Any]) -> type[Method]:
    """`method`: a name of the registry, or a class of a module, which is found in a folder or is the one `file`."""
    if "name" in method:
        from glasstumbler.lab.methods.registry import METHODS

        return METHODS[method["name"]]
    sys.path[:0] = method["folders"]
    if method["file"]:
        spec = importlib.util.spec_from_file_location(method["module"], method["file"])
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[method["module"]] = module
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(method["module"])
    found: type[Method] = getattr(module, method["class"])
    return found


def line_of(error: BaseException) -> str:
    """What went wrong, and the line of it, on one line."""
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    name = "" if type(error).__module__ == "glasstumbler.errors" else type(error).__name__
    return f"{name}{': ' if name and text else ''}{text[:_LONGEST]}{where if name else ''}"
