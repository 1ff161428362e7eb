"""What the explorer's cache must say, told the slow way: the whole active chain walked anew."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Any

import networkx as nx

from glasstumbler.chains.base import Chain, Outpoint
from glasstumbler.explorer.file import CacheFile
from glasstumbler.explorer.look import Look


def walked(chain: Chain) -> dict[str, Any]:
    """Addresses by key: (txids newest first, came, went); spenders by outpoint; clusters as sets of keys."""
    accounts = chain.format.one_to_one
    blocks = [chain.block(chain.block_hash(height) or "") for height in range(chain.tip()[0] + 1)]
    txs = [tx for block in blocks for tx in block.txs]
    outputs = {Outpoint(tx.txid, vout): output for tx in txs for vout, output in enumerate(tx.outputs)}
    moves: dict[bytes, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    spenders: dict[Outpoint, str] = {}
    together: Any = nx.Graph()
    for tx in txs:
        for output in tx.outputs:
            if len(output.key) <= 80:
                moves[output.key][tx.txid][0] += output.amount
        spent = []
        for source in tx.inputs:
            if accounts:
                moves[bytes.fromhex(source.txid[2:])][tx.txid][1] += sum(output.amount for output in tx.outputs)
            elif source in outputs:
                spenders[source] = tx.txid
                spent.append(outputs[source])
        for output in spent:
            moves[output.key][tx.txid][1] += output.amount
        together.add_edges_from((a.key, b.key) for a, b in pairwise(spent) if a.key != b.key)
    addresses = {
        key: ([*mine][::-1], sum(came for came, _ in mine.values()), sum(went for _, went in mine.values()))
        for key, mine in moves.items()
    }
    return {
        "blocks": [(block.height, block.hash, block.time, len(block.txs)) for block in reversed(blocks)],
        "addresses": addresses,
        "spenders": spenders,
        "clusters": {frozenset(each) for each in nx.connected_components(together)},
    }


def told(file: CacheFile, chain: Chain) -> dict[str, Any]:
    """The same from the cache, through the questions that pages ask."""
    with file.reading() as db:
        look = Look(db, chain.coin)
        keys = [key for (key,) in db.execute("SELECT key FROM address JOIN chain ON chain.n = chain WHERE coin = ?",
                                             (chain.coin,))]  # fmt: skip
        addresses, clusters = {}, set()
        for key in keys:
            found = look.address(key)
            if found is None:
                continue
            moves = look.moves(found.n, limit=10**6)
            assert found.txs == len(moves)
            addresses[key] = ([move.txid for move in moves], found.came, found.went)
            cluster = look.cluster(found.n)
            if cluster is not None:
                members = look.members(cluster.n, limit=10**6)
                assert cluster.members == len(members) == sum(cluster.owners.values())
                clusters.add(frozenset(each.key for each in members))
        spenders = {}
        for height in range(chain.tip()[0] + 1):
            for tx in chain.block(chain.block_hash(height) or "").txs:
                for vout, output in look.outputs(tx.txid, 0, 10**6).items():
                    assert output.amount == tx.outputs[vout].amount
                    if output.by is not None:
                        spenders[Outpoint(tx.txid, vout)] = output.by[0]
        blocks = [row[:4] for row in look.blocks(10**9, 10**9)]
        return {"blocks": blocks, "addresses": addresses, "spenders": spenders, "clusters": clusters}
