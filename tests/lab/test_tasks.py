"""A dataset's tasks: what is told agrees with the chains, what is true with the answer key, row by row."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from glasstumbler.errors import DatasetError
from glasstumbler.lab import tasks
from glasstumbler.lab.tasks import Dataset, Split
from tests.lab.conftest import rows_of


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return Dataset(folder)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def everyone(dataset: Dataset) -> Split:
    return Split("all", np.ones(len(dataset.orders), np.bool_))


def test_a_changed_byte_is_named(copy: Path) -> None:
    path = copy / "answers" / "link.parquet"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DatasetError, match=r"link\.parquet was changed"):
        Dataset(copy)


@pytest.mark.parametrize("name", ["observer/tx.parquet", "answers/hop.parquet"])
def test_a_missing_table_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(DatasetError, match=f"lacks {name}"):
        Dataset(copy)


def test_a_table_that_goes_away_later_is_named(copy: Path) -> None:
    dataset = Dataset(copy)
    (copy / "answers" / "link.parquet").unlink()
    with pytest.raises(DatasetError, match=r"link\.parquet cannot be read"):
        dataset.answers("link")


def test_other_versions_and_broken_manifests_are_named(copy: Path) -> None:
    path = copy / "manifest.json"
    manifest = json.loads(path.read_text())
    for text, said in [
        (json.dumps({**manifest, "format": 1}), "is of format 1; this program reads format 2"),
        (json.dumps([]), "is of format None"),
        (json.dumps({**manifest, "files": 3}), "names no files"),
        (json.dumps({**manifest, "files": {}}), r"does not name observer/block\.parquet"),
        ("{", "cannot be read"),
    ]:
        path.write_text(text)
        with pytest.raises(DatasetError, match=said):
            Dataset(copy)


@pytest.mark.parametrize("part", ["observer", "answers", "nowhere"])
def test_a_folder_that_is_no_dataset_is_named(folder: Path, part: str) -> None:
    with pytest.raises(DatasetError, match=r"no manifest\.json"):
        Dataset(folder / part)


def test_an_unknown_task_or_service_is_named(dataset: Dataset) -> None:
    for ask in (lambda: tasks.told(dataset, "T9", tasks.untaught(dataset)), lambda: tasks.truth(dataset, "T9")):
        with pytest.raises(DatasetError, match="no task is called 'T9'"):
            ask()
    with pytest.raises(DatasetError, match="no orders of 'helix'; it has bestmixer, "):
        tasks.without(dataset, "helix")


@pytest.mark.parametrize("task", tasks.TRUTHS)
def test_every_task_tells_and_knows(dataset: Dataset, task: str) -> None:
    chosen = [0] if task == "T5" else []
    found = tasks.truth(dataset, task, chosen)
    assert found.schema.equals(tasks.TRUTHS[task])
    assert found.num_rows or task in ("T7", "T8")  # one owner signs here; all orders are the investigator's own
    assert tasks.told(dataset, task, everyone(dataset), chosen).tags.num_rows


def test_clusters_are_the_wallets_that_the_chains_show(folder: Path, dataset: Dataset) -> None:
    names = {(row["coin"], row["address"]): row["name"] for row in rows_of(folder, "observer/address")}
    wanted = defaultdict(set)
    for row in rows_of(folder, "answers/wallet_truth"):
        wanted[row["service"], row["coin"]].add(row["address"])
    clusters = tasks.told(dataset, "T2", tasks.untaught(dataset)).clusters
    assert {(each.service, each.coin) for each in clusters} == {
        *((row["service"], row["coin"]) for row in rows_of(folder, "answers/service_policy") if row["coin"] in COINS)
    }
    for each in clusters:
        shown = {names[each.coin, number] for number in each.addresses.tolist()}
        assert shown == wanted[each.service, each.coin] & {
            name for (coin, _), name in names.items() if coin == each.coin
        }
        assert len(shown) or each.coin == "xmr"


COINS = ("btc", "bch", "eth", "xmr")


def test_links_are_the_keys_rows(folder: Path, dataset: Dataset) -> None:
    orders = [(row["service"], row["order_id"]) for row in rows_of(folder, "answers/order")]
    mixed, swapped = tasks.truth(dataset, "T2").to_pylist(), tasks.truth(dataset, "T6").to_pylist()
    assert {row["service"] for row in swapped} == {"xmrto"}
    found = [
        (*orders[row["order"]], row["deposit_coin"], row["deposit_output"], row["payout_output"], row["amount"])
        for row in mixed + swapped
    ]
    assert sorted(found) == sorted(
        (*(row[name] for name in ("service", "order_id", "deposit_coin", "deposit_output", "payout_output", "amount")),)
        for row in rows_of(folder, "answers/link")
        if row["payout_output"] is not None
    )
    assert all(row["service"] == orders[row["order"]][0] for row in mixed)


def test_own_orders_are_told_and_not_scored(dataset: Dataset) -> None:
    own = tasks.own_orders(dataset, each=1)
    told = tasks.told(dataset, "T8", tasks.untaught(dataset), own.tolist())
    assert sorted(each.service for each in told.own_orders) == ["bestmixer", "coinjoin", "whir"]
    left = {
        (row["deposit_coin"], row["deposit_output"]) for row in tasks.truth(dataset, "T8", own.tolist()).to_pylist()
    }
    assert left
    assert not left & {(each.deposit_coin, each.deposit_output) for each in told.own_orders}
    payouts = {(row["payout_coin"], row["payout_output"]) for row in tasks.truth(dataset, "T2").to_pylist()}
    assert {place for each in told.own_orders for place in each.payouts} <= payouts


def test_splits_part_orders_by_time_and_by_service(dataset: Dataset) -> None:
    early = tasks.by_time(dataset, 1.0).training
    created = dataset.orders["created"].to_numpy()
    assert (early == (created < created.max())).all()
    split = tasks.without(dataset, "whir")
    assert (split.training == (dataset.orders["service"] != "whir").to_numpy()).all()
    told = tasks.told(dataset, "T2", split)
    assert {each.service for each in told.own_orders} == {"bestmixer", "coinjoin", "xmrto"}
    assert not tasks.told(dataset, "T2", tasks.untaught(dataset)).own_orders


def test_lessons_are_spread_over_all(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "MOST_LESSONS", 2)
    assert len(tasks.told(dataset, "T2", everyone(dataset)).own_orders) == 2
    assert tasks._spread(np.arange(10), 3).tolist() == [0, 3, 6]


def test_the_feed_holds_the_services_prices(folder: Path, dataset: Dataset) -> None:
    feed = tasks.told(dataset, "T6", tasks.untaught(dataset)).prices
    assert feed is not None and feed.num_rows
    asked = {
        (row["created"] // 600 * 600, float(row["price"])) for row in rows_of(folder, "answers/order") if row["price"]
    }
    assert {(row["time"], row["price"]) for row in feed.to_pylist()} <= asked
    assert {(row["base"], row["quote"]) for row in feed.to_pylist()} == {("xmr", "btc")}


def test_taint_has_two_truths(folder: Path, dataset: Dataset) -> None:
    """By following every hop by hand, for every order."""
    links, hops = rows_of(folder, "answers/link"), rows_of(folder, "answers/hop")
    outputs = rows_of(folder, "observer/output")
    made = {(row["coin"], row["output"]): row["tx"] for row in outputs}
    orders = [(row["service"], row["order_id"]) for row in rows_of(folder, "answers/order")]
    disagree = False
    for row, order in enumerate(orders):
        mine = [link for link in links if (link["service"], link["order_id"]) == order]
        seeds = {(link["deposit_coin"], link["deposit_output"]) for link in mine}
        reached: set[tuple[str, int]] = set()
        for hop in sorted(hops, key=lambda hop: hop["tx"] or 0):
            paid = {made[seed] for seed in seeds if seed[0] == hop["coin"]} & set(hop["paid_in"])
            if (hop["coin"], hop["output"]) in seeds or paid or (hop["coin"], hop["made_by"]) in reached:
                reached.add((hop["coin"], hop["tx"]))
        custody = {(out["coin"], out["output"]) for out in outputs if (out["coin"], out["tx"]) in reached}
        beneficial = {
            (link["payout_coin"], link["payout_output"]): link["amount"] / link["payout_amount"]
            for link in mine
            if link["payout_output"] is not None
        }
        found = tasks.truth(dataset, "T5", [row]).to_pylist() if beneficial else []
        if beneficial:
            assert {(each["coin"], each["output"]) for each in found if each["custody"] == 1} == custody
            assert {k: pytest.approx(float(v)) for k, v in beneficial.items()} == {
                (each["coin"], each["output"]): each["beneficial"] for each in found if each["beneficial"]
            }
            disagree |= bool(custody - set(beneficial)) and bool(set(beneficial) - custody)
    assert disagree
