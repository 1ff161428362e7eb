"""What waits to be mined: Bitcoin Core's relay rules, as far as they concern the kinds of coin used here.

A transaction enters with all its inputs in the chain or in the mempool, its scripts judged, at least 1 sat/vB, no
dust, and at most 25 relatives of either side. On networks with `replaceable` it may put out others under BIP 125.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from glasstumbler.chains import rules, standard
from glasstumbler.chains.base import Outpoint, Tx
from glasstumbler.chains.coinview import Coin, CoinView, is_coinbase
from glasstumbler.chains.networks import NetworkParameters
from glasstumbler.chains.tx import WITNESS_SCALE, RawTx, fields
from glasstumbler.errors import TransactionRefused
from glasstumbler.money import ceil_div

MIN_RELAY_RATE = 1
"""sat/vB, and by so much more must a replacement pay."""
MAX_RELATIVES = 25
"""Transactions in a chain of waiting ones, on either side, itself included (Core: DEFAULT_ANCESTOR_LIMIT)."""
MAX_RELATIVES_SIZE = 101_000
"""Virtual bytes of such a chain, on either side (Core: DEFAULT_ANCESTOR_SIZE_LIMIT)."""
_CARVED_SIZE = 10_000
"""A transaction up to this with one waiting ancestor may be one more than the limit, so that of two who share a
transaction neither can keep the other from raising its fee (Core's carve-out)."""
MAX_EVICTED = 100
MAX_WEIGHT = 400_000
"""Of one transaction (Core: MAX_STANDARD_TX_WEIGHT)."""
_REPLACEABLE = 0xFFFFFFFE
"""BIP 125: a sequence below this opts in."""
_VERSIONS = (1, 2)


class Entry(msgspec.Struct, frozen=True):
    """A waiting transaction. `parents` and `children` are txids that wait too."""

    tx: Tx
    fee: int
    weight: int
    replaceable: bool
    parents: set[str]
    children: set[str]

    @property
    def vsize(self) -> int:
        return ceil_div(self.weight, WITNESS_SCALE)


class Mempool:
    """Not safe from several threads. `view` is the chain that it stands on, `verify` the judge of scripts."""

    def __init__(self, network: NetworkParameters, view: CoinView, verify: rules.Verify) -> None:
        self._network, self._view, self._verify = network, view, verify
        self._spenders: dict[Outpoint, str] = {}
        self.entries: dict[str, Entry] = {}
        """By txid, in order of arrival: parents stand before their children."""

    def accept(self, tx: Tx, returned: bool = False) -> set[str]:
        """Let a transaction in; the txids that it put out. TransactionRefused otherwise, with nothing changed."""
        entry, evicted = self.judge(tx, returned)
        self.enter(entry, evicted)
        return evicted

    def judge(self, tx: Tx, returned: bool = False) -> tuple[Entry, set[str]]:
        """What would wait, and the txids that it would put out; nothing is changed. TransactionRefused.

        `returned`: these very bytes were accepted before and their block was taken back. Their scripts are not judged
        again, and they may have more relatives: what was mined in many blocks now waits all at once.
        """
        parsed = fields(tx)
        weight = rules.weight(tx)
        self._check_form(parsed, tx, weight)
        coins = [self._coin(outpoint) for outpoint in tx.inputs]
        spent = [coin.output for coin in coins]
        standard.check_inputs(parsed, spent, self._network)
        height = self._view.height + 1
        fee = rules.check_spending(tx, coins, height)
        rules.check_locks(parsed, coins, self._view, height)
        entry = self._entry(parsed, tx, fee, weight)
        if fee < entry.vsize * MIN_RELAY_RATE:
            raise TransactionRefused("fee-too-low", f"{fee} for {entry.vsize} virtual bytes")
        evicted = self._replaced(entry)
        if not returned:
            self._check_relatives(entry, evicted)
            self._verify(parsed, tx.raw, spent)
        return entry, evicted

    def enter(self, entry: Entry, evicted: Iterable[str]) -> None:
        """What was just judged."""
        self.remove(evicted)
        self._add(entry)

    def admit(self, tx: Tx) -> set[str]:
        """Let in what a real node has let in, by its own rules; the txids that it put out. TransactionRefused if a
        coin that it spends is not known here."""
        parsed = fields(tx)
        coins = [self._coin(outpoint) for outpoint in tx.inputs]
        fee = sum(coin.amount for coin in coins) - sum(output.amount for output in tx.outputs)
        entry = self._entry(parsed, tx, fee, rules.weight(tx))
        evicted = self.descendants({self._spenders[o] for o in tx.inputs if o in self._spenders})
        self.enter(entry, evicted)
        return evicted

    def remove(self, txids: Iterable[str]) -> None:
        """Take out these and nothing else: what still spends them would be left hanging."""
        for txid in txids:
            entry = self.entries.pop(txid)
            for outpoint in entry.tx.inputs:
                del self._spenders[outpoint]
            for parent in entry.parents:
                if parent in self.entries:
                    self.entries[parent].children.discard(txid)
            for child in entry.children:
                if child in self.entries:
                    self.entries[child].parents.discard(txid)

    def struck(self, txs: Iterable[Tx]) -> set[str]:
        """What leaves with a block of these transactions: they, and what they make impossible."""
        gone: set[str] = set()
        for tx in txs:
            if tx.txid in self.entries:
                gone.add(tx.txid)
            else:
                gone |= self.descendants({self._spenders[o] for o in tx.inputs if o in self._spenders})
        return gone

    def spender(self, outpoint: Outpoint) -> str | None:
        """Txid of the waiting transaction that spends it."""
        return self._spenders.get(outpoint)

    def has(self, outpoint: Outpoint) -> bool:
        """Whether it is a coin of the chain, or an output of what waits."""
        return outpoint in self._view.coins or outpoint.txid in self.entries

    def ancestors(self, txids: Collection[str]) -> set[str]:
        """These and all that they build on, among the waiting."""
        found = set(txids)
        left = list(txids)
        while left:
            for parent in self.entries[left.pop()].parents - found:
                found.add(parent)
                left.append(parent)
        return found

    def descendants(self, txids: Collection[str]) -> set[str]:
        """These and all that builds on them."""
        found = set(txids)
        left = list(txids)
        while left:
            for child in self.entries[left.pop()].children - found:
                found.add(child)
                left.append(child)
        return found

    def _check_form(self, parsed: RawTx, tx: Tx, weight: int) -> None:
        if is_coinbase(tx):
            raise TransactionRefused("other", "a coinbase stands in blocks only")
        if rules.has_witness(tx) and not self._network.witness:
            raise TransactionRefused("malformed", "a witness on a chain without")
        if parsed.version not in _VERSIONS:
            raise TransactionRefused("other", f"version {parsed.version}")
        if weight > MAX_WEIGHT:
            raise TransactionRefused("other", f"weight {weight} is above {MAX_WEIGHT}")
        if (weight - len(tx.raw)) // (WITNESS_SCALE - 1) < self._network.least_size:
            raise TransactionRefused("other", f"smaller than {self._network.least_size} bytes without its witness")
        standard.check_outputs(tx, self._network)

    def _coin(self, outpoint: Outpoint) -> Coin:
        coin = self._view.coins.get(outpoint)
        if coin is not None:
            return coin
        parent = self.entries.get(outpoint.txid)
        if parent is None or outpoint.vout >= len(parent.tx.outputs):
            raise TransactionRefused("missing-inputs", f"no coin {outpoint.txid}:{outpoint.vout}")
        return Coin(*parent.tx.outputs[outpoint.vout], self._view.height + 1, False)

    def _entry(self, parsed: RawTx, tx: Tx, fee: int, weight: int) -> Entry:
        parents = {o.txid for o in tx.inputs if o.txid in self.entries}
        signals = any(item.sequence < _REPLACEABLE for item in parsed.inputs)
        inherits = any(self.entries[parent].replaceable for parent in parents)
        return Entry(tx, fee, weight, signals or inherits, parents, set())

    def _replaced(self, entry: Entry) -> set[str]:
        """What must leave for this entry, after BIP 125; empty if nothing is in its way."""
        rivals = {self._spenders[o] for o in entry.tx.inputs if o in self._spenders}
        if not rivals:
            return rivals
        first = min(rivals)
        if not self._network.replaceable:
            raise TransactionRefused("conflict", f"{first} was seen first and spends the same")
        if not all(self.entries[rival].replaceable for rival in rivals):
            raise TransactionRefused("conflict", f"{first} spends the same and cannot be replaced")
        evicted = self.descendants(rivals)
        if len(evicted) > MAX_EVICTED or evicted & entry.parents:
            raise TransactionRefused("conflict", "it would put out too many, or what it spends itself")
        if not entry.parents <= set().union(*(self.entries[rival].parents for rival in rivals)):
            raise TransactionRefused("conflict", "a replacement must not build on more of what waits")
        least = sum(self.entries[txid].fee for txid in evicted) + entry.vsize * MIN_RELAY_RATE
        if entry.fee < least:
            raise TransactionRefused("fee-too-low", f"a replacement must pay {least} and pays {entry.fee}")
        for rival in map(self.entries.__getitem__, rivals):
            if entry.fee * rival.weight <= rival.fee * entry.weight:
                raise TransactionRefused("fee-too-low", "a replacement must pay a higher rate")
        return evicted

    def _check_relatives(self, entry: Entry, evicted: set[str]) -> None:
        if not entry.parents:
            return
        ancestors = self.ancestors(entry.parents)
        extra = len(ancestors) == 1 and entry.vsize <= _CARVED_SIZE
        most, largest = MAX_RELATIVES - 1 + extra, MAX_RELATIVES_SIZE - entry.vsize + extra * _CARVED_SIZE
        families = [self.descendants((txid,)) - evicted for txid in ancestors]
        fits = all(len(family) <= most and self._size(family) <= largest for family in families)
        if not fits or len(ancestors) >= MAX_RELATIVES or self._size(ancestors) + entry.vsize > MAX_RELATIVES_SIZE:
            raise TransactionRefused(
                "chain-limit",
                f"more than {MAX_RELATIVES} related transactions, or {MAX_RELATIVES_SIZE} virtual bytes, would wait",
            )

    def _size(self, txids: Iterable[str]) -> int:
        return sum(self.entries[txid].vsize for txid in txids)

    def _add(self, entry: Entry) -> None:
        txid = entry.tx.txid
        self.entries[txid] = entry
        for outpoint in entry.tx.inputs:
            self._spenders[outpoint] = txid
        for parent in entry.parents:
            self.entries[parent].children.add(txid)
