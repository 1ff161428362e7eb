"""The fast mode: the same orders, ledger and links as the signed one; the same bytes from any number of processes."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
import yaml

from glasstumbler.engine import ledger
from glasstumbler.errors import DatasetError, SettingsError, StoreError
from glasstumbler.house import House
from glasstumbler.lab import simulate as simulation
from glasstumbler.lab import truth
from glasstumbler.lab.door import Direct
from glasstumbler.lab.driver import Driver, State
from glasstumbler.lab.exports.formats import export
from glasstumbler.lab.fast import parts, shard
from glasstumbler.lab.fast.run import simulate as simulate_fast
from glasstumbler.lab.population import population
from glasstumbler.lab.public import Public
from glasstumbler.lab.scenario import Scenario, load, read
from glasstumbler.lab.simulate import open_economies, open_house, simulate
from glasstumbler.lab.tasks import Dataset
from glasstumbler.store.records import Records
from tests.lab.test_export_elliptic import process
from tests.lab.test_simulate import files

pytestmark = pytest.mark.timeout(900)
ORDERS, SEED = 70, 5
SERVICES = ("bestmixer", "btcmix", "coinjoin", "whir", "xmrto")
FILE = """
chains = ["btc", "bch", "eth", "xmr", "lightning"]
volumes = [2000, 3000]
[services]
bestmixer = 3
btcmix = 1
coinjoin = 1
whir = 1
xmrto = 2
[coins]
btc = 3
bch = 1
eth = 1
[customers]
lightning = 20
most_delay_hours = 2
reuse = 30
[funding]
one = 4
several = 2
late = 1
short = 1
excess = 1
[economy]
people = 20
payments_a_day = 300
"""


OFFERED = {"bestmixer": ("btc", "bch", "eth"), **dict.fromkeys(("btcmix", "coinjoin", "whir", "xmrto"), ("btc",))}
FILE += "".join(
    f"[settings.{slug}.coins.{coin}]\nfloat_pieces = 6\n" for slug, coins in OFFERED.items() for coin in coins
)
FILE += "".join(f"[settings.{slug}]\nexpiry = 7200\n" for slug in OFFERED if slug != "xmrto")


def scenario() -> Scenario:
    return read(tomllib.loads(FILE), "test")


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fast") / "out"
    simulate_fast("test", scenario(), ORDERS, SEED, out)
    return out


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("signed") / "out"
    simulate("test", scenario(), ORDERS, SEED, out)
    return out


def table(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / f"{name}.parquet")


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found


# -- against the signed mode ------------------------------------------------------------------------------------------


def test_both_modes_give_the_same_orders(fast: Path, signed: Path) -> None:
    """But for the address of the deposit, and for an order that still waited for its deposit when its service's last
    order was done: a signed run goes on for all services together, so that it may have expired by then."""
    ours, theirs = (table(folder, "answers/order").drop("deposit_address") for folder in (fast, signed))
    waits = ours["state"].is_in(["awaiting", "underpaid"])
    assert ours.filter(~waits).equals(theirs.filter(~waits))
    moving = ["state", "updated"]
    assert ours.filter(waits).drop(moving).equals(theirs.filter(waits).drop(moving))
    assert len(ours) == ORDERS
    assert set(ours["state"]) >= {"completed", "expired"}
    assert table(fast, "answers/split").equals(table(signed, "answers/split"))


def test_both_modes_give_the_same_links(fast: Path, signed: Path) -> None:
    """Who paid for which payout how much, the delays, the fees and the hops in custody; numbers of outputs and heights
    of blocks belong to each chain. Deposits of one order that were first seen in one minute share by their txids."""
    keys = ["service", "order_id", "place"]
    drop = ["deposit_output", "payout_output", "payout_height"]
    ours, theirs = (table(folder, "answers/link").drop(drop).sort([*keys, "amount"]) for folder in (fast, signed))
    off = (ours["amount"].cast(pl.Int128) - theirs["amount"].cast(pl.Int128)).abs()
    assert off.max() <= 1
    assert ours.drop("amount").equals(theirs.drop("amount"))
    assert ours["payout_coin"].n_unique() == 4
    assert table(fast, "answers/link")["payout_output"].null_count() == ours["payment_hash"].count()


def test_both_modes_have_the_same_policies_and_prices(fast: Path, signed: Path) -> None:
    keys = ["service", "coin"]
    assert table(fast, "answers/service_policy").sort(keys).equals(table(signed, "answers/service_policy").sort(keys))
    ours, theirs = table(fast, "observer/price"), table(signed, "observer/price")
    both = min(len(ours), len(theirs))
    assert ours[:both].equals(theirs[:both])


def test_both_modes_write_the_same_ledger() -> None:
    """Each service's entries, until its last order is done: kind, time, order, every posting. What names a transaction
    or the digest of a document (`docs`, `detail`) belongs to each chain, as do heights. Orders go by public names."""
    wanted, orders = scenario(), 45  # one stretch: a run in one piece has but one
    with closing(open_house(None, wanted, SEED)) as house:
        house.start()
        driven(house, wanted, orders)
        with house.store.snapshot() as records:
            alone = entries(records)
    for slug in SERVICES:
        with shard.opened(slug, wanted, SEED) as house:
            end = house.clock.now() + shard.drive(slug, wanted, orders, SEED, house).state.elapsed
            with house.store.snapshot() as records:
                mine = [entry for entry in entries(records) if entry[1] == slug]
        theirs = [entry for entry in alone if entry[1] == slug and entry[2] <= end]
        assert len(mine) > 30
        assert sorted(mine, key=repr) == sorted(theirs, key=repr), slug
        times = [entry[2] for entry in mine]
        assert times == [entry[2] for entry in theirs] == sorted(times)


def driven(house: House, wanted: Scenario, orders: int) -> None:
    economies = open_economies(house, wanted, orders, SEED)
    simulation.begin(house, economies)
    with closing(Direct(house)) as door:
        driver = Driver(house, door, wanted, population(wanted, orders, SEED), economies, State())
        while not driver.done():
            driver.block()


def entries(records: Records) -> list[tuple[Any, ...]]:
    """(kind, service, time, order, postings)"""
    names = {order.number: order.id for order in records.all_orders()}

    def named(account: str) -> str:
        kind, _, number = account.partition(":")
        return f"order:{names[int(number)]}" if kind == "order" else account

    found = []
    for _, raw, _ in records.entries():
        entry = ledger.read(raw)
        postings = sorted((named(account), coin, amount) for account, coin, amount in entry.postings)
        found.append((entry.kind, entry.service, entry.at, names.get(entry.order or 0), postings))
    return found


@pytest.mark.parametrize(("slug", "kinds"), [("btcmix", 4), ("coinjoin", 3), ("bestmixer", 1)])
def test_compiled_walks_find_what_a_walk_finds(slug: str, kinds: int) -> None:
    """With few coins, orders are paid with what other orders have left, many hops deep; bestmixer's code keeps its
    customers from their own."""
    tables = tomllib.loads(FILE.replace("most_delay_hours = 2", "most_delay_hours = 12"))
    few = {coin: {"float_pieces": 2} for coin in ("btc", "bch", "eth") if slug == "bestmixer" or coin == "btc"}
    wanted = read({**tables, "settings": {slug: {"coins": few, "selection": "smallest"}}}, "test")
    with shard.opened(slug, wanted, SEED) as house:
        driven_ = shard.drive(slug, wanted, 300, SEED, house)
        found = shard.leave(driven_, slug).tables["link"].select(["order_id", "place", "hops_between", "truncated"])
        with house.store.snapshot() as records:
            wanted_ = [(each.order, each.output, each.hops, each.truncated) for each in truth.links(records)]
    rows = {(row["order_id"], row["place"]): (row["hops_between"], row["truncated"]) for row in found.to_pylist()}
    assert rows == {(order, place): (hops, truncated) for order, place, hops, truncated in wanted_}
    assert len({hops for hops, _ in rows.values()}) >= kinds


# -- the same bytes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [2, 3])
def test_any_number_of_processes_gives_the_same_bytes(fast: Path, tmp_path: Path, processes: int) -> None:
    simulate_fast("test", scenario(), ORDERS, SEED, tmp_path / "out", processes)
    assert files(tmp_path / "out") == files(fast)


def test_a_run_goes_on_with_the_services_that_are_done(fast: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        simulate_fast("test", scenario(), ORDERS, SEED, out, show=_Interrupting(("bestmixer", "xmrto"), out))
    assert (out / ".run" / "bestmixer").exists() and not (out / "manifest.json").exists()
    with pytest.raises(SettingsError, match=r"holds another run that was broken off \(its seed differ\)"):
        simulate_fast("test", scenario(), ORDERS, SEED + 1, out)
    with pytest.raises(SettingsError, match=r"holds another run that was broken off \(its mode differ\)"):
        simulate("test", scenario(), ORDERS, SEED, out)
    simulate_fast("test", scenario(), ORDERS, SEED, out)
    assert files(out) == files(fast)


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    file, out = tmp_path / "test.toml", tmp_path / "out"
    file.write_text(FILE)
    command = [
        sys.executable,
        "-m",
        "glasstumbler",
        "simulate",
        str(file),
        "--orders",
        "400",
        "--seed",
        str(SEED),
    ]
    command += ["--out", str(out), "--mode", "fast", "--processes", "1"]  # so that others are left when one is done
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list((out / ".run").glob("*.part")) and run.poll() is None:
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert said.strip().endswith(f"glasstumbler: stopped; the same command goes on with what {out} keeps")
    assert "Traceback" not in said
    subprocess.run(command, check=True, timeout=600, stdout=subprocess.DEVNULL)
    refused = json.loads((out / "manifest.json").read_text())["refused"]  # a service that has no coins just then
    assert len(table(out, "answers/order")) + refused == 400


def test_a_process_that_is_killed_is_named(tmp_path: Path) -> None:
    def kill(placed: int) -> None:
        for child in multiprocessing.active_children():
            child.kill()

    with pytest.raises(StoreError, match="ended with code -9, perhaps for want of memory: the same command goes on"):
        parts.make(("whir", "xmrto"), scenario(), 30, SEED, tmp_path, 2, kill)


class _Interrupting:
    """Ctrl-C, as soon as these services are done and the next one has begun."""

    def __init__(self, done: tuple[str, ...], out: Path) -> None:
        self._done, self._out = done, out

    def __call__(self, what: str, placed: int, orders: int) -> None:
        if all((self._out / ".run" / slug).exists() for slug in self._done):
            raise KeyboardInterrupt


# -- what is written --------------------------------------------------------------------------------------------------


def test_the_manifest_and_the_card_say_that_nothing_is_signed(fast: Path) -> None:
    said = manifest(fast)
    assert said["mode"] == "fast"
    assert "carry no signatures" in said["mode_means"]
    assert {chain["network"] for chain in said["chains"].values()} == {"unsigned"}
    assert said["models"] == ["btc", "bch", "eth", "xmr", "lightning"]
    assert said["mode_means"] in (fast / "DATASET.md").read_text()
    assert not (fast / ".run").exists()


def test_the_record_of_each_service_is_whole(fast: Path) -> None:
    """Its entries chain up to the hash that the manifest names, and each balances."""
    for slug, said in manifest(fast)["record"].items():
        path = fast / said["file"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == said["sha256"]
        with pa.CompressedInputStream(str(path), "zstd") as stream:
            lines = stream.read().splitlines()
        link = ledger.GENESIS_HASH
        for number, raw in enumerate(lines, 1):
            link = ledger.link(link, number, raw)
            entry = ledger.read(raw)
            ledger.check(entry)
            assert entry.service in (slug, ledger.LAB)
        assert (len(lines), link.hex()) == (said["entries"], said["head"])


def test_the_dataset_is_read_like_any_other(fast: Path) -> None:
    found = Dataset(fast)
    public = Public(fast / "observer")
    assert public.coins == ("btc", "bch", "eth", "xmr")
    graph = public.graph("btc")
    own = ~graph.coinbase
    brought = [graph.paid_in[graph.first_input[tx] : graph.first_input[tx + 1]].sum() for tx in range(graph.txs)]
    paid = [graph.amount[graph.first_output[tx] : graph.first_output[tx + 1]].sum() for tx in range(graph.txs)]
    assert [brought[tx] - paid[tx] for tx in range(graph.txs) if own[tx]] == graph.fee[own].tolist()
    assert len(found.links) and len(found.wallets)


def test_a_payout_stands_where_the_link_says(fast: Path) -> None:
    """On the chain with that amount, paid in that block by the service; the deposit at the order's address."""
    outputs, txs = table(fast, "observer/output"), table(fast, "observer/tx")
    names = table(fast, "observer/address").select("coin", "address", "name")
    seen = outputs.join(txs.select("coin", "tx", "height"), on=["coin", "tx"]).join(names, on=["coin", "address"])
    links = table(fast, "answers/link").filter(pl.col("payout_output").is_not_null())
    paid = links.join(
        seen, left_on=["payout_coin", "payout_output"], right_on=["coin", "output"], how="left", suffix="_seen"
    )
    assert (paid["payout_amount"] == paid["amount_seen"]).all()
    assert (paid["payout_height"] == paid["height"]).all()
    orders = table(fast, "answers/order").select("service", "order_id", "deposit_address")
    deposits = links.filter(pl.col("deposit_coin") != "xmr").join(
        seen, left_on=["deposit_coin", "deposit_output"], right_on=["coin", "output"], how="left"
    )
    told = deposits.join(orders, on=["service", "order_id"])
    assert len(told) and (told["name"] == told["deposit_address"]).all()


