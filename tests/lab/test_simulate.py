"""A simulation: the same bytes again, also after a kill; the same ledger as over HTTP; clear errors."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from glasstumbler.errors import SettingsError, StoreError
from glasstumbler.house import House
from glasstumbler.lab import simulate as simulation
from glasstumbler.lab.door import Direct, Door, Mix, Opened, Swap
from glasstumbler.lab.driver import Driver, State
from glasstumbler.lab.hub import Hub
from glasstumbler.lab.population import population
from glasstumbler.lab.public import Public
from glasstumbler.lab.scenario import Scenario, read
from glasstumbler.lab.simulate import open_economies, open_house, simulate
from glasstumbler.money import parse, text
from glasstumbler.web.background import served
from tests.laboratory import small_floats

pytestmark = pytest.mark.timeout(900)
ORDERS = 60
FILE = """
volumes = [2000]
[services]
btcmix = 1
coinjoin = 1
whir = 1
bestmixer = 1
[economy]
people = 30
payments_a_day = 100
coinjoins_a_day = 12
coinjoin_people = 3
[reorgs]
every_blocks = 8
"""
SWAPS = """
chains = ["btc", "xmr", "lightning"]
volumes = [300]
[services]
xmrto = 2
whir = 1
bestmixer = 1
[funding]
one = 1
several = 1
late = 1
short = 1
excess = 1
[customers]
lightning = 20
[economy]
people = 10
payments_a_day = 20
"""


def scenario(text_: str = FILE) -> Scenario:
    tables = tomllib.loads(text_)
    chains = tables.get("chains", ["btc"])
    return read({**tables, "settings": small_floats(*chains)}, "test")


def files(folder: Path) -> dict[str, str]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of a run that nothing broke off."""
    out = tmp_path_factory.mktemp("simulated") / "out"
    simulate("test", scenario(), ORDERS, 3, out)
    return out


# -- same bytes -------------------------------------------------------------------------------------------------------

_CHILD = """
import sys
from pathlib import Path
from glasstumbler.lab.simulate import simulate
from tests.lab.test_simulate import ORDERS, scenario
simulate("test", scenario(), ORDERS, 3, Path(sys.argv[1]))
"""


def child(out: Path, hash_seed: str) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
    return subprocess.Popen([sys.executable, "-c", _CHILD, str(out)], env=environment, cwd=root)


def test_a_run_that_was_killed_goes_on_with_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = child(out, "7")
    try:
        while not list((out / ".run").glob("kept-*/state.json")):
            assert run.poll() is None, "it ended before its first checkpoint"
            time.sleep(0.02)
        time.sleep(0.3)  # into the stretch behind it
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert not (out / "manifest.json").exists()
    again = child(out, "8")
    assert again.wait(800) == 0
    assert files(out) == files(whole)


def test_another_seed_gives_other_bytes(whole: Path, tmp_path: Path) -> None:
    simulate("test", scenario(), 10, 4, tmp_path / "one")
    simulate("test", scenario(), 10, 5, tmp_path / "two")
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert one.keys() == two.keys() == files(whole).keys()
    assert one["answers/order.parquet"] != two["answers/order.parquet"]


# -- over HTTP --------------------------------------------------------------------------------------------------------


