"""The life of an in-process chain: its beginning, its repetition, its crashes, and long random runs."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from glasstumbler.chains import kernel
from glasstumbler.chains.base import Outpoint, Output, Place, Spend
from glasstumbler.chains.blocklog import BlockLog
from glasstumbler.chains.coinview import CoinView
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.networks import COIN, NETWORKS, subsidy
from glasstumbler.chains.tx import to_tx
from glasstumbler.chains.utxo_chain import UtxoChain
from glasstumbler.clock import GENESIS_TIME, RealClock, VirtualClock
from glasstumbler.errors import BlockRefused, ChainError, NoFunds, RefusedNode, StoreError, TransactionRefused
from tests.chains.forge import KINDS, RING, SECRET, assemble, coins, opened, own_key, spend

COINS = ("btc", "ltc", "bch")


def check(chain: UtxoChain) -> None:
    """The state in memory is what the log says, money adds up, and the engine stands at the same tip."""
    fresh = CoinView()
    for logged in chain._log.chain():
        block = chain.block(logged.hash)
        fresh.connect(logged.hash, block.time, block.txs if logged.height else ())
    assert fresh.coins == chain._view.coins
    assert fresh.standing == chain._view.standing
    assert (fresh.hashes, fresh.times) == (chain._view.hashes, chain._view.times)
    supply = sum(coin.amount for coin in fresh.coins.values())
    assert supply == sum(subsidy(height) for height in range(1, chain.tip()[0] + 1))
    assert chain._log.waiting() == [chain._pool.entries[txid].tx.raw for txid in chain.mempool()]
    if chain._judge is not None:
        with chain._making:  # it may be catching up
            assert chain._judge.tip() == chain.tip()


# The beginning


@pytest.mark.parametrize("coin", COINS)
def test_a_new_chain_has_a_dated_beginning_and_a_full_purse(coin: str) -> None:
    chain = opened(coin)
    height, tip = chain.tip()
    assert height == 251 and len(chain.mempool()) == 0
    times = [chain.block(chain.block_hash(at) or "").time for at in range(1, 251)]
    assert times[-1] == GENESIS_TIME
    assert {later - earlier for earlier, later in pairwise(times)} == {600}
    assert len(chain.block(tip).txs) > 1, "the purse"
    check(chain)
    chain.close()


def test_the_genesis_block_is_the_gates_affair(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = NETWORKS["btc"].genesis.replace(b"\xff\xff\x7f\x20", b"\xff\xff\x00\x1d")  # another difficulty
    row = {**NETWORKS, "btc": NETWORKS["btc"]._replace(genesis=foreign)}
    monkeypatch.setattr("glasstumbler.chains.utxo_chain.NETWORKS", row)
    with pytest.raises(RefusedNode, match="genesis"):
        opened("btc")


@pytest.mark.parametrize("coin", COINS)
def test_same_seed_and_calls_same_bytes(coin: str) -> None:
    def life(seed: bytes) -> list[bytes]:
        clock = VirtualClock()
        chain = UtxoChain.open(coin, KeyRing(seed), clock)
        for number in range(20):
            chain.pay(chain.fresh_address(), 50_000 + number)
        clock.advance(1234)
        chain.mine(2)
        chain.reorg(1)
        raws = [logged.raw for logged in chain._log.chain()]
        chain.close()
        return raws

    assert life(b"s" * 16) == life(b"s" * 16) != life(b"t" * 16)


def test_blocks_carry_the_clocks_time_and_never_go_back() -> None:
    clock = VirtualClock()
    chain = opened("btc", clock)
    clock.advance(86_400)
    chain.mine()
    assert chain.block(chain.tip()[1]).time == GENESIS_TIME + 86_400
    chain.mine(30)
    times = [chain.block(chain.block_hash(at) or "").time for at in range(252, 283)]
    assert times == sorted(times) and times[-1] < GENESIS_TIME + 86_400 + 30
    chain.close()


def test_a_real_clock_can_be_advanced_by_months() -> None:
    clock = RealClock()
    chain = opened("btc", clock)
    clock.advance(100 * 86_400)
    chain.mine()
    assert abs(chain.block(chain.tip()[1]).time - clock.now()) < 60
    chain.close()


# The faucet


@pytest.mark.parametrize("coin", COINS)
def test_thousands_of_payments_wait_at_once(coin: str) -> None:
    chain = opened(coin)
    address = chain.fresh_address()
    txids = [chain.pay(address, 100_000) for _ in range(2000)]
    assert list(chain.mempool()) == txids
    chain.mine()
    assert len(chain.mempool()) == 0
    assert len(chain.block(chain.tip()[1]).txs) >= 2001
    check(chain)
    chain.close()


def test_large_payments_come_from_the_vault() -> None:
    chain = opened("btc")
    chain.pay(chain.fresh_address(), 1234 * COIN)
    chain.pay(chain.fresh_address(), 700 * COIN)
    chain.mine()
    check(chain)
    with pytest.raises(NoFunds):
        chain.pay(chain.fresh_address(), 20_000 * COIN)
    chain.pay(chain.fresh_address(), COIN)
    chain.close()


def test_the_faucet_does_not_run_dry_of_small_coins() -> None:
    chain = opened("btc")
    for _ in range(60):
        for _ in range(20):
            chain.pay(chain.fresh_address(), 3 * COIN // 4)
        chain.mine()
    check(chain)
    chain.close()


def test_a_receiver_that_builds_on_payments_does_not_stop_the_faucet() -> None:
    chain = opened("btc")
    key = own_key(chain)
    for _ in range(40):
        txid = chain.pay(chain.format.address(key), 200_000)
        tx = chain.transaction(txid)
        assert tx is not None
        vout = [output.key for output in tx.outputs].index(key)
        coin = Spend(Outpoint(txid, vout), 200_000, "p2wpkh", SECRET)
        for _ in range(5):
            signed = spend(chain, [coin])
            chain.broadcast(signed.raw)
            coin = Spend(Outpoint(signed.txid, 0), to_tx(signed.raw).outputs[0].amount, "p2wpkh", SECRET)
    assert len(chain.mempool()) == 240
    chain.mine()
    check(chain)
    chain.close()


@pytest.mark.parametrize("mined", [False, True])
def test_payments_of_its_own_that_come_back_from_outside_do_not_stop_the_faucet(mined: bool) -> None:
    """A reorganisation forgets payments, the faucet reckons with their coins again, and somebody still has them."""
    chain = opened("btc")
    address = chain.fresh_address()
    txids = [chain.pay(address, 100_000) for _ in range(150)]
    lost = [tx for txid in txids[::2] if (tx := chain.transaction(txid)) is not None]
    chain.mine()
    chain.reorg(1, [tx.txid for tx in lost])
    for tx in lost:
        chain.broadcast(tx.raw)
    if mined:
        chain.mine()
    for _ in range(600):
        chain.pay(address, 100_000)
    chain.mine()
    for _ in range(600):
        chain.pay(address, 100_000)
    check(chain)
    chain.close()


# Blocks


def test_what_does_not_fit_waits_for_the_next_block() -> None:
    chain = opened("btc")
    targets = [Output(own_key(chain, "p2pkh"), 600)] * 2000
    txids = [chain.pay_many(targets) for _ in range(18)]
    chain.mine()
    left = list(chain.mempool())
    assert 0 < len(left) < 18 and left == txids[-len(left) :]
    chain.mine()
    assert len(chain.mempool()) == 0
    check(chain)
    chain.close()


@pytest.mark.parametrize("coin", COINS)
def test_what_spent_a_vanished_coinbase_goes_with_it(coin: str) -> None:
    chain = opened(coin)
    old = chain.block(chain.block_hash(chain.tip()[0] - 105) or "").txs[0]
    secret = RING.secret(coin, "faucet", "float", 0)
    reward = Spend(Outpoint(old.txid, 0), old.outputs[0].amount, NETWORKS[coin].funding_kind, secret)
    kept = chain.pay(chain.fresh_address(), 50_000)
    signed = spend(chain, [reward], 5000)
    chain.broadcast(signed.raw)
    height = chain.mine()
    assert chain.place(signed.txid) == Place(*chain.tip())
    assert chain.reorg(120) == height + 1
    assert chain.place(signed.txid) is None and chain.transaction(old.txid) is None
    assert chain.place(kept) == Place(None, None)
    check(chain)
    chain.mine()
    check(chain)
    chain.close()


def test_a_block_may_bring_what_the_mempool_contradicts() -> None:
    chain = opened("btc")
    (coin,) = coins(chain, 1)
    waiting = spend(chain, [coin], 1000)
    chain.broadcast(waiting.raw)
    child = spend(chain, [Spend(Outpoint(waiting.txid, 0), coin.amount - 1000, "p2wpkh", SECRET)], 1000)
    chain.broadcast(child.raw)
    mined = spend(chain, [coin], 2000)
    chain.submit(assemble(chain, [mined.raw], 2000))
    assert chain.place(mined.txid) == Place(*chain.tip())
    assert chain.place(waiting.txid) is chain.place(child.txid) is None
    check(chain)
    chain.close()


def test_a_reorganisation_that_the_engine_refuses_leaves_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = opened("btc")
    txid = chain.pay(chain.fresh_address(), 50_000)
    chain.mine(3)
    tip, place = chain.tip(), chain.place(txid)
    judge = chain._judge
    assert judge is not None
    whole = judge.process
    calls = []

    def failing(raw: bytes, expected: str) -> None:
        calls.append(raw)
        if len(calls) == 2:
            raise BlockRefused("made to fail")
        whole(raw, expected)

    monkeypatch.setattr(judge, "process", failing)
    with pytest.raises(BlockRefused, match="made to fail"):
        chain.reorg(3)
    monkeypatch.undo()
    assert (chain.tip(), chain.place(txid)) == (tip, place)
    check(chain)
    chain.mine()
    assert chain.reorg(3) == tip[0] + 2
    check(chain)
    chain.close()


def test_transactions_are_taken_while_the_engine_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = opened("btc")
    judge = chain._judge
    assert judge is not None
    whole, judging, done = judge.process, threading.Event(), threading.Event()

    def slow(raw: bytes, expected: str) -> None:
        judging.set()
        assert done.wait(30)
        whole(raw, expected)

    monkeypatch.setattr(judge, "process", slow)
    first = chain.pay(chain.fresh_address(), 50_000)
    miner = threading.Thread(target=chain.mine)
    miner.start()
    assert judging.wait(30)
    second = chain.pay(chain.fresh_address(), 50_000)
    assert chain.place(first) == chain.place(second) == Place(None, None)
    done.set()
    miner.join(30)
    assert chain.place(first) == Place(*chain.tip())
    assert chain.place(second) == Place(None, None)
    chain.close()


# Coming back


def keep(folder: Path, coin: str = "btc") -> UtxoChain:
    return UtxoChain.open(coin, RING, VirtualClock(), folder)


def test_an_engine_that_lost_its_folder_is_taught_again(tmp_path: Path) -> None:
    chain = keep(tmp_path)
    chain.pay(chain.fresh_address(), 50_000)
    chain.mine(3)
    chain.reorg(2)
    tip = chain.tip()
    chain.close()
    shutil.rmtree(tmp_path / "btc-engine")
    chain = keep(tmp_path)
    assert chain.tip() == tip
    chain.mine()
    check(chain)
    chain.close()


@pytest.mark.parametrize("depth", [0, 2])
def test_a_log_that_lags_follows_the_engine(tmp_path: Path, depth: int) -> None:
    chain = keep(tmp_path)
    chain.mine(2)
    chain.close()
    shutil.copy(tmp_path / "btc.blocks", tmp_path / "older")
    chain = keep(tmp_path)
    txid = chain.pay(chain.fresh_address(), 50_000)
    if depth:
        chain.reorg(depth)
    chain.mine(2)
    tip, place = chain.tip(), chain.place(txid)
    chain.close()
    shutil.move(tmp_path / "older", tmp_path / "btc.blocks")
    chain = keep(tmp_path)
    assert (chain.tip(), chain.place(txid)) == (tip, place)
    chain.mine()
    check(chain)
    chain.close()


def test_a_chain_answers_while_its_engine_catches_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = keep(tmp_path)
    txid = chain.pay(chain.fresh_address(), 50_000)
    tip = chain.tip()
    chain.close()
    shutil.rmtree(tmp_path / "btc-engine")  # as after a kill before it wrote anything down
    go_on = threading.Event()
    judged = kernel.Kernel.process

    def slow(*arguments: Any) -> None:
        assert go_on.wait(30)
        judged(*arguments)

    monkeypatch.setattr(kernel.Kernel, "process", slow)
    chain = keep(tmp_path)
    assert (chain.tip(), list(chain.mempool())) == (tip, [txid])
    more = chain.pay(chain.fresh_address(), 50_000)
    go_on.set()
    chain.mine()  # waits for the engine
    assert {tx.txid for tx in chain.block(chain.tip()[1]).txs} >= {txid, more}
    check(chain)
    chain.close()


def test_an_engine_that_cannot_catch_up_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = keep(tmp_path)
    tip = chain.tip()
    chain.close()
    shutil.rmtree(tmp_path / "btc-engine")

    def refuse(*_: object) -> None:
        raise BlockRefused("not by this engine")

    monkeypatch.setattr(kernel.Kernel, "process", refuse)
    chain = keep(tmp_path)
    with pytest.raises(ChainError, match="does not follow the block log: not by this engine"):
        chain.mine()
    assert chain.tip() == tip
    chain.close()


def full(*_: object) -> None:
    raise StoreError("database or disk is full")


@pytest.mark.parametrize("coin", COINS)
def test_what_the_log_has_no_room_for_does_not_wait(coin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = opened(coin)
    kind = KINDS[coin]
    parent = chain.pay_many([Output(own_key(chain, kind), 80_000)])
    spends = [Spend(Outpoint(parent, 0), 80_000, kind, SECRET)]
    first, better = (chain.format.sign(spends, [Output(own_key(chain, kind), left)]).raw for left in (78_000, 50_000))
    chain.broadcast(first)
    before = list(chain.mempool())
    page = [better] if chain.format.replaceable else []
    other = chain.format.sign(
        [Spend(Outpoint(to_tx(first).txid, 0), 78_000, kind, SECRET)], [Output(own_key(chain, kind), 60_000)]
    ).raw
    monkeypatch.setattr(chain._log, "wait", full)
    for act in (
        lambda: chain.pay(chain.fresh_address(), 50_000),
        lambda: chain.broadcast(other),
        lambda: chain.broadcast_all([other]),
        lambda: chain.broadcast_all([other, *page]),
    ):
        with pytest.raises(StoreError):
            act()
        assert list(chain.mempool()) == before
    monkeypatch.undo()
    chain.pay(chain.fresh_address(), 50_000)
    chain.broadcast(other)
    assert len(chain.mempool()) == len(before) + 2
    chain.mine()
    check(chain)
    chain.close()


@pytest.mark.parametrize("coin", COINS)
def test_a_block_that_the_log_has_no_room_for_is_made_up_for(coin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine has judged it by then, and stands ahead."""
    chain = opened(coin)
    txid, tip = chain.pay(chain.fresh_address(), 50_000), chain.tip()
    monkeypatch.setattr(chain._log, "append", full)
    for _ in range(2):
        with pytest.raises(StoreError):
            chain.mine()
        assert (chain.tip(), list(chain.mempool())) == (tip, [txid])
    monkeypatch.undo()
    chain.pay(chain.fresh_address(), 50_000)
    chain.mine()
    assert len(chain.mempool()) == 0 and chain.place(txid) is not None
    check(chain)
    chain.close()


