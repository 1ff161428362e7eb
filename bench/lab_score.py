"""Scoring ten million candidate links of half a million orders, beside Polars on the same rows: ranks with ties shared,
hits, reciprocal ranks, links that are right. Each side has a process of its own, and its peak memory is that process's.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

PAIRS = int(os.environ.get("SCORE_PAIRS", "10000000"))
EACH = 20
ROUNDS = 3
GOAL_SECONDS = 0.5
SIDES = (("numba", PAIRS), ("numba", PAIRS // 10), ("numba", PAIRS // 100), ("polars", PAIRS))


def run() -> dict[str, Any]:
    rounds = [_measured(side, pairs) for side, pairs in SIDES]
    for each in rounds:
        print(
            f"  {each['side']:7} {each['pairs']:>11,} links  {each['seconds']:7.3f} s  hit@1 {each['hit']:.4f}"
            f"  MRR {each['mrr']:.4f}  peak {each['memory_mb']:,.0f} MB"
        )
    whole, part, _, polars = rounds
    if abs(whole["hit"] - polars["hit"]) > 1e-9 or abs(whole["mrr"] - polars["mrr"]) > 1e-9:
        raise SystemExit("the two sides disagree")
    print(f"  goal {GOAL_SECONDS} s; Polars takes {polars['seconds'] / whole['seconds']:.1f} times as long")
    print(f"  growth: exponent {np.log10(whole['seconds'] / part['seconds']):.2f} from a tenth to the whole")
    return {"rounds": rounds}


def _measured(side: str, pairs: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.lab_score", side, str(pairs)]
    done = subprocess.run(command, capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _links(pairs: int) -> tuple[Any, Any, Any, Any]:
    """Deposit, payout and score of each link, deposit by deposit as methods give them, the deposits in random order;
    and the true payout of each deposit, which two thirds of the orders have among their candidates."""
    draw = np.random.default_rng(1)
    orders = pairs // EACH
    true = draw.permutation(orders)
    deposit = np.repeat(draw.permutation(orders), EACH)
    payout = (true[deposit] + np.tile(np.arange(EACH), orders) * 7 + draw.integers(0, 3, orders)[deposit] // 2) % orders
    return deposit, payout, np.round(draw.random(pairs), 2), true


def _numba(pairs: int) -> dict[str, Any]:
    from glasstumbler.lab.scoring import linking
    from glasstumbler.lab.scoring.linking import Key, Named

    def key(true: Any) -> Key:
        orders = len(true)
        first, one = np.arange(orders + 1), np.ones(orders)
        return Key(np.arange(orders), first, true, one, np.zeros(orders, np.bool_), one * orders)

    small = _links(EACH * 10)
    linking.judge(Named(*small[:3]), key(small[3]), False)  # compiles
    deposit, payout, score, true = _links(pairs)
    named, wanted, took = Named(deposit, payout, score), key(true), []
    for _ in range(ROUNDS):
        started = time.process_time()
        sums = linking.judge(named, wanted, False).parts.sum(0)
        took.append(time.process_time() - started)
    return {
        "seconds": min(took),
        "hit": float(linking.RANKS["hit@1"](sums)),
        "mrr": float(linking.RANKS["MRR"](sums)),
    }


def _polars(pairs: int) -> dict[str, Any]:
    """One payout an order: of the candidates above it and level with it, expected hit and reciprocal rank."""
    import polars as pl

    deposit, payout, score, true = _links(pairs)
    links = pl.DataFrame({"order": deposit, "payout": payout, "score": score})
    key = pl.DataFrame({"order": np.arange(len(true)), "true": true})
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, EACH + 1))])
    took = []
    for _ in range(ROUNDS):
        started = time.process_time()
        best = links.join(key, on="order").filter(pl.col("payout") == pl.col("true")).select("order", best="score")
        ranked = (
            links.join(best, on="order")
            .group_by("order")
            .agg(above=(pl.col("score") > pl.col("best")).sum(), level=(pl.col("score") == pl.col("best")).sum())
        )
        above, level = ranked["above"].to_numpy().astype(np.int64), ranked["level"].to_numpy().astype(np.int64)
        hit = np.where(above == 0, 1 / level, 0.0).sum() / len(true)
        mrr = ((harmonic[above + level] - harmonic[above]) / level).sum() / len(true)
        took.append(time.process_time() - started)
    return {"seconds": min(took), "hit": float(hit), "mrr": float(mrr)}


if __name__ == "__main__":
    side, pairs = sys.argv[1], int(sys.argv[2])
    measured = {"numba": _numba, "polars": _polars}[side](pairs)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"side": side, "pairs": pairs, **measured, "memory_mb": memory}))
