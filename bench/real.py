"""2,000 open orders at each of the five services on real nodes, and blocks with 1,000 deposits in each coin.

Measured: from the moment at which a block is on its node to the last credited deposit (watch, turn and store). The
deposits wait in the mempool before, or are seen in the block first. Nodes, chains and record are on the disk.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.five import addresses_of
from glasstumbler.chains.base import Output
from glasstumbler.clock import RealClock
from glasstumbler.dialects.base import Request
from glasstumbler.engine.order import Order
from glasstumbler.house import House
from glasstumbler.vault import Vault

ORDERS, DEPOSITS, GOAL_SECONDS = 2_000, 1_000, 3.0
_MORE = {"bestmixer": 2}
"""Times ORDERS, so that each of its four coins has DEPOSITS."""
_BEARERS = ("btcmix", "coinjoin", "whir")
_TOGETHER = 200
_OUTPUTS = 100
"""In one transaction of the faucet's."""
_BLOCKS_FOR_MONERO = 60
"""Until the coinbases that the faucet pays from are old enough."""


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="glasstumbler-bench-") as folder:
        started = time.perf_counter()
        tables: dict[str, Any] = {"lab": {"rate_limits": "off"}, "xmrto": {"expiry": 24 * 3600}}
        with closing(House(Path(folder), Vault(b"r" * 32), RealClock(), 1, tables, nodes="real")) as house:
            house.start()
            print(f"  nodes, channels and floats stand after {time.perf_counter() - started:.0f} s", flush=True)
            orders = _open(house)
            rows = [_block(house, coin, orders[coin]) for coin in house.chains]
    return _report(rows)


# -- orders -----------------------------------------------------------------------------------------------------------


def _open(house: House) -> dict[str, list[Order]]:
    """ORDERS of each service, by the coin of their deposits."""
    started = time.perf_counter()
    for slug in house.services:
        asked = itertools.islice(_requests(house, slug), ORDERS * _MORE.get(slug, 1))
        while batch := list(itertools.islice(asked, _TOGETHER)):
            asyncio.run(_send(house, slug, batch))
    orders = house.store.read(lambda records: list(records.all_orders()))
    print(f"  {len(orders)} orders are open after {time.perf_counter() - started:.0f} s more", flush=True)
    return {coin: [order for order in orders if order.coin == coin] for coin in house.chains}


async def _send(house: House, slug: str, batch: list[Request]) -> None:
    for response in await asyncio.gather(*(house.services[slug].handle(each) for each in batch)):
        if response.status >= 400:
            raise RuntimeError(f"{slug}: {response.body.decode()}")


def _requests(house: House, slug: str) -> Iterator[Request]:
    headers = {"content-type": "application/json"}
    if slug in _BEARERS:
        headers["authorization"] = f"Bearer {house.vault.first_key(slug)}"
    for path, body in _bodies(house, slug):
        yield Request("POST", path, [], headers, json.dumps(body).encode(), "127.0.0.1")


def _bodies(house: House, slug: str) -> Iterator[tuple[str, dict[str, Any]]]:
    to = {coin: itertools.cycle(addresses_of(coin)) for coin in ("btc", "bch", "ltc", "eth")}
    for coin in itertools.cycle(to):
        if slug in _BEARERS:
            yield "/api/createTransaction", {"delay": "24", "payouts": {next(to["btc"]): "0.01"}}
        elif slug == "xmrto":
            wanted = {"btc_dest_address": next(to["btc"]), "amount": "0.001", "amount_currency": "BTC"}
            yield "/api/v3/xmr2btc/order_create/", wanted
        else:
            output = [{"address": next(to[coin]), "percent": 100, "delay": 1440}]
            key = house.vault.first_key(slug)
            yield "/api/ext/order/create", {"api_key": key, "coin": coin, "fee": 4, "output": output}


# -- blocks -----------------------------------------------------------------------------------------------------------


def _block(house: House, coin: str, orders: list[Order]) -> dict[str, Any]:
    chain = house.chains[coin]
    paid = orders[:DEPOSITS] if len(orders) >= DEPOSITS else orders
    if coin == "xmr":
        chain.mine(_BLOCKS_FOR_MONERO)
        house.turn()
    outputs = [Output(chain.format.key(order.address), order.terms.quote or order.terms.minimum) for order in paid]
    for first in range(0, len(outputs), _OUTPUTS):
        chain.pay_many(outputs[first : first + _OUTPUTS])
    seen = _timed(house.turn)
    mined = _timed(lambda: chain.mine(1))
    credited = _timed(house.turn)
    now = house.store.read(lambda records: records.orders_by_number([order.number for order in paid]))
    if missing := sum(not order.credited for order in now.values()):
        raise RuntimeError(f"{missing} deposits of {coin} were not credited")
    print(
        f"  {coin}: {len(paid)} deposits, seen {seen:.2f} s, mined {mined:.2f} s, credited {credited:.2f} s", flush=True
    )
    return {"coin": coin, "deposits": len(paid), "seen": seen, "mined": mined, "credited": credited}


def _timed(work: Any) -> float:
    started = time.perf_counter()
    work()
    return round(time.perf_counter() - started, 3)


def _report(rows: list[dict[str, Any]]) -> dict[str, Any]:
    slowest = max(row["credited"] for row in rows)
    print(
        f"  slowest {slowest:.2f} s; goal {GOAL_SECONDS} s: {'reached' if slowest <= GOAL_SECONDS else 'NOT reached'}"
    )
    return {"orders_per_service": ORDERS, "blocks": rows}
