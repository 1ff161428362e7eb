"""Our in-process chain and a real node, given the same transactions and blocks: do they say the same?

    python -m tests.nodes.differ --judge litecoind --count 10000 --seed 1

Prints how many of each family were taken and refused by both, and every difference with both reasons. Ends with 1 if
there is a difference that `EXPECTED` does not name.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from contextlib import suppress
from random import Random
from typing import NamedTuple

from glasstumbler.chains import blocks, miner
from glasstumbler.chains.base import Outpoint, Output, Spend
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.networks import BITS, NETWORKS, subsidy
from glasstumbler.chains.tx import parse, serialise, to_tx, txid
from glasstumbler.chains.utxo_chain import UtxoChain
from glasstumbler.clock import VirtualClock
from glasstumbler.errors import TransactionRefused
from glasstumbler.nodes.core_kinds import KINDS
from tests.nodes.forgery import FAMILIES, Purse, owned
from tests.nodes.judges import COINS, Judge, judge

RING = KeyRing(b"differential tests against nodes")
_VOTED = frozenset({"btcd", "bcoin", "bcash"})
_ALL_RULES = 510
"""Height by which litecoind's regtest asks for relative locks and for heights in coinbases, as ours always does."""
SIGNALLED = 440
"""Height of the chains on which these judge: by then the blocks have voted for relative locks, segwit and taproot,
which Core's regtest has from its first block."""
_VOTES = 0x20000007
_LEFT_OUT = {"bcoin": ("spent again",)}
"""bcoin replaces nothing, also where the transaction allows it: btcd judges that."""
_BETWEEN = 40
"""Transactions from block to block."""
_PATIENCE = 10.0
_COIN_VALUE = 4_000_000


class Difference(NamedTuple):
    family: str
    ours: str
    """What we said against it; empty if we took it."""
    theirs: str
    raw: bytes

    @property
    def line(self) -> str:
        return f"{self.family}: ours {self.ours or 'taken'!r}, theirs {self.theirs or 'taken'!r}"


