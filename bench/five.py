"""Orders at all five services: what is sent, and where the deposit goes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bench.line import request
from glasstumbler.chains.eth_format import EthFormat
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.keys import KeyRing
from glasstumbler.services import SERVICES

_POOL = 2_000
"""Addresses of each coin that payouts go to, in turn."""
_FEES = {"btc": 1.5, "bch": 3.5, "ltc": 3.5, "eth": 3.5}
_DEPOSITS = {"btc": "0.05", "bch": "0.5", "ltc": "0.5", "eth": "0.2"}


class Deposit(NamedTuple):
    coin: str
    address: str
    amount: str


class Kind(NamedTuple):
    """Orders of one service. `deposit` reads the answer; None: another question tells (`status` asks it)."""

    service: str
    ask: Callable[[], tuple[bytes, str]]
    """The request, and the coin that is asked for."""
    deposit: Callable[[dict[str, Any], str], Deposit | None]
    status: Callable[[dict[str, Any]], bytes] | None = None


def kinds(keys: dict[str, str]) -> dict[str, Kind]:
    """By service. `keys`: the services' API keys."""
    addresses = {coin: itertools.cycle(addresses_of(coin)) for coin in _FEES}
    coins = itertools.cycle(_FEES)

    def mix(service: str) -> tuple[bytes, str]:
        payouts = {next(addresses["btc"]): "0.01", next(addresses["btc"]): "0.02"}
        body = json.dumps({"delay": "0", "payouts": payouts}).encode()
        return request("/api/createTransaction", body, f"Authorization: Bearer {keys[service]}\r\n"), "btc"

    def code() -> tuple[bytes, str]:
        coin = next(coins)
        output = [{"address": next(addresses[coin]), "percent": 100, "delay": 0}]
        body = {"api_key": keys["bestmixer"], "coin": coin, "fee": _FEES[coin], "output": output}
        return request("/api/ext/order/create", json.dumps(body).encode()), coin

    def swap() -> tuple[bytes, str]:
        body = {"btc_dest_address": next(addresses["btc"]), "amount": "0.01", "amount_currency": "BTC"}
        return request("/api/v3/xmr2btc/order_create/", json.dumps(body).encode()), "xmr"

    def status(made: dict[str, Any]) -> bytes:
        return request("/api/v3/xmr2btc/order_status_query/", json.dumps({"uuid": made["uuid"]}).encode())

    def code_deposit(made: dict[str, Any], coin: str) -> Deposit | None:
        return Deposit(coin, made["data"]["input_address"], _DEPOSITS[coin])

    def swap_deposit(made: dict[str, Any], coin: str) -> Deposit | None:
        if "receiving_subaddress" not in made:
            return None
        return Deposit(coin, made["receiving_subaddress"], str(made["remaining_amount_incoming"]))

    def mix_deposit(made: dict[str, Any], coin: str) -> Deposit | None:
        return Deposit(coin, made["depositAddress"], str(made["depositAmount"]))

    found = {slug: Kind(slug, lambda slug=slug: mix(slug), mix_deposit) for slug in ("btcmix", "coinjoin", "whir")}
    found["bestmixer"] = Kind("bestmixer", code, code_deposit)
    found["xmrto"] = Kind("xmrto", swap, swap_deposit, status)
    return {slug: found[slug] for slug in SERVICES}


def addresses_of(coin: str) -> Iterator[str]:
    ring, form = KeyRing(bytes(32)), FORMATS.get(coin) or EthFormat()
    for number in range(_POOL):
        yield form.address(form.own_key(form.kinds[0], ring.secret(coin, "customers", "lab", number)))
