"""How fast the background economy is signed, and what the chain then takes to judge it, beside the library's own calls:
as many signatures (one wallet in four is of taproot) and public keys by coincurve, nothing around them. CPU seconds of
this process.
"""

from __future__ import annotations

from collections import Counter
from time import process_time
from typing import Any

from coincurve import PrivateKey

from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.utxo_chain import UtxoChain
from glasstumbler.clock import VirtualClock
from glasstumbler.lab.background import Signing
from glasstumbler.lab.economy import Background
from glasstumbler.lab.scenario import Economy

BLOCKS = 40
SETTINGS = Economy(people=1_000, payments_a_day=60_000, withdrawal_batches_a_day=400, exchanges=4, coinjoins_a_day=200)
STAGES = ("make the arrays", "sign", "mempool", "mine")


def run() -> dict[str, Any]:
    clock = VirtualClock()
    chain = UtxoChain.open("btc", KeyRing(b"bench" * 8), clock)
    signing = Signing(chain, Background(SETTINGS, 0, 1, "btc", 600), KeyRing(b"people" * 8))
    signing.begin()
    chain.mine(1)
    signing.mined()
    spent = dict.fromkeys(STAGES, 0.0)
    counts: Counter[str] = Counter()
    for block in range(1, BLOCKS + 1):
        clock.advance(600)
        times = [process_time()]
        made = signing.economy.step(block, block * 600)
        times.append(process_time())
        signed = [signing.sign(each) for each in made]
        times.append(process_time())
        for each, raws in zip(made, signed, strict=True):
            signing.send(each, raws)
        times.append(process_time())
        chain.mine(1)
        signing.mined()
        times.append(process_time())
        counts["txs"] += sum(map(len, made))
        counts["outputs"] += sum(len(each.owner) for each in made)
        for name, begin, end in zip(STAGES, times, times[1:], strict=False):
            spent[name] += end - begin
    counts["inputs"] = signing.inputs
    chain.close()
    alone = library(signing.inputs, counts["outputs"], signing.inputs // len(chain.format.kinds))
    _show(spent, alone, counts)
    return {"seconds": spent, "coincurve alone": alone, **counts}


def library(inputs: int, outputs: int, schnorr: int) -> float:
    """Seconds of coincurve for one signature an input, so many of them Schnorr's, and one public key an output."""
    key, digest = PrivateKey(b"\1" * 32), b"\2" * 32
    began = process_time()
    for _ in range(schnorr):
        key.sign_schnorr(digest, digest)
    for _ in range(inputs - schnorr):
        key.sign(digest, None)
    for _ in range(outputs):
        PrivateKey(digest).public_key.format()
    return process_time() - began


def _show(spent: dict[str, float], alone: float, counts: Counter[str]) -> None:
    inputs, txs = counts["inputs"], counts["txs"]
    print(f"{txs:,} transactions, {inputs:,} inputs, {counts['outputs']:,} outputs in {BLOCKS} blocks")
    for name, seconds in (*spent.items(), ("coincurve alone", alone)):
        print(f"{name:16} {seconds:7.2f} s {inputs / seconds:10,.0f} inputs/s {txs / seconds:10,.0f} tx/s")
    print(f"signing takes {spent['sign'] / alone:.2f} times what its calls of coincurve take")
