"""How fast the background economy is signed, and what the chain then takes to judge it. CPU seconds of this process.

python bench/signed_economy.py [BLOCKS]
"""

from __future__ import annotations

import sys
from time import process_time

from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.utxo_chain import UtxoChain
from glasstumbler.clock import VirtualClock
from glasstumbler.lab.background import Signing
from glasstumbler.lab.economy import Background
from glasstumbler.lab.scenario import Economy

SETTINGS = Economy(people=1_000, payments_a_day=60_000, withdrawal_batches_a_day=400, exchanges=4, coinjoins_a_day=200)


def main(blocks: int) -> None:
    clock = VirtualClock()
    chain = UtxoChain.open("btc", KeyRing(b"bench" * 8), clock)
    signing = Signing(chain, Background(SETTINGS, 0, 1, "btc", 600), KeyRing(b"people" * 8))
    signing.begin()
    chain.mine(1)
    signing.mined()
    spent = dict.fromkeys(("make the arrays", "sign", "mempool", "mine"), 0.0)
    txs = 0
    for block in range(1, blocks + 1):
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
        txs += sum(map(len, made))
        for name, begin, end in zip(spent, times, times[1:], strict=False):
            spent[name] += end - begin
    print(f"{txs:,} transactions, {signing.inputs:,} inputs in {blocks} blocks")
    for name, seconds in spent.items():
        print(f"{name:16} {seconds:7.2f} s {signing.inputs / seconds:10,.0f} inputs/s {txs / seconds:10,.0f} tx/s")
    chain.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