def test_services_spend_their_own_coins_only(fast: Path) -> None:
    """Every hop's coin is an output at one of the service's addresses, spent by the transaction that the hop names."""
    hops = table(fast, "answers/hop").filter(pl.col("output").is_not_null())
    names = table(fast, "observer/address").select("coin", "address", "name")
    outputs = table(fast, "observer/output").join(names, on=["coin", "address"]).rename({"amount": "there"})
    held = hops.join(outputs.drop("tx"), on=["coin", "output"])
    wallets = table(fast, "answers/wallet_truth").rename({"address": "name", "service": "whose"})
    held = held.join(wallets.select("coin", "name", "whose"), on=["coin", "name"])
    assert len(held) == len(hops) > 50
    assert (held["whose"] == held["service"]).all() and (held["there"] == held["amount"]).all()
    spent = hops.join(table(fast, "observer/input"), on=["coin", "output"], suffix="_by")
    assert len(spent) == len(hops) and (spent["tx"] == spent["tx_by"]).all()


def test_customers_own_what_they_were_paid_and_pay_their_deposits(fast: Path) -> None:
    owner = table(fast, "answers/owner").filter(pl.col("role") == "customer").select("coin", "address")
    outputs = table(fast, "observer/output")
    links = table(fast, "answers/link").filter(pl.col("payout_coin") == "btc").select("payout_output").unique()
    paid = outputs.filter(pl.col("coin") == "btc").join(links, left_on="output", right_on="payout_output")
    assert len(paid.join(owner, on=["coin", "address"])) == len(paid) > 20
    deposits = table(fast, "answers/link").filter(pl.col("deposit_coin") == "btc").select("deposit_output").unique()
    txs = outputs.filter(pl.col("coin") == "btc").join(deposits, left_on="output", right_on="deposit_output")["tx"]
    inputs = table(fast, "observer/input").filter((pl.col("coin") == "btc") & pl.col("tx").is_in(txs.to_list()))
    payers = inputs.join(outputs.select("coin", "output", "address"), on=["coin", "output"])
    assert len(payers.join(owner, on=["coin", "address"])) > 0.7 * len(payers)


