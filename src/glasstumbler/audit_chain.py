"""The wallets against the chains: what the blocks say our keys own, and what the record says.

Both are looked at as of the record's own place on each chain, so a laboratory that runs, or was killed, compares well:
what the chain has that the record has not yet taken in is left out.
"""

from __future__ import annotations

from base64 import b32encode
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

import msgspec

from glasstumbler.audit_blocks import Blocks, beyond, up_to
from glasstumbler.audit_entries import Account, Findings
from glasstumbler.chains.base import Block, Format, Tx
from glasstumbler.chains.eth_format import TRANSFER_GAS, EthFormat, read_transfer
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.monero import MoneroFormat
from glasstumbler.engine import ledger
from glasstumbler.engine.coins import Coin
from glasstumbler.engine.desk import Deposit, DepositState
from glasstumbler.engine.order import Order
from glasstumbler.engine.payment import Payment, PaymentState
from glasstumbler.store.records import Records
from glasstumbler.turn import Arrival, arrivals

COINS: Mapping[str, Format] = {**FORMATS, "eth": EthFormat(), "xmr": MoneroFormat()}
_MINED = frozenset((PaymentState.MINED, PaymentState.SETTLED))
_UNMINED = (PaymentState.STORED, PaymentState.SENT)
_WITNESS_20 = b"\x00\x14"
"""How the script begins of an address that is a key's hash (BIP 141)."""
_BECH32 = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"qpzry9x8gf2tvdw0s3jn54khce6mua7l")
_CHECK = 6
_coin = msgspec.json.Decoder(Coin).decode
_deposit = msgspec.json.Decoder(Deposit).decode
Outpoint = tuple[str, int]


class Network(Protocol):
    """The Lightning network as the audit asks it."""

    def sendable(self, payer: str) -> int: ...
    def settled(self, key: str) -> int | None:
        """Fee in msat of the payment under this key, if it went through."""
        ...


class Held(NamedTuple):
    amount: int
    height: int
    service: str


