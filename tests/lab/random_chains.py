"""Chains drawn by chance: every transaction spends some of what is unspent and splits it anew."""

from __future__ import annotations

import numpy as np

from tests.lab.small_chains import Tx


def drawn(seed: int, txs: int, most: int = 4, worth: int = 60, addresses: int = 12) -> list[Tx]:
    """`most` inputs and outputs, coins of at most `worth` to begin with; a small fee now and then."""
    draw = np.random.default_rng(seed)
    made: list[Tx] = []
    unspent: list[tuple[int, int]] = []

    def address() -> str:
        return f"a{draw.integers(addresses)}"

    for number in range(txs):
        spends: list[tuple[int, int]] = []
        if len(unspent) > 2 and draw.random() < 0.8:
            chosen = draw.permutation(len(unspent))[: draw.integers(1, most + 1)]
            spends = [unspent[place] for place in chosen]
            unspent = [coin for coin in unspent if coin not in spends]
        total = sum(made[tx].pays[vout][1] for tx, vout in spends) if spends else int(draw.integers(1, worth))
        total -= min(int(draw.integers(0, 3)), total - 1) if spends else 0
        cuts = np.sort(draw.integers(0, total + 1, draw.integers(0, most)))
        amounts = np.diff([0, *cuts, total]).tolist()
        made.append(Tx(spends, [(address(), amount) for amount in amounts]))
        unspent += [(number, vout) for vout, amount in enumerate(amounts) if amount]
    return made