class OverHttp:
    """The requests that the documents show, through sockets."""

    def __init__(self, house: House, client: httpx.Client) -> None:
        self._house, self._hub = house, Hub(client)

    def mix(self, wanted: Mix) -> Opened:
        return (self._codes if wanted.service == "bestmixer" else self._bearer)(wanted)

    def _bearer(self, wanted: Mix) -> Opened:
        payouts: Any = list(wanted.addresses)
        if wanted.amounts:
            payouts = {a: text(units, "btc") for a, units in zip(wanted.addresses, wanted.amounts, strict=True)}
        body = {"delay": str(wanted.delays[0] // 3600), "payouts": payouts}
        headers = {"authorization": f"Bearer {self._house.vault.first_key(wanted.service)}"}
        made = self._hub.post(f"/{wanted.service}/api/createTransaction", body, headers)
        quote = parse(str(made["depositAmount"]), "btc") if wanted.amounts else None
        return Opened(made["id"], made["depositAddress"], quote, None)

    def _codes(self, wanted: Mix) -> Opened:
        assert wanted.fee_ppm is not None
        parts = [
            {"amount": Decimal(text(wanted.amounts[n], wanted.coin))}
            if wanted.amounts
            else {"percent": Decimal(wanted.shares[n]) / 10}
            for n in range(len(wanted.addresses))
        ]
        output = [
            {"address": address, "delay": delay // 60, **part}
            for address, delay, part in zip(wanted.addresses, wanted.delays, parts, strict=True)
        ]
        body: dict[str, Any] = {"api_key": self._house.vault.first_key("bestmixer"), "coin": wanted.coin}
        body |= {"fee": Decimal(wanted.fee_ppm) / 10_000, "output": output}
        body |= {"bm_code": wanted.code} if wanted.code else {}
        verb = "create_fixed" if wanted.amounts else "create"
        reply = self._hub.post(f"/bestmixer/api/ext/order/{verb}", body)
        assert reply["error"] is None, reply
        made = reply["data"]
        quote = parse(str(made["exactly_amount"]), wanted.coin) if wanted.amounts else None
        return Opened(made["order_id"], made["input_address"], quote, made["bm_code"])

    def swap(self, wanted: Swap) -> Opened:
        base = "/xmrto/api/v3/xmr2btc"
        if wanted.invoice:
            made = self._hub.post(f"{base}/order_create_ln/", {"ln_invoice": wanted.invoice}, status=201)
        else:
            body = {"btc_dest_address": wanted.address, "amount": text(wanted.sat, "btc"), "amount_currency": "BTC"}
            made = self._hub.post(f"{base}/order_create/", body, status=201)
        status = self._hub.post(f"{base}/order_status_query/", {"uuid": made["uuid"]})
        total = parse(str(status["incoming_amount_total"]), "xmr")
        return Opened(made["uuid"], status["receiving_subaddress"], total, None)

    def accept_partial(self, service: str, order: str) -> None:
        self._hub.post(f"/{service}/api/v3/xmr2btc/order_partial_payment/", {"uuid": order})

    def close(self) -> None:
        pass


def driven(house: House, door: Door, wanted: Scenario, orders: int) -> State:
    economies = open_economies(house, wanted, orders, 1)
    simulation.begin(house, economies)
    driver = Driver(house, door, wanted, population(wanted, orders, 1), economies, State())
    while not driver.done():
        driver.block()
    return driver.state


def ledger(house: House) -> list[Any]:
    return list(house.store.read(lambda records: list(records.entries())))


def test_a_scenario_over_http_and_one_without_give_the_same_ledger() -> None:
    wanted, orders = scenario(SWAPS), 40
    with closing(open_house(None, wanted, 1)) as house:
        house.start()
        with closing(Direct(house)) as door:
            direct = driven(house, door, wanted, orders)
        alone = ledger(house)
    with closing(open_house(None, wanted, 1)) as house:
        house.start()
        with (
            served(house, turning=False) as serving,
            httpx.Client(base_url=serving.url("hub"), timeout=60, trust_env=False) as client,
        ):
            sent = driven(house, OverHttp(house, client), wanted, orders)
        served_ = ledger(house)
    assert direct.placed == sent.placed == orders
    assert direct == sent
    assert alone == served_


# -- what is written --------------------------------------------------------------------------------------------------


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / f"{name}.parquet").to_pylist()
    return found


def manifest(folder: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found


def test_the_manifest_says_how_it_was_made(whole: Path) -> None:
    said = manifest(whole)
    assert (said["mode"], said["scenario"], said["orders"], said["seed"]) == ("signed", "test", ORDERS, 3)
    assert said["seed_is_for"] == "train"
    assert said["settings"]["volumes"] == [2000]
    assert not (whole / ".run").exists()


def test_most_orders_complete_and_coins_of_people_pay_them(whole: Path) -> None:
    states = [row["state"] for row in rows(whole, "answers/order")]
    assert len(states) == ORDERS - manifest(whole)["refused"]
    assert states.count("completed") > 0.8 * ORDERS
    owners = {row["address"] for row in rows(whole, "answers/owner")}
    outputs = {row["output"]: row for row in rows(whole, "observer/output")}
    spent = {row["tx"]: outputs[row["output"]]["address"] for row in rows(whole, "observer/input")}
    payers = [spent[outputs[row["deposit_output"]]["tx"]] for row in rows(whole, "answers/link")]
    assert sum(payer in owners for payer in payers) > 0.75 * len(payers)  # the faucet pays for who has too little


def test_owners_and_services_share_no_address(whole: Path) -> None:
    names = {row["address"]: row["name"] for row in rows(whole, "observer/address")}
    owners = {names[row["address"]] for row in rows(whole, "answers/owner")}
    assert owners
    assert not owners & {row["address"] for row in rows(whole, "answers/wallet_truth")}


def test_each_order_has_a_volume_and_a_period(whole: Path) -> None:
    found = rows(whole, "answers/split")
    assert [row["order_id"] for row in found] == [row["order_id"] for row in rows(whole, "answers/order")]
    assert {row["volume"] for row in found} == {2000}
    periods = [row["period"] for row in found]
    assert periods == sorted(periods, key=["train", "validation", "test"].index)
    assert abs(periods.count("train") / len(periods) - 0.6) < 0.05


def test_phases_of_a_sweep_are_told_apart(tmp_path: Path) -> None:
    wanted = scenario(FILE.replace("[2000]", "[200, 5000]"))
    simulate("sweep", wanted, 20, 1, tmp_path)
    volumes = [row["volume"] for row in rows(tmp_path, "answers/split")]
    assert volumes == [200] * 10 + [5000] * 10


def test_an_observer_of_swaps_has_the_prices(tmp_path: Path) -> None:
    simulate("swaps", scenario(SWAPS), 12, 1, tmp_path)
    prices = rows(tmp_path, "observer/price")
    at = {row["time"]: row["price"] for row in prices}
    swaps = [row for row in rows(tmp_path, "answers/order") if row["service"] == "xmrto"]
    assert swaps and len(at) == len(prices)
    for row in swaps:
        near = at[row["created"] - (row["created"] - prices[0]["time"]) % 600]
        assert abs(float(row["price"]) / near - 1) < 0.01
    Public(tmp_path / "observer")


def test_the_card_names_every_table_and_what_it_is_no_good_for(whole: Path) -> None:
    card = (whole / "DATASET.md").read_text()
    for name, entry in manifest(whole)["files"].items():
        assert f"| {name} | {entry['rows']:,} |" in card
    assert "says nothing of any live service" in card


# -- what cannot be ---------------------------------------------------------------------------------------------------


def test_numbers_that_cannot_be_are_refused(tmp_path: Path) -> None:
    for orders, seed in ((0, 1), (1_000_001, 1), (5, -1), (5, 1 << 63)):
        with pytest.raises(SettingsError, match="--orders goes from 1 to 1000000, --seed from 0"):
            simulate("test", scenario(), orders, seed, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_dataset_is_not_written_over(whole: Path) -> None:
    with pytest.raises(StoreError, match="holds a dataset already: use another folder"):
        simulate("test", scenario(), ORDERS, 3, whole)


def test_an_order_that_a_service_does_not_take_names_it(tmp_path: Path) -> None:
    wanted = scenario(FILE + '[amounts]\nbtc = ["0.0001", "0.0002"]\n')
    with pytest.raises(SettingsError, match=r"(btcmix|coinjoin|whir|bestmixer) refuses order \d of this scenario: "):
        simulate("test", wanted, 5, 1, tmp_path)


def test_more_money_than_the_faucet_has_names_the_fields(tmp_path: Path) -> None:
    wanted = scenario(FILE.replace("people = 30", 'people = 30\nfunds = "9000"'))
    with pytest.raises(SettingsError, match=r"\[economy\] funds, exchange_funds: all together are more btc"):
        simulate("test", wanted, 5, 1, tmp_path)


def test_another_run_does_not_go_on_with_this_one(tmp_path: Path) -> None:
    (tmp_path / ".run" / "kept-000001").mkdir(parents=True)
    kept = {"run": {"seed": 1, "orders": 7}, "stretch": 1, "state": {}, "economies": {}}
    (tmp_path / ".run" / "kept-000001" / "state.json").write_text(json.dumps(kept))
    with pytest.raises(SettingsError, match=r"holds another run that was broken off \(its .*orders.* differ\)"):
        simulate("test", scenario(), 5, 1, tmp_path)