class Court:
    """One in-process chain, one real node on the same blocks, and a purse of coins on them."""

    def __init__(self, judge: Judge, seed: int) -> None:
        self.judge, self.coin = judge, judge.coin
        # btcd leaves its mempool alone while its chain looks older than a day.
        self.clock = VirtualClock(int(time.time()) - 72_000) if judge.kind == "btcd" else VirtualClock()
        self.random = Random(f"{judge.coin} {seed}")
        self.purse = Purse(self.coin, self.random, KINDS[judge.kind].cannot_spend)
        self.taken: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.differences: list[Difference] = []
        self.blocks = self.reorganisations = 0
        self._aside: set[str] = set()
        """Transactions that one side took and the other did not."""
        self._orphans: set[str] = set()
        """What both refused since an input was missing."""
        self._at = 0
        self.ours = UtxoChain.open(self.coin, RING, self.clock, start=0 if judge.kind in _VOTED else _ALL_RULES)
        if judge.kind in _VOTED:
            _vote(self.ours, SIGNALLED)
            self.ours.mine()
        self._faucet = RING.secret(self.coin, "faucet", "float", 0)
        self._fund()

    def close(self) -> None:
        self.ours.close()

    def run(self, count: int) -> None:
        names = [name for name in FAMILIES if name not in _LEFT_OUT.get(self.judge.kind, ())]
        weights = [FAMILIES[name][1] for name in names]
        for number in range(1, count + 1):
            (name,) = self.random.choices(names, weights)
            self.put(name, FAMILIES[name][0](self.purse))
            if number % _BETWEEN == 0:
                self.block()
            if number % (_BETWEEN * 7) == 0:
                self.reorganise(self.random.choice([1, 1, 2, 3, 6]))
        self.block()

    def put(self, family: str, raw: bytes) -> None:
        """Show a transaction to both."""
        before = set(self.ours.mempool())
        ours, theirs = _refusal(self.ours, raw), self.judge.refusal(raw)
        if ours.startswith("missing-inputs"):
            self._orphans.add(to_tx(raw).txid)
        if bool(ours) != bool(theirs) and not self._adopted():
            self.differences.append(Difference(family, ours, theirs, raw))
            self._put_aside(raw)
        else:
            (self.refused if ours else self.taken)[family] += 1
        if not ours:
            lost = before - set(self.ours.mempool())
            self._gained(raw) if not lost else self._recount()

    def block(self) -> None:
        """Ours mines; the node must take the block, and the same must wait on both sides."""
        self.clock.advance(self.random.choice([1, 10, 60, 200]))
        self.ours.mine()
        self._show_blocks()
        self._recount()
        self._compare_waiting()

    def caught_up(self) -> None:
        """Both have got the same blocks by another way."""
        self._at = self.ours.tip()[0]
        self._recount()
        self._compare_waiting()

    def reorganise(self, depth: int) -> None:
        self.reorganisations += 1
        self._at -= depth
        self.ours.reorg(depth, self._tied(depth) if self.judge.kind == "bcash" else ())
        self._show_blocks()
        for name in self.ours.mempool():
            tx = self.ours.transaction(name)
            assert tx is not None
            self.judge.refusal(tx.raw)
        if self.judge.kind == "bcash":
            self._put_aside()
        for _ in range(3):
            self.clock.advance(100)
            self.ours.mine()
        self._show_blocks()
        self._recount()
        self._compare_waiting()

    # Inside.

    def _tied(self, depth: int) -> set[str]:
        """Transactions of the last blocks that spend one another within a block. Taking such a block back, bcash gives
        back the coin between them where the child stands first, and then refuses (BIP 30) to mine its parent again."""
        tied: set[str] = set()
        for block_hash in self.ours._view.hashes[-depth:]:
            txs = self.ours.block(block_hash).txs
            names = {tx.txid for tx in txs}
            for tx in txs[1:]:
                if parents := names & {outpoint.txid for outpoint in tx.inputs}:
                    tied |= {tx.txid} | parents
        return tied

    def _fund(self) -> None:
        keys = list(self.purse.kinds)
        for _ in range(3):
            for _ in range(6):
                self.ours.pay_many([Output(key, _COIN_VALUE) for key in keys * (32 // len(keys))])
            self.ours.mine()
        self._show_blocks()
        self._recount()

    def _show_blocks(self) -> None:
        height, tip = self.ours.tip()
        said = []
        for at in range(self._at + 1, height + 1):
            said.append(self.judge.submit(self._raw(at)))
            self.blocks += 1
            if at == height:
                assert self.judge.tip() == tip, f"{self.judge.kind} does not follow to {at}: {said}"
        self._at = height

    def _raw(self, height: int) -> bytes:
        logged = self.ours._log.find(self.ours._view.hashes[height])
        assert logged is not None
        return logged.raw

    def _put_aside(self, *raws: bytes) -> None:
        """What one side has alone is left alone from now on, with all that it spends and makes."""
        ours, theirs = set(self.ours.mempool()), self.judge.waiting()
        made = [self.judge.transaction(name) for name in theirs - ours - self._aside]
        self._aside |= ours ^ theirs
        with suppress(TransactionRefused):
            for tx in map(to_tx, [*made, *raws]):
                self.purse.used |= {*tx.inputs, *(Outpoint(tx.txid, vout) for vout in range(len(tx.outputs)))}
                # Nor is what it builds on to be replaced: one side would have more to put out than the other.
                entries = self.ours._pool.entries
                for name in self.ours._pool.ancestors({o.txid for o in tx.inputs if o.txid in entries}):
                    self.purse.used.update(entries[name].tx.inputs)
        self._recount()

    def _adopted(self) -> bool:
        """Whether the node took, behind our back, what lacked an input when both refused it: all but litecoind look at
        such transactions again when the input comes. We do not keep them."""
        late = self.judge.waiting() - set(self.ours.mempool()) - self._aside
        if found := bool(late & self._orphans):
            self._put_aside()
        return found

    def _gained(self, raw: bytes) -> None:
        tx, purse = parse(raw), self.purse
        inputs = {item.outpoint for item in tx.inputs}
        for store in (purse.confirmed, purse.waiting):
            purse.spent += [spend for spend in store if spend.outpoint in inputs]
            store[:] = [spend for spend in store if spend.outpoint not in inputs]
        purse.young = [(height, spend) for height, spend in purse.young if spend.outpoint not in inputs]
        if txid(tx) not in self._aside:
            purse.waiting += owned(purse, tx)

    def _recount(self) -> None:
        """What can be spent, from the in-process chain's own coins."""
        purse, view = self.purse, self.ours._view
        known = {spend.outpoint: spend for spend in (*purse.confirmed, *purse.waiting)}
        purse.height, purse.time = view.height, view.median_time(view.height)
        mine = {
            outpoint: Spend(outpoint, coin.amount, *purse.kinds[coin.key])
            for outpoint, coin in view.coins.items()
            if coin.key in purse.kinds and outpoint not in purse.used
        }
        purse.heights = {outpoint: view.coins[outpoint].height for outpoint in mine}
        gone = {s.outpoint: s for s in purse.gone} | {o: s for o, s in known.items() if o.txid in view.standing}
        purse.gone = [s for o, s in gone.items() if o not in mine and o not in purse.used][-50:]
        entries = [parse(entry.tx.raw) for entry in self.ours._pool.entries.values()]
        unmined = {s.outpoint: s for tx in entries if txid(tx) not in self._aside for s in owned(purse, tx)}
        spent = dict.fromkeys(item.outpoint for tx in entries for item in tx.inputs)
        both = mine | {o: s for o, s in unmined.items() if o not in purse.used}
        purse.confirmed = [spend for outpoint, spend in mine.items() if outpoint not in spent]
        purse.waiting = [both[o] for o in unmined if o in both and o not in spent]
        purse.spent = [both[o] for o in spent if o in both]
        purse.young = self._coinbases()

    def _coinbases(self) -> list[tuple[int, Spend]]:
        found = []
        view, key = self.ours._view, self.ours.format.own_key(self.ours._parameters.funding_kind, self._faucet)
        for height in range(max(1, view.height - 105), view.height + 1):
            coinbase = self.ours.block(view.hashes[height]).txs[0]
            outpoint = Outpoint(coinbase.txid, 0)
            unspent = outpoint in view.coins and self.ours._pool.spender(outpoint) is None
            if coinbase.outputs[0].key == key and unspent and outpoint not in self.purse.used:
                kind = self.ours._parameters.funding_kind
                found.append((height, Spend(outpoint, coinbase.outputs[0].amount, kind, self._faucet)))
        return found

    def _compare_waiting(self) -> None:
        """A node may clear up behind a block a little later than it answers."""
        until = time.monotonic() + _PATIENCE
        while (ours := set(self.ours.mempool()) - self._aside) != (theirs := self.judge.waiting() - self._aside):
            if not self._adopted() and time.monotonic() > until:
                break
            time.sleep(0.05)
        assert ours == theirs, f"only ours waits: {ours - theirs}; only theirs: {theirs - ours}"


def _refusal(chain: UtxoChain, raw: bytes) -> str:
    try:
        chain.broadcast(raw)
    except TransactionRefused as error:
        return f"{error.reason}: {error.text}"
    return ""


def _vote(chain: UtxoChain, height: int) -> None:
    """Blocks without any witness whose versions vote for what btcd and bcoin do not have from the beginning."""
    network = NETWORKS[chain.coin]
    key = chain._faucet.key
    for at in range(1, height + 1):
        tip = chain.tip()[1]
        coinbase = to_tx(serialise(blocks.coinbase(at, (Output(key, subsidy(at)),), None)))
        root = bytes.fromhex(coinbase.txid)[::-1]
        when = chain._clock.now() - (height - at + 1) * 600
        header = blocks.header_bytes(blocks.Header(_VOTES, tip, root, when, BITS, 0))
        chain.submit(blocks.block_bytes(blocks.parse_header(miner.solve(network, header)), [coinbase.raw]))


class Expected(NamedTuple):
    """A difference that stays: what each side says (patterns; "taken" for nothing), and why."""

    judges: frozenset[str]
    family: str
    ours: str
    theirs: str
    why: str

    def names(self, kind: str, found: Difference) -> bool:
        pairs = (
            (self.family, found.family),
            (self.ours, found.ours or "taken"),
            (self.theirs, found.theirs or "taken"),
        )
        return kind in self.judges and all(re.search(pattern, text) for pattern, text in pairs)


_ALL = frozenset(COINS)
EXPECTED: tuple[Expected, ...] = (
    Expected(
        _ALL, "odd outputs", "no standard kind", "taken",
        "public keys, bare multisig and later witness programs are paid on nodes; here, what has an address",
    ),
    Expected(
        _ALL - {"litecoind"}, "odd bytes", "bytes after the end", "taken",
        "btcd, bcoin and bcash read a transaction and pass over what follows it; Core refuses, and so do we",
    ),
    Expected(
        frozenset({"bcoin", "bcash"}), "odd bytes|superfluous", "a witness part without a witness", "taken",
        "bcoin reads a witness part that holds nothing; Core refuses, and so do we",
    ),
    Expected(
        frozenset({"btcd"}), "odd outputs", "taken", "non-standard script form",
        "btcd relays data in a single push only; Core takes several, and so do we",
    ),
    Expected(
        frozenset({"bcoin"}), "small|odd outputs", "smaller than", "taken",
        "bcoin relays however small; Core refuses, and so do we",
    ),
    Expected(
        _ALL - {"litecoind"}, "", "chain-limit", "taken",
        "only Core limits descendants, and the sizes of chains; we do as it does",
    ),
)  # fmt: skip


def unexpected(court: Court) -> list[Difference]:
    return [d for d in court.differences if not any(row.names(court.judge.kind, d) for row in EXPECTED)]


def report(court: Court) -> str:
    rows = [f"{'family':24}{'both took':>10}{'both refused':>14}{'differ':>8}"]
    differ = Counter(d.family for d in court.differences)
    for name in FAMILIES:
        rows.append(f"{name:24}{court.taken[name]:10}{court.refused[name]:14}{differ[name]:8}")
    total = sum(court.taken.values()), sum(court.refused.values()), len(court.differences)
    rows.append(f"{'together':24}{total[0]:10}{total[1]:14}{total[2]:8}")
    rows.append(
        f"{court.blocks} blocks taken, {court.reorganisations} reorganisations; same tip, same mempool after each"
    )
    for row in EXPECTED:
        found = sum(row.names(court.judge.kind, d) for d in court.differences)
        if found:
            rows.append(f"expected {found} times: {row.why}")
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", choices=sorted(COINS), required=True)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    said = parser.parse_args()
    with judge(said.judge) as node:
        court = Court(node, said.seed)
        try:
            court.run(said.count)
        finally:
            print(f"{said.judge}, {said.count} transactions, seed {said.seed}\n{report(court)}")
            left = unexpected(court)
            for text, times in Counter(re.sub(r"[0-9a-f]{64}|\d+", "#", d.line) for d in left).most_common():
                print(f"NOT EXPECTED, {times} times: {text}")
            court.close()
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
