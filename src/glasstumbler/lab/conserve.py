"""Conservation: the gate that a dataset must pass before it is written. Every base unit is accounted for, or it fails.

Checked, on the very rows that will be written and on the record beside them:
- on chains of coins, every input spends an output that exists, once, for its amount; inputs are outputs and fee; a
  block issues no negative amount;
- every coin of a service's wallet stands on its chain with its amount, is spent there by the payment that the record
  names and by nothing else, and nothing on a chain pays to a service that the record does not know;
- an account holds what the record says (Ethereum);
- the ledger's account `coins` is the sum of the unspent coins of the wallet;
- the parts of every payout add up to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from glasstumbler.chains.base import Chain
from glasstumbler.engine import ledger
from glasstumbler.engine.coins import Coin
from glasstumbler.engine.payment import Payment, PaymentState
from glasstumbler.errors import RecordError
from glasstumbler.lab.observed import HIDDEN, Rows, blocks
from glasstumbler.store.records import Records, Watched

_MINED = frozenset((PaymentState.MINED, PaymentState.SETTLED))
Place = tuple[str, str, int]
"""(coin, txid, vout); Ethereum: the account and the nonce."""


def conserve(rows: Rows, records: Records, chains: Mapping[str, Chain]) -> None:
    """RecordError names the first thing that does not add up."""
    accounts = frozenset(coin for coin, chain in chains.items() if chain.format.one_to_one)
    open_chains = frozenset(chains) - HIDDEN
    spenders = _transactions(rows, open_chains - accounts)
    _Wallets(records, rows, spenders).check(chains, accounts)
    _ledger(records)
    _links(rows["link"])


# -- chains -----------------------------------------------------------------------------------------------------------


def _transactions(rows: Rows, coins: frozenset[str]) -> dict[Place, str]:
    """Txid of the spender of every output that is spent."""
    created = {
        (row["coin"], row["txid"], row["vout"]): int(row["amount"]) for row in rows["output"] if row["coin"] in coins
    }
    spenders: dict[Place, str] = {}
    balance: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows["input"]:
        place = (row["coin"], row["spent_txid"], row["spent_vout"])
        if place in spenders:
            raise RecordError(None, f"{_name(place)} is spent twice: by {spenders[place]} and by {row['txid']}")
        spenders[place] = row["txid"]
        if row["coin"] in coins and created.get(place) != row["amount"]:
            raise RecordError(None, f"{row['txid']} spends {row['amount']} of {_name(place)}: {created.get(place)}")
        balance[row["coin"], row["txid"]] += row["amount"]
    for row in rows["output"]:
        balance[row["coin"], row["txid"]] -= row["amount"] or 0
    for row in rows["tx"]:
        left = balance[row["coin"], row["txid"]]
        if not row["coinbase"] and row["coin"] not in HIDDEN and (left != row["fee"] or left < 0):
            raise RecordError(
                None, f"{row['coin']} {row['txid']}: inputs less outputs are {left}, its fee {row['fee']}"
            )
    for row in rows["block"]:
        if row["issued"] is not None and row["issued"] < 0:
            raise RecordError(None, f"{row['coin']} block {row['height']} issues {row['issued']}")
    return spenders


def _name(place: Place) -> str:
    return f"{place[0]} {place[1]}:{place[2]}"


# -- wallets ----------------------------------------------------------------------------------------------------------


class _Wallets:
    def __init__(self, records: Records, rows: Rows, spenders: Mapping[Place, str]) -> None:
        self._coins: dict[Place, Coin] = {(coin.coin, coin.txid, coin.vout): coin for coin in records.all_coins()}
        self._payments: dict[int, Payment] = {payment.number: payment for payment in records.all_payments()}
        self._deposits = {(d.coin, d.txid, d.vout) for d in records.all_deposits()}
        self._watched: dict[tuple[str, bytes], Watched] = {(w.coin, w.key): w for w in records.all_watched()}
        self._rows, self._spenders = rows, spenders

    def check(self, chains: Mapping[str, Chain], accounts: frozenset[str]) -> None:
        for coin, chain in chains.items():
            if coin in accounts:
                self._accounts(chain)
            else:
                self._outputs(chain)
        for place, coin_ in self._coins.items():
            self._spent(place, coin_)

    def _outputs(self, chain: Chain) -> None:
        """Wallet and chain, output by output, both ways."""
        mined: dict[Place, int] = {}
        for block in blocks(chain):
            for tx in block.txs:
                for vout, output in enumerate(tx.outputs):
                    if (chain.coin, output.key) in self._watched:
                        mined[chain.coin, tx.txid, vout] = output.amount
        for place, amount in mined.items():
            coin = self._coins.get(place)
            if coin is None and place not in self._deposits:
                raise RecordError(None, f"{_name(place)} pays to a service, and the record does not know it")
            if coin is not None and coin.amount != amount:
                raise RecordError(None, f"{_name(place)} holds {amount}; the record says {coin.amount}")
        for place, coin in self._coins.items():
            if place[0] == chain.coin and coin.booked and coin.height is not None and place not in mined:
                raise RecordError(None, f"{_name(place)} is in the wallet of {coin.service} and not on its chain")

    def _accounts(self, chain: Chain) -> None:
        """What came into an account less what it sent is what its last coin holds, once everything is mined."""
        held: dict[str, int] = defaultdict(int)
        for row in self._rows["output"]:
            if row["coin"] == chain.coin and row["address"] is not None:
                held[row["address"].lower()] += row["amount"]
        for row in self._rows["input"]:
            if row["coin"] == chain.coin:
                held[row["spent_txid"]] -= row["amount"]
        last: dict[str, Coin] = {}
        for coin in self._coins.values():
            if coin.coin == chain.coin and (coin.txid not in last or coin.vout > last[coin.txid].vout):
                last[coin.txid] = coin
        for address, coin in last.items():
            settled = coin.height is not None and coin.booked
            if settled and held[address] != coin.amount:
                raise RecordError(None, f"{chain.coin} {address} holds {held[address]}; the record says {coin.amount}")

    def _spent(self, place: Place, coin: Coin) -> None:
        """The chain's spender of a coin is the record's."""
        payment = None if coin.spent_by is None else self._payments[coin.spent_by]
        mined = payment.txid if payment is not None and payment.state in _MINED else None
        if coin.coin not in HIDDEN and self._spenders.get(place) != mined:
            raise RecordError(None, f"{_name(place)} is spent by {self._spenders.get(place)}; the record says {mined}")


# -- record -----------------------------------------------------------------------------------------------------------


def _ledger(records: Records) -> None:
    booked: dict[tuple[str, str], int] = defaultdict(int)
    for _, raw, _ in records.entries():
        entry = ledger.read(raw)
        for account, coin, amount in entry.postings:
            if account == ledger.COINS:
                booked[entry.service, coin] += amount
    held: dict[tuple[str, str], int] = defaultdict(int)
    for each in records.all_coins():
        if each.booked and each.spent_by is None:
            held[each.service, each.coin] += each.amount
    for service, coin in sorted({*booked, *held}):
        if booked[service, coin] != held[service, coin]:
            raise RecordError(
                None, f"{service} has {held[service, coin]} {coin} in coins; its ledger says {booked[service, coin]}"
            )


def _links(rows: list[dict[str, Any]]) -> None:
    given: dict[tuple[str, str, int], int] = defaultdict(int)
    wanted: dict[tuple[str, str, int], int] = {}
    for row in rows:
        key = (row["service"], row["order_id"], row["place"])
        given[key] += row["amount"]
        wanted[key] = row["payout_amount"]
    for key, amount in wanted.items():
        if given[key] != amount:
            raise RecordError(None, f"the parts of payout {key} add up to {given[key]}, not to {amount}")
