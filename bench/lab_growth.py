"""How the lab grows with the orders: `python -m bench lab_growth [ORDERS or DATASET ...] [STAGE ...]`.

Datasets of one scenario (a hundred thousand orders a day, so that more orders are more days), made without signatures
or at hand. For each stage processor time (its own and that of what it starts), seconds by the clock, the memory of its
largest process, and the exponent of the power law through the last two sizes, by processor time: 1 is linear, n log n
between the largest here 1.08. `link`, `cluster` and `taint` are measured without Python's start and the reading. What
is compiled at the first use stays, so the first size of a first run has that in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from bench import machine
from bench.apart import exponent

ORDERS: Final = (10_000, 100_000, 1_000_000)
SCENARIO: Final = "million"
TASKS: Final = ("T1", "T2", "T3", "T4", "T5", "T7", "T8")
"""Without T6: the scenario swaps nothing."""
FORMS: Final = ("elliptic", "amlworld", "tagpack")
_MB: Final = 1024
N_LOG_N: Final = 1.1


class Cost(NamedTuple):
    cpu: float
    seconds: float
    peak_mb: float


def run(arguments: list[str] | None = None) -> dict[str, Any]:
    said = arguments or []
    wanted = [one for one in said if one in STAGES] or list(STAGES)
    found: dict[str, list[Cost]] = {stage: [] for stage in wanted}
    sizes = []
    with TemporaryDirectory(dir=machine.disk()) as scratch:
        for number, one in enumerate([one for one in said if one not in STAGES] or map(str, ORDERS)):
            place = Path(scratch) / str(number)
            data = _dataset(one, place)
            sizes.append(int(json.loads((data / "manifest.json").read_bytes())["orders"]))
            for stage in wanted:
                found[stage].append(STAGES[stage](data, place))
                print(f"  {sizes[-1]:>9,} orders  {stage:16} {_told(found[stage][-1])}", flush=True)
    _show(sizes, found)
    return {"orders": sizes, "stages": {stage: [cost._asdict() for cost in costs] for stage, costs in found.items()}}


def _dataset(said: str, place: Path) -> Path:
    place.mkdir()
    if not said.isdigit():
        return Path(said)
    options = ["--orders", said, "--seed", "1", "--mode", "fast", "--processes", "2", "--out", str(place / "data")]
    print(f"  {int(said):>9,} orders  simulate         {_told(_timed('glasstumbler', 'simulate', SCENARIO, *options))}")
    return place / "data"


def _timed(module: str, *command: str) -> Cost:
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", module, *command], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{module} {' '.join(command)} ended with {process.returncode}")
    return Cost(used.ru_utime + used.ru_stime, time.perf_counter() - began, used.ru_maxrss / _MB)


# -- stages -----------------------------------------------------------------------------------------------------------

Stage = Callable[[Path, Path], Cost]


def _export(form: str) -> Stage:
    return lambda data, place: _timed("glasstumbler", "export", str(data), "--as", form, "--out", str(place / form))


def _score(task: str) -> Stage:
    def stage(data: Path, place: Path) -> Cost:
        return _timed("glasstumbler", "score", str(data), "--task", task, "--out", str(place / task))

    return stage


def _report(data: Path, place: Path) -> Cost:
    """Of the scores of T7, the quickest to have; the traced order is among T2's methods, so there is none."""
    scores, page = place / "T7" / "results.json", place / "report.html"
    if not scores.exists():
        _score("T7")(data, place)
    return _timed("glasstumbler", "report", str(data), "--scores", str(scores), "--out", str(page))


def _inner(what: str) -> Stage:
    def stage(data: Path, place: Path) -> Cost:
        command = [sys.executable, "-m", "bench.lab_growth", what, str(data)]
        return Cost(**json.loads(subprocess.run(command, check=True, capture_output=True).stdout))

    return stage


STAGES: Final[Mapping[str, Stage]] = {
    **{name: _inner(name) for name in ("link", "cluster", "taint")},
    **{f"export-{form}": _export(form) for form in FORMS},
    **{f"score-{task}": _score(task) for task in TASKS},
    "report": _report,
}


def _told(cost: Cost) -> str:
    return f"{cost.cpu:.1f} s CPU, {cost.seconds:.1f} s, {cost.peak_mb:,.0f} MB"


def _show(sizes: list[int], found: dict[str, list[Cost]]) -> None:
    print(f"{'':18}" + "".join(f"{f'{orders:,} orders':>34}" for orders in sizes) + f"{'exponent':>10}")
    for stage, costs in found.items():
        slope = exponent(sizes[-2:], [cost.cpu for cost in costs][-2:]) if len(costs) > 1 else 0.0
        worse = "  worse than n log n" if slope > N_LOG_N else ""
        print(f"{stage:18}" + "".join(f"{_told(cost):>34}" for cost in costs) + f"{slope:10.2f}{worse}")


# -- one step, in a process of its own --------------------------------------------------------------------------------


def _link(data: Path) -> Iterator[None]:
    """T2's demixing: what is known of the services, then every deposit's likeliest payments."""
    from glasstumbler.lab import tasks
    from glasstumbler.lab.methods.demixing import Demixing
    from glasstumbler.lab.tasks import Dataset

    dataset = Dataset(data)
    told = tasks.told(dataset, "T2", tasks.by_period(dataset))
    _ = [dataset.public.graph(coin).input_address for coin in dataset.public.coins]
    method = Demixing()
    yield
    method.fit(dataset.public, told)
    method.predict(dataset.public)


def _cluster(data: Path) -> Iterator[None]:
    from glasstumbler.lab.methods.cospend import cospend_clusters
    from glasstumbler.lab.public import Public

    graph = Public(data / "observer").graph("btc")
    _ = graph.input_address
    yield
    cospend_clusters(graph)


def _taint(data: Path) -> Iterator[None]:
    """Haircut from a hundred seeds."""
    import numpy as np

    from glasstumbler.lab.methods.taint import haircut
    from glasstumbler.lab.public import Public

    graph = Public(data / "observer").graph("btc")
    yield
    haircut(graph, np.linspace(0, graph.outputs // 10, 100).astype(np.int64))


_INNER: Final = {"link": _link, "cluster": _cluster, "taint": _taint}


def _measured(what: str, data: Path) -> Cost:
    import resource

    step = _INNER[what](data)
    next(step)
    began, cpu = time.perf_counter(), time.process_time()
    list(step)
    used = (time.process_time() - cpu, time.perf_counter() - began)
    return Cost(*used, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MB)


if __name__ == "__main__":
    print(json.dumps(_measured(sys.argv[1], Path(sys.argv[2]))._asdict()))
