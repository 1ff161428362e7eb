"""Clusters and taint on two million transactions: the local engine, Spark, and Spark with less memory than data.

The same Parquet files for all, each contender in processes of its own; what they answer is compared. Spark's spills are
read from its own event log.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TXS = int(os.environ.get("SPARK_TXS", "2000000"))
MEMORY = os.environ.get("SPARK_MEMORY", "4g,512m").split(",")
"""Of Spark's Java, by run."""
A_BLOCK, SEEDS = 2_000, 100
SPILLED = ("Memory Bytes Spilled", "Disk Bytes Spilled")


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent / "out") as scratch:
        folder = Path(scratch)
        size = _written(folder / "observer", TXS)
        print(f"  {TXS:,} transactions, {2 * TXS:,} outputs: {size / 2**20:,.0f} MB in memory as Arrow")
        found = {"local": _measured("local", folder, "")}
        _print("local", found["local"])
        for memory in MEMORY:
            name = f"local[2], {memory}"
            found[name] = _measured("spark", folder, memory)
            _print(name, found[name])
            assert found[name]["answers"] == found["local"]["answers"], "they do not agree"
    return {"transactions": TXS, "bytes": size, "runs": found}


def _print(name: str, row: dict[str, Any]) -> None:
    stages = "  ".join(f"{stage} {seconds:.1f} s" for stage, seconds in row["stages"].items())
    print(f"  {name:15} {stages}")
    print(f"  {'':15} in all {row['seconds']:.1f} s, CPU {row['cpu']:.1f} s, peak {row['peak_mb']:,.0f} MB", end="")
    spilled = row.get("spilled")
    print(
        f"; spilled {spilled[0] / 2**20:,.0f} MB, {spilled[1] / 2**20:,.0f} MB on disk" if spilled else "", flush=True
    )
    if "rounds" in row:
        print(f"  {'':15} clusters in {len(row['rounds'])} rounds; open edges {row['rounds']}", flush=True)


def _measured(side: str, folder: Path, memory: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.lab_spark", side, str(folder), memory]
    started, before = time.perf_counter(), _cpu()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    peak = _watched(process)
    seconds, said = time.perf_counter() - started, process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{side} {memory} ended with {process.returncode}")
    found: dict[str, Any] = json.loads(said)
    return {**found, "seconds": seconds, "cpu": _cpu() - before, "peak_mb": peak}


def _cpu() -> float:
    """Of all processes that have ended, and what they started."""
    usage = os.times()
    return usage.children_user + usage.children_system


def _watched(process: subprocess.Popen[bytes]) -> float:
    """Until it ends: the most memory that it and what it started held together (shared pages once a process)."""
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _held(process.pid))
        time.sleep(0.2)
    return peak / 2**20


def _held(session: int) -> int:
    found = 0
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            found += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return found


# -- the data ---------------------------------------------------------------------------------------------------------


