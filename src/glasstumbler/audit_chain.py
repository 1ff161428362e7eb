"""The wallets against the chains: what the blocks say our keys own, and what the record says.

Both are looked at as of the record's own place on each chain, so a laboratory that runs, or was killed, compares well:
what the chain has that the record has not yet taken in is left out. The blocks are read in stretches, by several
processes at once; then the wallets are compared with what all stretches have shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from sys import intern
from typing import Any, NamedTuple, Protocol

import msgspec

from glasstumbler.audit_blocks import Blocks, linked
from glasstumbler.audit_entries import Account, Findings
from glasstumbler.audit_payments import MINED, Payments
from glasstumbler.chains.base import Block, Format, Tx
from glasstumbler.chains.eth_format import TRANSFER_GAS, EthFormat, read_transfer
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.monero import MoneroFormat
from glasstumbler.engine import ledger
from glasstumbler.engine.coins import Coin
from glasstumbler.engine.desk import Deposit, DepositState
from glasstumbler.engine.payment import PaymentState
from glasstumbler.store.records import Records

COINS: Mapping[str, Format] = {**FORMATS, "eth": EthFormat(), "xmr": MoneroFormat()}
_UNMINED = (PaymentState.STORED, PaymentState.SENT)
_coin = msgspec.json.Decoder(Coin).decode
_deposit = msgspec.json.Decoder(Deposit).decode
Outpoint = tuple[str, int]
Held = tuple[int, int, str]
"""Amount, height, service."""
_NONE, _TOLD = 0, -1


class Shown(NamedTuple):
    """What a stretch of blocks shows of our keys."""

    held: dict[Any, Any]
    """`Held` by outpoint, where the stretch does not spend it itself; or what it adds to an account's balance."""
    open: list[tuple[str, int, list[Outpoint]]]
    """Transactions that spend what this stretch does not show: txid; number of the payment that it is, or that there is
    none, or that this was told; the outpoints. They are others', or of an earlier stretch."""


class Network(Protocol):
    """The Lightning network as the audit asks it."""

    def sendable(self, payer: str) -> int: ...
    def settled(self, key: str) -> int | None:
        """Fee in msat of the payment under this key, if it went through."""
        ...


