"""The wallets against the chains: what the blocks say our keys own, and what the record says.

Both are looked at as of the record's own place on each chain, so a laboratory that runs, or was killed, compares well:
what the chain has that the record has not yet taken in is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from glasstumbler.audit_record import Book, Findings
from glasstumbler.chains import blocks as utxo_blocks
from glasstumbler.chains import eth, monero
from glasstumbler.chains.base import Block, Format, Tx
from glasstumbler.chains.blocklog import BlockLog
from glasstumbler.chains.eth_format import TRANSFER_GAS, EthFormat, read_transfer
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.monero import MoneroFormat
from glasstumbler.engine import ledger
from glasstumbler.engine.coins import Coin
from glasstumbler.engine.desk import DepositState
from glasstumbler.engine.payment import Payment, PaymentState
from glasstumbler.errors import ChainError
from glasstumbler.store.records import Records
from glasstumbler.turn import Arrival, arrivals

COINS: Mapping[str, Format] = {**FORMATS, "eth": EthFormat(), "xmr": MoneroFormat()}
_MINED = frozenset((PaymentState.MINED, PaymentState.SETTLED))
_UNMINED = (PaymentState.STORED, PaymentState.SENT)
Outpoint = tuple[str, int]


class Blocks(Protocol):
    """Blocks of one chain, active and stale: any `Chain`, or its log."""

    def block_hash(self, height: int) -> str | None: ...
    def block(self, block_hash: str) -> Block: ...


class Network(Protocol):
    """The Lightning network as the audit asks it."""

    def sendable(self, payer: str) -> int: ...
    def settled(self, key: str) -> int | None:
        """Fee in msat of the payment under this key, if it went through."""
        ...


class LoggedBlocks:
    """The log of a chain that may be running in another process."""

    def __init__(self, log: BlockLog, coin: str) -> None:
        self._log, self._coin = log, coin
        self._decode: Callable[[bytes], Block] | None = _DECODERS.get(coin)

    def block_hash(self, height: int) -> str | None:
        return self._log.hash_at(height)

    def block(self, block_hash: str) -> Block:
        logged = self._log.find(block_hash)
        if logged is None:
            raise ChainError(f"the {self._coin} chain has no block {block_hash}, which the record has taken in")
        if self._decode is not None:
            return self._decode(logged.raw)
        header, txs = utxo_blocks.parse_block(logged.raw)
        return Block(logged.height, logged.hash, logged.previous, header.time, txs)


_DECODERS: Mapping[str, Callable[[bytes], Block]] = {"eth": eth.read_block, "xmr": monero.read_block}


def up_to(source: Blocks, height: int, block_hash: str) -> Iterator[Block]:
    """The chain that ends in this block, from the first block on, even if a reorganisation has taken its end out."""
    fork, branch = (height, block_hash), list[str]()
    while source.block_hash(fork[0]) != fork[1]:
        branch.append(fork[1])
        fork = (fork[0] - 1, source.block(fork[1]).previous)
    trunk = [source.block_hash(number) for number in range(fork[0] + 1)]
    if trunk and trunk[-1] != fork[1]:  # reorganised while we looked
        yield from up_to(source, height, block_hash)
        return
    for name in [*trunk, *reversed(branch)]:
        if name is None:
            raise ChainError("the chain grew shorter while it was read")
        yield source.block(name)


class Held(NamedTuple):
    amount: int
    height: int
    service: str


class Wallets:
    """The services' keys on one chain."""

    def __init__(self, records: Records, coin: str, book: Book, findings: Findings) -> None:
        self._records, self._coin, self._book, self._findings = records, coin, book, findings
        self._format = COINS[coin]
        self._unmined = {payment.number for payment in records.open_payments(coin, _UNMINED)}
        self.mined: set[int] = set()
        """Numbers of our payments that the blocks hold."""

    def check(self, blocks: Iterable[Block]) -> None:
        if self._format.one_to_one:
            self._check_accounts(blocks)
        else:
            self._check_outputs(blocks)

    # -- payments -------------------------------------------------------------------------------------------------

    def _check_payments(self, block: Block, spending: Mapping[str, Tx]) -> None:
        """Transactions that spend ours are our payments, each output where and what the order wants."""
        known = {payment.txid: payment for payment in self._records.payments_in(self._coin, list(spending))}
        for txid, tx in spending.items():
            payment = known.get(txid)
            if payment is None:
                self._findings.add(None, f"{self._coin}: {txid} spends coins of ours and is no payment of ours")
                continue
            self.mined.add(payment.number)
            number = self._book.number_of(f"payment {payment.number}")
            if payment.state not in _MINED or payment.height != block.height:
                self._findings.add(
                    number,
                    f"payment {payment.number} is {payment.state} at {payment.height}; "
                    f"the chain has it in block {block.height}",
                )
            self._check_carried(payment, tx, number)

    def _check_carried(self, payment: Payment, tx: Tx, number: int | None) -> None:
        orders = self._records.orders_by_number({each.order for each in payment.carried})
        for each in payment.carried:
            if each.order not in orders or each.output >= len(orders[each.order].outputs):
                self._findings.add(number, f"payment {payment.number} pays order {each.order}, which is not there")
                continue
            output = orders[each.order].outputs[each.output]
            if output.payment != payment.number:
                self._findings.add(
                    number, f"order {each.order}, output {each.output}: payments {payment.number} and {output.payment}"
                )
            if tx.outputs[each.vout] != (self._format.key(output.address), output.amount):
                self._findings.add(number, f"payment {payment.number} pays another thing than order {each.order} wants")

    # -- coins that are outputs -----------------------------------------------------------------------------------

    def _check_outputs(self, blocks: Iterable[Block]) -> None:
        held: dict[Outpoint, Held] = {}
        for block in blocks:
            for arrival in self._arrivals(block):
                held[arrival.txid, arrival.vout] = Held(arrival.amount, block.height, arrival.watched.service)
            spending = {
                tx.txid: tx
                for tx in block.txs
                if [outpoint for outpoint in tx.inputs if held.pop((outpoint.txid, outpoint.vout), None) is not None]
            }
            if spending:
                self._check_payments(block, spending)
        for coin in self._records.all_coins():
            if coin.coin == self._coin:
                self._compare(coin, held)
        self._explain(held)

    def _arrivals(self, block: Block) -> list[Arrival]:
        return arrivals(self._records, self._coin, block.txs, block.height)

    def _compare(self, coin: Coin, held: dict[Outpoint, Held]) -> None:
        there = coin.booked and coin.height is not None and (coin.spent_by is None or coin.spent_by in self._unmined)
        if not there:
            return
        seen = held.pop((coin.txid, coin.vout), None)
        if seen is None or seen != (coin.amount, coin.height, coin.service):
            self._findings.add(
                self._book.number_of(f"coin {coin.number}"),
                f"coin {coin.number} ({self._coin} {coin.txid}:{coin.vout}) is {coin.amount} in block {coin.height} "
                f"in the record; on the chain it is {'not there' if seen is None else seen}",
            )

    def _explain(self, left: Mapping[Outpoint, Held]) -> None:
        """What the keys hold besides coins are deposits that still want confirmations."""
        txids = {txid for txid, _ in left}
        waiting = {
            (d.txid, d.vout): d
            for d in (self._records.deposits_in(self._coin, txids) if txids else ())
            if d.state is DepositState.SEEN and d.height is not None
        }
        for outpoint, seen in left.items():
            deposit = waiting.get(outpoint)
            if deposit is None or (deposit.amount, deposit.height) != seen[:2]:
                self._findings.add(
                    None,
                    f"{seen.service}: {self._coin} {outpoint[0]}:{outpoint[1]} holds {seen.amount} since block "
                    f"{seen.height}, and the record has no coin for it",
                )

    # -- coins that are accounts ----------------------------------------------------------------------------------

    def _check_accounts(self, blocks: Iterable[Block]) -> None:
        balances: dict[str, int] = defaultdict(int)
        for block in blocks:
            for arrival in self._arrivals(block):
                balances[_account(arrival.watched.key)] += arrival.amount
            senders = {tx.inputs[0].txid for tx in block.txs}
            ours = self._records.watched(self._coin, [bytes.fromhex(sender[2:]) for sender in senders])
            mine = {_account(key) for key in ours}
            spending = {tx.txid: tx for tx in block.txs if tx.inputs[0].txid in mine}
            for tx in spending.values():
                balances[tx.inputs[0].txid] -= _cost(tx)
            if spending:
                self._check_payments(block, spending)
        self._compare_accounts(balances)

    def _compare_accounts(self, balances: Mapping[str, int]) -> None:
        expected, number = self._recorded_accounts()
        for account in sorted({*balances, *expected}):
            if balances.get(account, 0) != expected.get(account, 0):
                self._findings.add(
                    self._book.number_of(f"coin {number[account]}") if account in number else None,
                    f"{self._coin} account {account} has {expected.get(account, 0)} in the record and "
                    f"{balances.get(account, 0)} on the chain",
                )

    def _recorded_accounts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Balances that the blocks should show, and the number of each account's coin."""
        expected: dict[str, int] = defaultdict(int)
        number: dict[str, int] = {}
        for coin in self._records.all_coins():
            if coin.coin == self._coin and coin.booked and coin.spent_by is None:
                expected[coin.txid] += coin.amount
                number[coin.txid] = coin.number
        for payment in self._records.open_payments(self._coin, _UNMINED):
            transfer = read_transfer(bytes.fromhex(payment.raw))
            expected[payment.inputs[0][0]] += transfer.value + payment.fee
            if not payment.carried:  # from account to account
                expected[_account(transfer.to)] -= transfer.value
        for deposit in self._records.all_deposits():
            if deposit.coin != self._coin:
                continue
            mined = deposit.height is not None
            if mined is not (deposit.state is DepositState.CREDITED):
                address = self._records.order_by_number(deposit.order).address.lower()
                expected[address] += (
                    deposit.amount if mined else -deposit.amount * (deposit.state is DepositState.CREDITED)
                )
        return expected, number