class Wallets:
    """The services' keys on one chain."""

    def __init__(self, records: Records, coin: str, findings: Findings) -> None:
        self._records, self._coin, self._findings = records, coin, findings
        self._format = COINS[coin]
        self._unmined = {payment.number: payment for payment in records.open_payments(coin, _UNMINED)}
        self.mined: set[int] = set()
        """Numbers of our payments that the blocks hold."""

    def check(self, source: Blocks, tip: tuple[int, str]) -> None:
        """`tip`: the chain's, taken before the record was looked at. ChainError, or one of `DAMAGED`, if the chain or
        a document is not as it was written."""
        height, block_hash = self._records.cursor(self._coin) or (0, "")
        blocks = self._remembered(up_to(source, height, block_hash))
        if self._format.one_to_one:
            self._check_accounts(blocks)
        else:
            self._check_outputs(blocks)
        self._check_ahead(beyond(source, height, block_hash, tip))

    def _remembered(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The blocks that the cursor remembers are those that it has passed."""
        sql = "SELECT coin, height, hash FROM block"
        remembered = {height: name for coin, height, name in self._records.rows(sql) if coin == self._coin}
        for block in blocks:
            if remembered.get(block.height, block.hash) != block.hash:
                self._findings.add(
                    f"cursor {self._coin}: block {block.height} is {remembered[block.height]} in the record, "
                    f"and {block.hash} on the chain",
                    about=f"cursor {self._coin}",
                )
            yield block

    def _check_ahead(self, blocks: Iterable[Block]) -> None:
        """A payment is stored before it is sent. So a transaction that spends ours and is not stored says that the
        record was put back to an earlier state."""
        rows = self._records.rows(f"SELECT txid, vout FROM coin WHERE coin = '{self._coin}'")
        ours: frozenset[Outpoint] | None = None
        for block in blocks:
            if ours is None:
                ours = frozenset((txid, vout) for txid, vout in rows)
            spending = [
                tx.txid for tx in block.txs if not ours.isdisjoint((each.txid, each.vout) for each in tx.inputs)
            ]
            known = {payment.txid for payment in self._records.payments_in(self._coin, spending)} if spending else ()
            for txid in spending:
                if txid not in known:
                    self._findings.add(
                        f"{self._coin}: {txid} in block {block.height} spends coins of ours and the record has no such "
                        "payment: it was put back to an earlier state"
                    )

    # -- payments -------------------------------------------------------------------------------------------------

    def _check_payments(self, block: Block, spending: Mapping[str, Tx]) -> None:
        """Transactions that spend ours are our payments, each output where and what the order wants."""
        known = {payment.txid: payment for payment in self._records.payments_in(self._coin, list(spending))}
        orders = self._records.orders_by_number({c.order for payment in known.values() for c in payment.carried})
        for txid, tx in spending.items():
            payment = known.get(txid)
            if payment is None:
                self._findings.add(f"{self._coin}: {txid} spends coins of ours and is no payment of ours")
                continue
            self.mined.add(payment.number)
            about = f"payment {payment.number}"
            if payment.state not in _MINED or payment.height != block.height:
                self._findings.add(
                    f"{about} is {payment.state} at {payment.height}; the chain has it in block {block.height}",
                    about=about,
                )
            self._check_carried(payment, tx, orders, about)

    def _check_carried(self, payment: Payment, tx: Tx, orders: Mapping[int, Order], about: str) -> None:
        for each in payment.carried:
            if each.order not in orders or each.output >= len(orders[each.order].outputs):
                self._findings.add(f"{about} pays order {each.order}, which is not there", about=about)
                continue
            output = orders[each.order].outputs[each.output]
            if output.payment != payment.number:
                self._findings.add(
                    f"order {each.order}, output {each.output}: {about} and payment {output.payment}", about=about
                )
            key, amount = tx.outputs[each.vout]
            if amount != output.amount or not self._is_at(output.address, key):
                self._findings.add(f"{about} pays another thing than order {each.order} wants", about=about)

    def _is_at(self, address: str, key: bytes) -> bool:
        """Whether the address names this key. Most are of one form, and for those the text is compared: 1 us in place
        of 20. The address's check digits, which the desk looked at, are left out then."""
        if (
            key[:2] == _WITNESS_20
            and address[-_CHECK - 33 : -_CHECK] == "q" + b32encode(key[2:]).translate(_BECH32).decode()
        ):
            return True
        return self._format.key(address) == key

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
        for coin in self._there():
            self._compare(coin, held)
        self._explain(held)

    def _there(self) -> Iterator[Coin]:
        """Coins that the blocks should show: unspent, or spent by what no block holds."""
        sql = f"SELECT doc FROM coin WHERE coin = '{self._coin}' AND spent_by IS NULL AND height IS NOT NULL"
        yield from (_coin(row[0]) for row in self._records.rows(sql))
        reserved = self._records.coins([number for payment in self._unmined.values() for number in payment.coins])
        yield from (coin for coin in reserved.values() if coin.spent_by in self._unmined and coin.height is not None)

    def _arrivals(self, block: Block) -> list[Arrival]:
        return arrivals(self._records, self._coin, block.txs, block.height)

    def _compare(self, coin: Coin, held: dict[Outpoint, Held]) -> None:
        if not coin.booked:
            return
        seen = held.pop((coin.txid, coin.vout), None)
        if seen is None or seen != (coin.amount, coin.height, coin.service):
            self._findings.add(
                f"coin {coin.number} ({self._coin} {coin.txid}:{coin.vout}) is {coin.amount} in block {coin.height} "
                f"in the record; on the chain it is {'not there' if seen is None else seen}",
                about=f"coin {coin.number}",
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
                    f"{self._coin} account {account} has {expected.get(account, 0)} in the record and "
                    f"{balances.get(account, 0)} on the chain",
                    about=f"coin {number[account]}" if account in number else None,
                )

    def _recorded_accounts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Balances that the blocks should show, and the number of each account's coin."""
        expected: dict[str, int] = defaultdict(int)
        number: dict[str, int] = {}
        sql = f"SELECT doc FROM coin WHERE coin = '{self._coin}' AND spent_by IS NULL"
        for coin in (_coin(row[0]) for row in self._records.rows(sql)):
            if coin.booked:
                expected[coin.txid] += coin.amount
                number[coin.txid] = coin.number
        for payment in self._unmined.values():
            transfer = read_transfer(bytes.fromhex(payment.raw))
            expected[payment.inputs[0][0]] += transfer.value + payment.fee
            if not payment.carried:  # from account to account
                expected[_account(transfer.to)] -= transfer.value
        sql = f"SELECT doc FROM deposit WHERE coin = '{self._coin}' AND (height IS NOT NULL) <> (state = 'credited')"
        for deposit in (_deposit(row[0]) for row in self._records.rows(sql)):
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


def check_mined(records: Records, expected: Mapping[str, int], mined: set[int], findings: Findings) -> None:
    """Payments that the record holds to be in a block are in one."""
    if sum(count for coin, count in expected.items() if coin in COINS) == len(mined):
        return
    for payment in records.all_payments():
        if payment.state in _MINED and payment.coin in COINS and payment.number not in mined:
            about = f"payment {payment.number}"
            findings.add(f"{about} ({payment.coin} {payment.txid}) is in no block", about=about)


def check_channels(records: Records, network: Network, accounts: Mapping[Account, int], findings: Findings) -> None:
    """What the Lightning nodes can send is what the ledger says, less what is under way."""
    balances = {service: amount for (service, name, _), amount in accounts.items() if name == ledger.CHANNEL}
    for payment in records.open_payments("msat", (PaymentState.STORED,)):
        fee = network.settled(payment.txid)
        balances[payment.service] += -fee if fee is not None else sum(each.amount for each in payment.carried)
    for service, balance in balances.items():
        if network.sendable(service) != balance:
            findings.add(
                f"{service}: {balance} msat in channels, and {network.sendable(service)} on the Lightning network"
            )