class Stretch:
    """The blocks of one chain from `first` on; `names` are their hashes, that of the block before included."""

    def __init__(self, records: Records, coin: str, findings: Findings) -> None:
        self._records, self._coin, self._findings = records, coin, findings
        self._payments = Payments(records, COINS[coin], findings)
        self.mined: set[int] = set()
        """Numbers of our payments that the blocks hold."""

    def look(self, source: Blocks, first: int, names: Sequence[str]) -> Shown:
        """ChainError, or one of `DAMAGED`, if the chain or a document is not as it was written."""
        rows = self._records.rows("SELECT key, service FROM watch WHERE coin = ?", (self._coin,))
        ours = {key: intern(str(service)) for key, service in rows}
        blocks = self._remembered(linked(source, first, names))
        return (self._accounts if COINS[self._coin].one_to_one else self._outputs)(blocks, ours)

    def _remembered(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The blocks that the cursor remembers are those that it has passed."""
        remembered: dict[int, str] = dict(
            self._records.rows("SELECT height, hash FROM block WHERE coin = ?", (self._coin,))
        )
        for block in blocks:
            if remembered.get(block.height, block.hash) != block.hash:
                self._findings.add(
                    f"cursor {self._coin}: block {block.height} is {remembered[block.height]} in the record, "
                    f"and {block.hash} on the chain",
                    about=f"cursor {self._coin}",
                )
            yield block

    def _outputs(self, blocks: Iterable[Block], ours: Mapping[bytes, str]) -> Shown:
        """Where coins are outputs. A payment of ours is looked at where it stands; whether it spends what is ours is
        known at the end."""
        held: dict[Outpoint, Held] = {}
        open_: list[tuple[str, int, list[Outpoint]]] = []
        for block in blocks:
            payments = self._payments.among([tx.txid for tx in block.txs])
            for tx in block.txs:
                for vout, (key, amount) in enumerate(tx.outputs):
                    if key in ours:
                        held[tx.txid, vout] = amount, block.height, ours[key]
            for tx in block.txs:
                left = [(txid, vout) for txid, vout in tx.inputs if held.pop((txid, vout), None) is None]
                number = payments[tx.txid].number if tx.txid in payments else _NONE
                if len(left) < len(tx.inputs):
                    number = self._spends(tx.txid, number)
                if left:
                    open_.append((tx.txid, number, left))
            self._payments.check(block.height, [(payments[tx.txid], tx) for tx in block.txs if tx.txid in payments])
        return Shown(held, open_)

    def _spends(self, txid: str, number: int) -> int:
        """A transaction that spends ours is our payment."""
        return spends(self._coin, txid, number, self.mined, self._findings)

    def _accounts(self, blocks: Iterable[Block], ours: Mapping[bytes, str]) -> Shown:
        """Where coins are accounts."""
        balances: dict[str, int] = defaultdict(int)
        mine = {_account(key) for key in ours}
        for block in blocks:
            for tx in block.txs:
                for key, amount in tx.outputs:
                    if key in ours:
                        balances[_account(key)] += amount
            spending = {tx.txid: tx for tx in block.txs if tx.inputs[0].txid in mine}
            payments = self._payments.among(list(spending))
            for txid, tx in spending.items():
                balances[tx.inputs[0].txid] -= _cost(tx)
                self._spends(txid, payments[txid].number if txid in payments else _NONE)
            self._payments.check(
                block.height, [(payments[txid], tx) for txid, tx in spending.items() if txid in payments]
            )
        return Shown(dict(balances), [])


def spends(coin: str, txid: str, number: int, mined: set[int], findings: Findings) -> int:
    """What is known then of a transaction that spends ours: see `Shown.open`."""
    if number > 0:
        mined.add(number)
    elif number == _NONE:
        findings.add(f"{coin}: {txid} spends coins of ours and is no payment of ours")
        return _TOLD
    return number


class Wallets:
    """The services' keys on one chain."""

    def __init__(self, records: Records, coin: str, findings: Findings) -> None:
        self._records, self._coin, self._findings = records, coin, findings
        self._unmined = {payment.number: payment for payment in records.open_payments(coin, _UNMINED)}
        self.mined: set[int] = set()
        """Numbers of our payments that spend what an earlier stretch shows."""

    def compare(self, shown: Iterable[Shown]) -> None:
        """`shown`: by the stretches up to the record's place, in their order. One of `DAMAGED` if a document is not as
        it was written."""
        if COINS[self._coin].one_to_one:
            self._compare_accounts(shown)
        else:
            self._compare_outputs(shown)

    # -- coins that are outputs -----------------------------------------------------------------------------------

    def _compare_outputs(self, shown: Iterable[Shown]) -> None:
        held: dict[Outpoint, Held] = {}
        for stretch in shown:
            for txid, number, inputs in stretch.open:
                if [outpoint for outpoint in inputs if held.pop(outpoint, None) is not None]:
                    spends(self._coin, txid, number, self.mined, self._findings)
            held |= stretch.held
        for coin in self._there():
            self._compare(coin, held)
        self._explain(held)

    def _there(self) -> Iterator[Coin]:
        """Coins that the blocks should show: unspent, or spent by what no block holds."""
        sql = "SELECT coin, doc FROM coin WHERE spent_by IS NULL AND height IS NOT NULL"
        yield from (_coin(doc) for coin, doc in self._records.rows(sql) if coin == self._coin)
        reserved = self._records.coins([number for payment in self._unmined.values() for number in payment.coins])
        yield from (coin for coin in reserved.values() if coin.spent_by in self._unmined and coin.height is not None)

    def _compare(self, coin: Coin, held: dict[Outpoint, Held]) -> None:
        if not coin.booked:
            return
        seen = held.pop((coin.txid, coin.vout), None)
        if seen is None or seen != (coin.amount, coin.height, coin.service):
            self._findings.add(
                f"coin {coin.number} ({self._coin} {coin.txid}:{coin.vout}) is {coin.amount} in block {coin.height} "
                f"in the record; on the chain it is {'not there' if seen is None else 'another: ' + repr(seen)}",
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
        for outpoint, (amount, height, service) in left.items():
            deposit = waiting.get(outpoint)
            if deposit is None or (deposit.amount, deposit.height) != (amount, height):
                self._findings.add(
                    f"{service}: {self._coin} {outpoint[0]}:{outpoint[1]} holds {amount} since block {height}, and the "
                    "record has no coin for it",
                )

    # -- coins that are accounts ----------------------------------------------------------------------------------

    def _compare_accounts(self, shown: Iterable[Shown]) -> None:
        balances: dict[str, int] = defaultdict(int)
        for stretch in shown:
            for account, amount in stretch.held.items():
                balances[account] += amount
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

    # -- beyond the record's place --------------------------------------------------------------------------------

    def check_ahead(self, blocks: Iterable[Block]) -> None:
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
        if payment.state in MINED and payment.coin in COINS and payment.number not in mined:
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