def _account(key: bytes) -> str:
    return "0x" + key.hex()


def _cost(tx: Tx) -> int:
    """What a transfer of ours takes from its account: it offers one price, so the base fee does not change it."""
    transfer = read_transfer(tx.raw)
    return transfer.value + TRANSFER_GAS * min(transfer.max_fee, transfer.priority_fee)


def check_mined(records: Records, expected: Mapping[str, int], mined: set[int], findings: Findings, book: Book) -> None:
    """Payments that the record holds to be in a block are in one."""
    if sum(count for coin, count in expected.items() if coin in COINS) == len(mined):
        return
    for payment in records.all_payments():
        if payment.state in _MINED and payment.coin in COINS and payment.number not in mined:
            findings.add(
                book.number_of(f"payment {payment.number}"),
                f"payment {payment.number} ({payment.coin} {payment.txid}) is in no block",
            )


def check_channels(records: Records, network: Network, book: Book, findings: Findings) -> None:
    """What the Lightning nodes can send is what the ledger says, less what is under way."""
    balances = {a.service: amount for a, amount in book.balances.items() if a.name == ledger.CHANNEL}
    for payment in records.open_payments("msat", (PaymentState.STORED,)):
        fee = network.settled(payment.txid)
        balances[payment.service] += -fee if fee is not None else sum(each.amount for each in payment.carried)
    for service, balance in balances.items():
        if network.sendable(service) != balance:
            findings.add(
                None, f"{service}: {balance} msat in channels, and {network.sendable(service)} on the Lightning network"
            )