# -- the record in memory ---------------------------------------------------------------------------------------------


def test_every_document_is_as_the_record_last_named_it() -> None:
    """Documents live in memory as objects: one that was changed and not saved would differ from its last digest."""
    import msgspec

    with shard.opened("xmrto", scenario(), SEED) as house:
        shard.drive("xmrto", scenario(), ORDERS, SEED, house)
        with house.store.snapshot() as records:
            named = {
                (kind, key): digest for _, raw, _ in records.entries() for kind, key, digest in ledger.read(raw).docs
            }
            documents = [("order", str(each.number), each) for each in records.all_orders()]
            documents += [("coin", str(each.number), each) for each in records.all_coins()]
            documents += [("payment", str(each.number), each) for each in records.all_payments()]
            documents += [("deposit", f"{each.coin}:{each.txid}:{each.vout}", each) for each in records.all_deposits()]
            assert len(documents) > 60
            for kind, key, each in documents:
                assert named[kind, key] == ledger.digest(msgspec.json.encode(each)), (kind, key)


def test_services_without_orders_have_their_first_coins_only(tmp_path: Path) -> None:
    simulate_fast("alone", read({"services": {"whir": 1}, "economy": {"coins": []}}, "test"), 12, 1, tmp_path)
    assert set(table(tmp_path, "answers/order")["service"]) == {"whir"}
    wallets = table(tmp_path, "answers/wallet_truth").filter(pl.col("service") != "whir")
    assert set(wallets["branch"]) == {"float"} and wallets["service"].n_unique() == 4
    assert not (tmp_path / "answers" / "owner.parquet").exists()


