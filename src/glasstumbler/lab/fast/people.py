"""Where people are paid: addresses by number, whole arrays at once. Nobody has a key to any of them.

Of each coin the numbers below PAYOUTS times the orders belong to the orders' payouts: order n has PAYOUTS of them. The
economy's own addresses come behind.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import numpy as np
import numpy.typing as npt

from glasstumbler.lab.population import MOST_PAYOUTS, Ints, Population
from glasstumbler.lab.scenario import Coins, Services

PAYOUTS: Final = MOST_PAYOUTS
WORDS: Final = 4
Payloads = npt.NDArray[np.uint8]
"""(addresses, 8 * WORDS)"""
_SLUGS: Final = Services.__struct_fields__
_SWAP: Final = _SLUGS.index("xmrto")
_CODES: Final = _SLUGS.index("bestmixer")
COINS: Final = Coins.__struct_fields__


def payloads(numbers: Ints, coin: str, seed: int) -> Payloads:
    """What stands in the keys of these addresses. The first word is a permutation of the number, so no two are alike
    (splitmix64's finisher, Steele and others 2014)."""
    digest = sha256(f"{seed}/people of {coin}".encode()).digest()
    found = np.empty((len(numbers), WORDS), np.uint64)
    for word, start in enumerate(np.frombuffer(digest, "<u8").tolist()):
        x = numbers.astype(np.uint64) + np.uint64(start)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found[:, word] = x ^ (x >> np.uint64(31))
    return found.astype("<u8").view(np.uint8)


def payout_coins(people: Population) -> Ints:
    """Index of COINS, by order; -1 where a Lightning invoice is paid."""
    found = np.where(people.service == _CODES, people.coin, 0)
    found[people.lightning] = -1
    return found


def homes(people: Population) -> Ints:
    """By order: the number of the address where its customer was to be paid first in that coin."""
    coin = payout_coins(people)
    alone = -1 - np.arange(len(coin))  # an invoice is nobody's address
    which = np.where(coin < 0, alone, people.customer * len(COINS) + coin)
    _, first, group = np.unique(which, return_index=True, return_inverse=True)
    found: Ints = first[group] * PAYOUTS
    return found


def numbers(people: Population, at_home: Ints, order: Ints, place: Ints) -> Ints:
    """Of the addresses where these payouts of these orders go; `at_home`: `homes`."""
    found: Ints = np.where(people.reuse[order] & (place == 0), at_home[order], order * PAYOUTS + place)
    return found