@pytest.mark.parametrize("reopened", [False, True], ids=["goes on", "is opened again"])
@pytest.mark.parametrize("coin", COINS)
def test_a_reorganisation_that_the_log_has_no_room_for(
    tmp_path: Path, coin: str, reopened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = keep(tmp_path, coin)
    txid = chain.pay(chain.fresh_address(), 50_000)
    chain.mine(2)
    tip = chain.tip()
    monkeypatch.setattr(chain._log, "append", full)
    with pytest.raises(StoreError):
        chain.reorg(2)
    assert chain.tip() == tip
    monkeypatch.undo()
    if reopened:
        chain.close()
        chain = keep(tmp_path, coin)
    assert chain.place(txid) is not None
    chain.mine()
    assert chain.place(txid) is not None
    chain.mine()
    check(chain)
    assert len(chain.mempool()) == 0
    chain.close()


def test_a_damaged_log_is_reported(tmp_path: Path) -> None:
    chain = keep(tmp_path, "ltc")
    chain.close()
    log = BlockLog(tmp_path / "ltc.blocks", "ltc")
    log._connection.execute("UPDATE blocks SET raw = (SELECT raw FROM blocks WHERE height = 8) WHERE height = 9")
    log.close()
    (tmp_path / "ltc.snapshot").unlink()  # else it is found when it is read, and by the audit
    with pytest.raises(StoreError, match="damaged at height 9"):
        keep(tmp_path, "ltc")


LIFE = """
import sys
from pathlib import Path
from glasstumbler.clock import VirtualClock
from glasstumbler.chains.utxo_chain import UtxoChain
from tests.chains.forge import RING
chain = UtxoChain.open(sys.argv[1], RING, VirtualClock(), Path(sys.argv[2]))
number = 0
while True:
    print("tx", chain.pay(chain.fresh_address(), 50_000), flush=True)
    number += 1
    if number % 7 == 0:
        chain.mine()
        print("tip", *chain.tip(), flush=True)
    if number % 50 == 0:
        chain.reorg(2)
        print("tip", *chain.tip(), flush=True)
"""


@pytest.mark.parametrize("coin", COINS)
@pytest.mark.parametrize("lines", [3, 120, 333])
def test_a_killed_server_loses_nothing_that_it_showed(tmp_path: Path, coin: str, lines: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LIFE, coin, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert process.stdout is not None
    said = [process.stdout.readline().split() for _ in range(lines)]
    os.kill(process.pid, signal.SIGKILL)
    said += [line.split() for line in process.stdout.read().splitlines()]
    process.wait(10)
    chain = keep(tmp_path, coin)
    check(chain)
    last_tip = next((line for line in reversed(said) if line[0] == "tip" and len(line) == 3), None)
    if last_tip is not None:
        assert chain.tip()[0] >= int(last_tip[1])
        assert chain._log.find(last_tip[2]) is not None
    for line in said:
        if line[0] == "tx" and len(line) == 2 and len(line[1]) == 64:
            assert chain.place(line[1]) is not None
    chain.pay(chain.fresh_address(), 50_000)
    chain.mine()
    check(chain)
    chain.close()


@pytest.mark.parametrize("coin", COINS)
def test_whoever_dies_in_a_reorganisation_loses_no_transaction(
    tmp_path: Path, coin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = keep(tmp_path, coin)
    kind = KINDS[coin]
    txids = []
    for _ in range(12):
        parent = chain.pay_many([Output(own_key(chain, kind), 80_000)])
        signed = chain.format.sign(
            [Spend(Outpoint(parent, 0), 80_000, kind, SECRET)], [Output(own_key(chain, kind), 50_000)]
        )
        txids += [parent, chain.broadcast(signed.raw)]
    chain.mine(2)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(UtxoChain, "_refill_mempool", die)  # the branch stands in the log, the mempool does not
    with pytest.raises(KeyboardInterrupt):
        chain.reorg(2)
    chain.close()
    monkeypatch.undo()
    chain = keep(tmp_path, coin)
    assert set(chain.mempool()) == set(txids)
    check(chain)
    chain.mine()
    assert all(chain.place(txid) is not None for txid in txids)
    check(chain)
    chain.close()


def test_an_audit_reads_along_while_the_chain_runs(tmp_path: Path) -> None:
    chain = keep(tmp_path)
    chain.mine()
    code = (
        "import sys; from pathlib import Path; from glasstumbler.chains.blocklog import BlockLog;"
        "print([b.hash for b in BlockLog.read_only(Path(sys.argv[1]), 'btc').chain()][-1])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "btc.blocks")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == chain.tip()[1]
    chain.close()


# Long random runs


class Life:
    """Random payments, spends, conflicts, damaged bytes, blocks and reorganisations from one seed."""

    def __init__(self, coin: str, seed: int) -> None:
        self.chance = random.Random(seed)
        self.chain = opened(coin)
        self.kinds = self.chain.format.kinds
        self.own: list[Spend] = []
        self.taken = self.refused = 0

    def fund(self) -> None:
        kind = self.chance.choice(self.kinds)
        key = own_key(self.chain, kind)
        amounts = [self.chance.randrange(20_000, 10**7) for _ in range(self.chance.randrange(1, 6))]
        txid = self.chain.pay_many([Output(key, amount) for amount in amounts])
        self.own += [Spend(Outpoint(txid, v), a, kind, SECRET) for v, a in enumerate(amounts)]

    def spend(self) -> None:
        if not self.own:
            return
        spends = self.chance.sample(self.own, min(len(self.own), self.chance.randrange(1, 4)))
        if len({s.outpoint for s in spends}) < len(spends):
            return
        kind = self.chance.choice(self.kinds)
        fee = self.chance.choice((0, 300, 1500, 6000))
        have = sum(s.amount for s in spends) - fee + self.chance.choice((0,) * 9 + (1,))
        parts = self.chance.randrange(1, 4)
        amounts = [have // parts] * (parts - 1)
        amounts.append(have - sum(amounts))
        key = own_key(self.chain, kind)
        try:
            sequence = self.chance.choice((0xFFFFFFFD, 0xFFFFFFFF, 1))
            signed = self.chain.format.sign(spends, [Output(key, a) for a in amounts], sequence)
        except (TransactionRefused, OverflowError):
            return
        if self.send(signed.raw):
            self.own += [Spend(Outpoint(signed.txid, v), a, kind, SECRET) for v, a in enumerate(amounts)]
            if self.chance.random() < 0.7:
                self.own = [s for s in self.own if s not in spends]

    def damage(self) -> None:
        """A byte of something that waits, changed: whatever is taken must be mined."""
        waiting = self.chain.mempool()
        if not waiting:
            return
        tx = self.chain.transaction(self.chance.choice(list(waiting)))
        assert tx is not None
        raw = bytearray(tx.raw)
        raw[self.chance.randrange(len(raw))] ^= 1 << self.chance.randrange(8)
        self.send(bytes(raw))

    def send(self, raw: bytes) -> bool:
        try:
            self.chain.broadcast(raw)
        except TransactionRefused:
            self.refused += 1
            return False
        self.taken += 1
        return True

    def mine(self) -> None:
        before = self.chain.mempool()
        self.chain.mine()
        assert len(self.chain.mempool()) == 0
        assert all(self.chain.place(txid) is not None for txid in before)

    def reorganise(self) -> None:
        waiting = list(self.chain.mempool())
        self.chain.reorg(self.chance.randrange(1, 5), self.chance.sample(waiting, len(waiting) // 8))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("coin", COINS)
def test_what_the_mempool_takes_can_be_mined(coin: str, seed: int) -> None:
    life = Life(coin, seed)
    steps = [life.fund, life.spend, life.damage, life.mine, life.reorganise]
    for _ in range(250):
        life.chance.choices(steps, weights=(3, 12, 3, 2, 1))[0]()
    life.mine()
    check(life.chain)
    assert life.taken > 20 and life.refused > 20
    assert KINDS[coin] in life.kinds
    life.chain.close()