def _written(folder: Path, txs: int) -> int:
    """The chain of bench/lab_taint.py as a dataset's observer's part. A transaction pays two addresses of one of
    txs / 16 wallets of eight; inputs are whatever coins, so in the end nearly all have signed together: one giant."""
    from bench.lab_taint import chain
    from glasstumbler.lab import schemas

    folder.mkdir(parents=True)
    graph = chain(txs)
    draw = np.random.default_rng(2)
    counts = np.diff(graph.first_input)
    spender = np.repeat(np.arange(txs), counts)
    address = np.repeat(draw.integers(0, txs // 16 + 1, txs) * 8, 2) + draw.integers(0, 8, 2 * txs)
    addresses = int(address.max()) + 1
    height = np.arange(txs) // A_BLOCK
    fee = np.bincount(spender, graph.paid_in, txs).astype(np.int64) - graph.amount.reshape(-1, 2).sum(1)
    columns: dict[str, dict[str, Any]] = {
        "block": {"height": np.unique(height), "time": np.unique(height) * 600, "txs": A_BLOCK},
        "tx": {
            **{"tx": np.arange(txs), "height": height, "place": np.arange(txs) % A_BLOCK, "coinbase": counts == 0},
            **{"inputs": counts, "outputs": 2, "bytes": 250, "fee": np.where(counts == 0, 0, fee)},
        },
        "input": {
            **{"tx": spender, "place": np.arange(len(spender)) - graph.first_input[spender]},
            **{"output": graph.spends, "amount": graph.paid_in},
        },
        "output": {
            **{"output": np.arange(2 * txs), "tx": np.arange(2 * txs) // 2, "vout": np.arange(2 * txs) % 2},
            **{"address": address, "amount": graph.amount},
        },
        "address": {"address": np.arange(addresses), "received": 0},
        "public_tag": {"address": np.zeros(0, np.int64)},
    }
    return sum(_table(schemas.OBSERVER[name], found, folder / f"{name}.parquet") for name, found in columns.items())


def _table(schema: pa.Schema, columns: dict[str, Any], path: Path) -> int:
    rows = max(len(column) for column in columns.values() if isinstance(column, np.ndarray))
    table = pa.table([_column(field, columns, rows) for field in schema], schema=schema)
    pq.write_table(table, path, compression="zstd")
    return int(table.nbytes)


def _column(field: pa.Field, columns: dict[str, Any], rows: int) -> pa.Array:
    if field.name in columns:
        values = np.broadcast_to(columns[field.name], rows)
        return pa.array(values).cast(field.type) if pa.types.is_decimal(field.type) else pa.array(values, field.type)
    if field.name == "coin":
        return pa.repeat("btc", rows)
    if pa.types.is_string(field.type):  # as long as a hash
        return pa.array(np.char.zfill(np.arange(rows).astype(str), 64)) if rows else pa.array([], field.type)
    if field.nullable:
        return pa.nulls(rows, field.type)
    return pa.array(np.zeros(rows, np.int64)).cast(field.type)


# -- the contenders, each in a process of its own ---------------------------------------------------------------------


class Watch:
    def __init__(self) -> None:
        self.stages: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.stages[stage] = time.perf_counter() - started


def _seeds(outputs: int) -> list[tuple[str, int]]:
    return [("btc", int(output)) for output in np.linspace(0, outputs // 10, SEEDS)]


def _local(folder: Path, memory: str) -> dict[str, Any]:
    from glasstumbler.lab.methods.cospend import cospend_clusters
    from glasstumbler.lab.methods.taint import haircut, poison
    from glasstumbler.lab.public import Public

    watch, answers = Watch(), []
    with watch("read"):
        graph = Public(folder / "observer").graph("btc")
        _ = graph.input_address
    with watch("cospend"):
        clusters = cospend_clusters(graph).astype(np.int64)
    answers.append(int((clusters * np.arange(len(clusters)) % 1_000_003).sum()))
    seeds = np.array([output for _, output in _seeds(graph.outputs)])
    rules: dict[str, Callable[..., Any]] = {"poison": poison, "haircut": haircut}
    for name, rule in rules.items():
        with watch(name):
            parts = rule(graph, seeds)
        answers += [int((parts > 0).sum()), int(np.floor(parts * 2**40).astype(np.int64).sum())]
    return {"stages": watch.stages, "answers": answers}


def _spark(folder: Path, memory: str) -> dict[str, Any]:
    from pyspark.sql import functions as fn

    from glasstumbler.lab import schemas
    from glasstumbler.lab.spark.chains import chains, table
    from glasstumbler.lab.spark.cospend import cospend
    from glasstumbler.lab.spark.session import spark
    from glasstumbler.lab.spark.taint import taint, waves

    watch, answers, log = Watch(), [], folder / "events"
    log.mkdir()
    settings = {"spark.driver.memory": memory, "spark.eventLog.enabled": "true", "spark.eventLog.dir": str(log)}
    with spark("local[2]", {**settings, "spark.eventLog.compress": "false"}) as session:
        with watch("read"):
            chain = chains(session, folder / "observer")
        with watch("cospend"):
            found, stars = cospend(session, chain, table(session, folder / "observer", "address", schemas.ADDRESS))
            answers.append(found.agg(fn.sum(fn.expr("cluster * address % 1000003"))).collect()[0][0])
        with watch("waves"):
            cut = waves(session, chain)
        seeds = _seeds(2 * TXS)
        for name in ("poison", "haircut"):
            with watch(name):
                parts = taint(session, chain, cut, [seeds], f"taint-{name}")
                whole = fn.sum(fn.floor(fn.col("tainted") * 2**40))
                answers += list(parts.agg(fn.count("*"), whole).collect()[0])
    return {"stages": watch.stages, "answers": answers, "rounds": stars.open, "spilled": _spills(log)}


def _spills(log: Path) -> list[int]:
    """Bytes, in memory and on disk, of all tasks."""
    found = [0, 0]
    for path in filter(Path.is_file, log.rglob("*")):
        for line in path.read_text().splitlines():
            metrics = json.loads(line).get("Task Metrics") if '"SparkListenerTaskEnd"' in line else None
            if metrics:
                found = [have + metrics[name] for have, name in zip(found, SPILLED, strict=True)]
    for path in sorted(log.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    log.rmdir()
    return found


if __name__ == "__main__":
    side, place, memory = sys.argv[1:]
    print(json.dumps({"local": _local, "spark": _spark}[side](Path(place), memory)))