def test_the_faucet_has_enough_for_first_coins_that_take_several_of_its_own(tmp_path: Path) -> None:
    """One large float takes several coins, which the first ones of many people were meant to come from."""
    simulate_fast("swaps", load("swaps"), 400, 1, tmp_path)
    assert table(tmp_path, "answers/order").height == 400


# -- what cannot be ---------------------------------------------------------------------------------------------------


def test_what_the_fast_mode_does_not_do_is_named(tmp_path: Path) -> None:
    wanted = read({**tomllib.loads(FILE), "reorgs": {"every_blocks": 5}}, "test")
    with pytest.raises(SettingsError, match=r"\[reorgs\] every_blocks: --mode fast makes no reorganisations"):
        simulate_fast("test", wanted, 5, 1, tmp_path)
    with pytest.raises(SettingsError, match="--processes is 1 or more"):
        simulate_fast("test", scenario(), 5, 1, tmp_path, 0)


def test_an_order_that_a_service_does_not_take_is_named_by_a_process_too(tmp_path: Path) -> None:
    wanted = read(tomllib.loads(FILE + '[amounts]\nbtc = ["0.0001", "0.0002"]\n'), "test")
    with pytest.raises(SettingsError, match=r"(btcmix|coinjoin|whir|bestmixer) refuses order \d+ of this scenario: "):
        simulate_fast("test", wanted, 20, 1, tmp_path, 2)


