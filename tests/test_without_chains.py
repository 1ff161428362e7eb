"""A laboratory that runs only some chains: what a service cannot do there it refuses in its own words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from glasstumbler.clock import VirtualClock
from glasstumbler.dialects.base import Request
from glasstumbler.engine.commands import OpenMix, Wish
from glasstumbler.errors import Unavailable
from glasstumbler.house import House
from glasstumbler.vault import Vault

SOMEONE = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"


@pytest.fixture
def house() -> Iterator[House]:
    made = House(None, Vault(bytes(32)), VirtualClock(), 7, {"lab": {"chains": ["ltc"], "rate_limits": "off"}})
    made.start()
    yield made
    made.close()


@pytest.mark.parametrize("slug", ["btcmix", "coinjoin", "whir"])
def test_a_service_none_of_whose_coins_runs_says_so(house: House, slug: str) -> None:
    command = OpenMix("btc", (Wish(SOMEONE, amount="0.01", field="payouts"),), fixed=True)
    with pytest.raises(Unavailable, match=r"none of this service's coins runs here"):
        asyncio.run(house.services[slug].answer(command, "customer"))


AMOUNTS = {"v2": {"btc_amount": "0.1"}, "v3": {"amount": "0.1", "amount_currency": "BTC"}}


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_the_swap_names_the_chains_it_lacks(house: House, version: str) -> None:
    body = AMOUNTS[version] | {"btc_dest_address": SOMEONE}
    path = f"/api/{version}/xmr2btc/order_create/"
    raw = json.dumps(body).encode()
    request = Request("POST", path, [], {"content-type": "application/json"}, raw, "127.0.0.1")
    said = asyncio.run(house.services["xmrto"].handle(request))
    assert said.status == 503
    assert json.loads(said.body)["error"] == "XMRTO-ERROR-001"
    assert "btc and xmr" in dict(said.headers)["x-glasstumbler-reason"]


def test_nothing_is_recorded_of_what_was_refused(house: House) -> None:
    before = house.store.read(lambda records: records.head())
    test_the_swap_names_the_chains_it_lacks(house, "v3")
    assert house.store.read(lambda records: records.head()) == before
