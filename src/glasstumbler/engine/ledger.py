"""Double entry, append-only, hash-chained: the record of everything that happened.

An entry says what happened (`kind`), to whom, which amounts moved between which accounts, and the digest of every
document (order, deposit, coin, payment, key, code, place on a chain, fact) that it changed. Amounts are signed integers
of base units; an entry's postings add to zero in every coin. The hash of entry n covers n, its body and the hash of
entry n-1.

Accounts of a service (assets +, liabilities -):
  coins             what its keys control on chain, `channel` in Lightning
  order:<number>    owed to an order's customer; zero when the order is done
  unowed:<why>      received, owed to nobody: late, short, excess, repeat, stray, failed, partial
  income:service, income:network, referral:<code>, expense:miner
  exchange          the swap's other side, in both coins
  float             the coins that the laboratory gave the service to begin with
  loss:reorganised  paid for with a deposit that the chain took back
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import msgspec

from glasstumbler.errors import RecordError

COINS, CHANNEL, FLOAT, EXCHANGE = "coins", "channel", "float", "exchange"
FEE, NETWORK, MINER, LOSS = "income:service", "income:network", "expense:miner", "loss:reorganised"
LATE, SHORT, EXCESS, REPEAT, STRAY, UNPAID = (
    "unowed:late",
    "unowed:short",
    "unowed:excess",
    "unowed:repeat",
    "unowed:stray",
    "unowed:failed",
)
GENESIS_HASH = bytes(32)
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What reading an entry or a document raises if its bytes are not as they were written."""
LAB = "lab"
"""Stands for the service in entries of the laboratory as a whole: blocks taken in, time that passed."""


class Posting(NamedTuple):
    account: str
    coin: str
    amount: int


class Entry(msgspec.Struct, omit_defaults=True):
    kind: str
    at: int
    service: str
    order: int | None = None
    postings: list[Posting] = []
    docs: list[tuple[str, str, str]] = []
    """(table, key, digest) of each document changed."""
    detail: dict[str, Any] | None = None


def owed(number: int) -> str:
    return f"order:{number}"


def referral(code: str) -> str:
    return f"referral:{code}"


def move(coin: str, *legs: tuple[str, int]) -> list[Posting]:
    """Postings in one coin; legs of nothing are left out."""
    return [Posting(account, coin, amount) for account, amount in legs if amount]


def check(entry: Entry) -> None:
    """RecordError unless the postings add to zero in each coin."""
    sums: dict[str, int] = {}
    for _, coin, amount in entry.postings:
        sums[coin] = sums.get(coin, 0) + amount
    for coin, amount in sums.items():
        if amount:
            raise RecordError(None, f"entry {entry.kind} is out of balance by {amount} {coin}")


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)


def body(entry: Entry) -> bytes:
    return _encoder.encode(entry)


def read(raw: bytes) -> Entry:
    return _decoder.decode(raw)


def link(previous: bytes, number: int, raw: bytes) -> bytes:
    """The hash of entry `number`."""
    return hashlib.sha256(previous + number.to_bytes(8, "big") + raw).digest()


def digest(document: bytes) -> str:
    return hashlib.blake2b(document, digest_size=16).hexdigest()