# -- given away -------------------------------------------------------------------------------------------------------


def test_a_dataset_without_signatures_is_given_away_but_for_its_blocks(fast: Path, tmp_path: Path) -> None:
    for form in ("elliptic", "amlworld", "tagpack"):
        export(fast, form, tmp_path / form)
    coins = {path.name for path in (tmp_path / "elliptic").iterdir() if path.is_dir()}
    txs = table(fast, "observer/tx")
    for coin in coins:
        raw = tmp_path / "elliptic" / coin / "raw"
        found = process(raw)
        assert len(found.x) == len(txs.filter(coin=coin))
        assert found.edge_index.max() < len(found.x)
    assert coins == {"btc", "bch", "ltc"} & set(txs["coin"])
    services = set(table(fast, "answers/wallet_truth")["service"])
    packs = [yaml.safe_load(path.read_text()) for path in (tmp_path / "tagpack").rglob("*.yaml")]
    assert packs and all(pack["tags"] for pack in packs)
    accounts = pl.read_csv(tmp_path / "amlworld" / "test_accounts.csv", infer_schema=False)
    assert {f"service {service}" for service in services} <= set(accounts["Entity Name"])
    with pytest.raises(DatasetError, match="has no raw blocks; `simulate --mode signed` keeps them") as refused:
        export(fast, "blk", tmp_path / "blk")
    assert "\n" not in str(refused.value) and not (tmp_path / "blk").exists()
