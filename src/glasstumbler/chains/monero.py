"""The Monero model: a private chain with real stagenet-form subaddresses, confirmations and unlock times.

A model: consensus is ours, and so is the form of a transaction (monero_tx.py says what it leaves out). Kept from
Monero: coinbase outputs are locked for 60 blocks and others for 10, an output is spent once, fees go to the miner,
every block brings the tail emission of 0.6 XMR. Amounts are piconero.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from heapq import heappop, heappush
from pathlib import Path
from typing import Final, NamedTuple

from glasstumbler.chains.base import Block, Output, Signed, Spend
from glasstumbler.chains.guard import check_address, check_node, network_byte
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.logged_chain import LoggedChain, Site
from glasstumbler.chains.monero_keys import (
    SUBADDRESS,
    decode_address,
    encode_address,
    keys_of,
    subaddress,
    subaddress_key,
)
from glasstumbler.chains.monero_tx import (
    MoneroBlock,
    MoneroTx,
    Source,
    coinbase,
    read_monero_block,
    read_tx,
    sign,
    verify,
)
from glasstumbler.chains.snapshot import Held, State
from glasstumbler.clock import GENESIS_TIME, Clock
from glasstumbler.errors import BlockRefused, ChainError, NoFunds, TransactionRefused

XMR: Final = 10**12
COINBASE_LOCK: Final = 60
TRANSFER_LOCK: Final = 10
"""Blocks, its own included, after which an output can be spent (CRYPTONOTE_MINED_MONEY_UNLOCK_WINDOW and
CRYPTONOTE_DEFAULT_TX_SPENDABLE_AGE)."""
EMISSION: Final = 6 * XMR // 10
FEE_PER_PART: Final = 15_000_000
"""What a transaction must leave for each input and output."""

_BLOCK_BYTES = 4_000_000
_PREMINE_OUTPUTS, _PREMINE_AMOUNT = 8192, 500 * XMR
_MOST_INPUTS = 500
_NO_BLOCK = "00" * 32


class Coin(NamedTuple):
    """An unspent output. `unlocked`: the first height whose block may spend it."""

    key: bytes
    amount: int
    unlocked: int


class MoneroFormat:
    """The parts of Format (chains/base.py) that make sense where services only receive."""

    coin = "xmr"
    kinds: tuple[str, ...] = ("subaddress",)
    dust = 1
    one_to_one = False
    replaceable = False

    def key(self, address: str) -> bytes:
        """Public spend and view key (64 bytes) of a stagenet-form address: subaddress, primary or integrated (its
        payment id is not part of the key)."""
        decoded = decode_address(address)
        check_address("xmr", network_byte(decoded.network_byte))
        return decoded.public_spend + decoded.public_view

    def address(self, key: bytes) -> str:
        """As a subaddress: the keys do not tell one from a primary address."""
        return encode_address(SUBADDRESS, key)

    def own_key(self, kind: str, secret: bytes) -> bytes:
        """ChainError: a Monero wallet has one seed and numbered subaddresses (monero_keys.subaddress_key)."""
        raise ChainError("a Monero subaddress comes from the wallet's seed and a number, not from a key of its own")

    def fee(self, kinds: Sequence[str], keys: Sequence[bytes], rate: int) -> int:
        raise ChainError("services only receive Monero")

    def sign(self, spends: Sequence[Spend], outputs: Sequence[Output], sequence: int = 0xFFFFFFFD) -> Signed:
        raise ChainError("services only receive Monero")


class MoneroChain(LoggedChain[MoneroTx]):
    """LabChain of chains/base.py. `ring` is the laboratory's: the faucet's and the fresh addresses come from them."""

    coin = "xmr"
    model = True

    def __init__(self, ring: KeyRing, clock: Clock, folder: Path | None = None) -> None:
        check_node("xmr", nettype="stagenet", model=True)
        super().__init__(ring, clock, folder)
        self.format = MoneroFormat()
        self._lab_seed = ring.secret("xmr", "lab", "lab", 0)
        faucet_seed = ring.secret("xmr", "faucet", "float", 0)
        self._faucet_secret, self._faucet_key = keys_of(faucet_seed).spend, subaddress_key(faucet_seed, 0)
        self._coins: dict[Source, Coin] = {}
        self._spenders: dict[Source, str] = {}
        self._purse: deque[tuple[Source, Coin]] = deque()
        self._locked: list[tuple[int, Source, Coin]] = []
        genesis = _genesis(self._faucet_key)
        self._parsed = genesis.raw(), genesis
        self._open(self._parsed[0])
        self._recount()

    def unlock_height(self, txid: str) -> int | None:
        """The first height whose block may spend this transaction's outputs; None unless it is mined."""
        with self._lock:
            standing = self._standing.get(txid)
            return None if standing is None else _unlocked(standing.height, standing.position)

    # Faucet and the lab's own wallet.

    def pay(self, address: str, amount: int) -> str:
        return self.pay_many([Output(self.format.key(address), amount)])

    def pay_many(self, outputs: Sequence[Output]) -> str:
        with self._lock:
            drawn, change = self._draw(sum(output.amount for output in outputs), len(outputs))
            own = [Output(self._faucet_key, change)] if change else []
            spends = [(source, self._faucet_secret) for source, _ in drawn]
            try:
                return self.broadcast(sign(spends, [*outputs, *own]).raw)
            except TransactionRefused:
                self._purse.extendleft(reversed(drawn))
                raise

    def fresh_address(self, kind: str | None = None) -> str:
        with self._lock:
            return subaddress(self._lab_seed, 1 + self._log.next_number("fresh"))

    def mine(self, blocks: int = 1) -> int:
        with self._lock:
            try:
                height = super().mine(blocks)
            except BaseException:
                self._recount()
                raise
            while self._locked and self._locked[0][0] <= height + 1:
                self._purse.append(heappop(self._locked)[1:])
            return height

    def reorg(self, depth: int, forget: Collection[str] = ()) -> int:
        with self._lock:
            try:
                return super().reorg(depth, forget)
            finally:
                self._recount()

    def _draw(self, amount: int, count: int) -> tuple[list[tuple[Source, Coin]], int]:
        """Coins of the faucet for so many outputs, and what is left as change."""
        drawn: list[tuple[Source, Coin]] = []
        have = 0
        while self._purse and len(drawn) < _MOST_INPUTS:
            drawn.append(self._purse.popleft())
            have += drawn[-1][1].amount
            change = have - amount - FEE_PER_PART * (len(drawn) + count + 1)
            if change >= 0:
                return drawn, change
        self._purse.extendleft(reversed(drawn))
        raise NoFunds(f"the faucet has no {amount} piconero unlocked in {_MOST_INPUTS} outputs: mine some blocks")

    def _recount(self) -> None:
        """The faucet's coins anew, from the chain and what waits, in the chain's order whatever way it came about."""
        own = sorted(
            (item for item in self._coins.items() if item[1].key == self._faucet_key),
            key=lambda item: (*self._standing[item[0].txid][:2], item[0].number),
        )
        height = len(self._hashes)
        self._purse = deque(item for item in own if item[1].unlocked <= height and item[0] not in self._spenders)
        self._locked = sorted((coin.unlocked, source, coin) for source, coin in own if coin.unlocked > height)

    # Rules of the mempool.

    def _read(self, raw: bytes) -> MoneroTx:
        return read_tx(raw)

    def _check(self, parsed: MoneroTx, returning: bool) -> Collection[str]:
        for entry in parsed.inputs:
            rival = self._spenders.get(entry.source)
            if rival is not None:
                raise TransactionRefused("conflict", f"{rival} waits and spends the same output")
            if entry.source.txid in self._pool:
                raise TransactionRefused("locked", f"it spends {entry.source.txid}, which still waits")
        self._judge(parsed, self._coins, len(self._hashes))
        return ()

    def _judge(self, parsed: MoneroTx, coins: dict[Source, Coin], height: int) -> int:
        """The fee of a transaction in a block of this height; TransactionRefused if it breaks a rule."""
        if not parsed.inputs or not parsed.outputs:
            raise TransactionRefused("malformed", "no inputs or no outputs")
        if len({entry.source for entry in parsed.inputs}) != len(parsed.inputs):
            raise TransactionRefused("conflict", "it spends an output twice")
        if any(output.amount < self.format.dust for output in parsed.outputs):
            raise TransactionRefused("dust", "an output of nothing")
        spent = 0
        for number, entry in enumerate(parsed.inputs):
            coin = coins.get(entry.source)
            if coin is None:
                raise TransactionRefused("missing-inputs", f"no unspent output {entry.source}")
            if coin.unlocked > height:
                raise TransactionRefused("locked", f"an input is locked until height {coin.unlocked}")
            if not verify(parsed, number, coin.key):
                raise TransactionRefused("bad-signature", f"input {number}")
            spent += coin.amount
        fee = spent - sum(output.amount for output in parsed.outputs)
        if fee < 0:
            raise TransactionRefused("funds", f"it pays out {-fee} more than it spends")
        if fee < FEE_PER_PART * (len(parsed.inputs) + len(parsed.outputs)):
            raise TransactionRefused("fee-too-low", f"{fee} piconero")
        return fee

    def _entered(self, parsed: MoneroTx) -> None:
        self._spenders.update((entry.source, parsed.txid) for entry in parsed.inputs)

    def _left(self, parsed: MoneroTx) -> None:
        for entry in parsed.inputs:
            del self._spenders[entry.source]

    # Blocks.

    def _build(self, site: Site, waiting: Iterable[MoneroTx]) -> bytes:
        chosen: list[MoneroTx] = []
        fees = size = 0
        for tx in waiting:
            if size + len(tx.raw) > _BLOCK_BYTES:
                continue
            fees += self._judge(tx, self._coins, site.height)
            size += len(tx.raw)
            chosen.append(tx)
        reward = coinbase([Output(self._faucet_key, EMISSION + fees)], _mark(site.height, site.number))
        return MoneroBlock(site.height, site.previous, site.time, site.number, (reward, *chosen)).raw()

    def _parse(self, raw: bytes) -> MoneroBlock:
        """Each block is wanted twice in a row, to be shown and to be connected."""
        parsed = self._parsed
        if parsed[0] != raw:
            parsed = self._parsed = raw, read_monero_block(raw)
        return parsed[1]

    def _decode(self, raw: bytes) -> Block:
        return self._parse(raw).block()

    def _connect(self, raw: bytes, block: Block) -> None:
        made = self._parse(raw)
        spent = self._judge_block(made) if made.height else {}
        for source in spent:
            del self._coins[source]
        for position, tx in enumerate(made.txs):
            unlocked = _unlocked(made.height, position)
            for number, (key, amount) in enumerate(tx.outputs):
                source, coin = Source(tx.txid, number), Coin(key, amount, unlocked)
                self._coins[source] = coin
                if key == self._faucet_key:
                    heappush(self._locked, (unlocked, source, coin))

    def _judge_block(self, made: MoneroBlock) -> dict[Source, Coin]:
        """The coins that it spends; BlockRefused if it breaks a rule."""
        reward, *transfers = made.txs
        spent: dict[Source, Coin] = {}
        fees = 0
        try:
            for tx in transfers:
                fees += self._judge(tx, self._coins, made.height)
                for entry in tx.inputs:
                    if entry.source in spent:
                        raise BlockRefused(f"block {made.height} spends {entry.source} twice")
                    spent[entry.source] = self._coins[entry.source]
        except TransactionRefused as problem:
            raise BlockRefused(f"block {made.height}: {problem}") from None
        if reward.inputs or reward.extra != _mark(made.height, made.number):
            raise BlockRefused(f"block {made.height} does not begin with its coinbase")
        if sum(output.amount for output in reward.outputs) != EMISSION + fees:
            raise BlockRefused(f"block {made.height} makes more or less than emission and fees")
        if made.previous != self._hashes[-1] or made.height != len(self._hashes):
            raise BlockRefused(f"block {made.height} does not follow the tip")
        return spent

    def _disconnect(self, raw: bytes) -> None:
        made = self._parse(raw)
        spent = [entry.source for tx in made.txs for entry in tx.inputs]
        back = {source: self._made_by(source) for source in spent}
        for tx in made.txs:
            for number in range(len(tx.outputs)):
                del self._coins[Source(tx.txid, number)]
        self._coins.update(back)

    def _made_by(self, source: Source) -> Coin:
        """The coin, spent or not, as its transaction made it."""
        height, position, _, _ = self._standing[source.txid]
        key, amount = self._mined(source.txid).outputs[source.number]
        return Coin(key, amount, _unlocked(height, position))

    # State.

    def _held(self) -> Held:
        return Held(list(self._hashes), dict(self._standing), self._coins.copy())

    def _restore(self, state: State) -> None:
        for mined in state.mined():
            unlocked = _unlocked(mined.height, mined.position)
            for number, key, amount in mined.coins:
                self._coins[Source(mined.txid, number)] = Coin(key, amount, unlocked)

    def _clear(self) -> None:
        self._coins.clear()


def read_block(raw: bytes) -> Block:
    """A block as the log keeps it; BlockRefused if it is none of the model's."""
    return read_monero_block(raw).block()


def _genesis(key: bytes) -> MoneroBlock:
    outputs = [Output(key, _PREMINE_AMOUNT)] * _PREMINE_OUTPUTS
    return MoneroBlock(0, _NO_BLOCK, GENESIS_TIME, 0, (coinbase(outputs, b"Glass Tumbler"),))


def _unlocked(height: int, position: int) -> int:
    """The first height whose block may spend the outputs of the transaction at this place. The first block's can be
    spent at once: they are the faucet's beginning."""
    if height == 0:
        return 0
    return height + (TRANSFER_LOCK if position else COINBASE_LOCK)


def _mark(height: int, number: int) -> bytes:
    """Makes every coinbase another one."""
    return height.to_bytes(8, "little") + number.to_bytes(8, "little")
