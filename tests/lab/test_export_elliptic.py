"""Elliptic files: read as PyTorch Geometric reads them, and held against figures worked out row by row.

`torch` of the registry is some gigabytes, so its reader is restated here: torch_geometric.datasets.elliptic,
EllipticBitcoinDataset.process, with polars in the place of pandas and torch.
"""

from __future__ import annotations

import csv
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from glasstumbler.errors import DatasetError
from glasstumbler.lab.exports import elliptic, elliptic_actors, elliptic_features
from glasstumbler.lab.exports.elliptic import time_steps
from glasstumbler.lab.exports.elliptic_actors import Actors
from glasstumbler.lab.exports.elliptic_features import FEATURES, LOCAL, Features
from glasstumbler.lab.exports.formats import export
from glasstumbler.lab.tasks import Dataset
from tests.lab.conftest import exported, rows_of
from tests.lab.small_chains import Tx, graph
from tests.laboratory import Laboratory

NUMBER = {feature.name: number for number, feature in enumerate(FEATURES)}


@pytest.fixture(scope="module")
def out(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("elliptic") / "out"
    export(folder, "elliptic", out)
    return out


class Data(NamedTuple):
    """Of torch_geometric.data.Data."""

    x: Any
    edge_index: Any
    y: Any
    train_mask: Any
    test_mask: Any


def process(raw: Path) -> Data:
    """As EllipticBitcoinDataset.process, step by step."""
    features = pl.read_csv(raw / "elliptic_txs_features.csv", has_header=False)
    edges = pl.read_csv(raw / "elliptic_txs_edgelist.csv")
    classes = pl.read_csv(raw / "elliptic_txs_classes.csv")
    x = features[:, 2:].to_numpy().astype(np.float32)
    y = classes["class"].replace_strict({"unknown": 2, "1": 1, "2": 0}).to_numpy()
    mapping = {tx: number for number, tx in enumerate(features[:, 0])}
    edge_index = np.array([[mapping[tx] for tx in edges[column]] for column in ("txId1", "txId2")])
    step = features[:, 1].to_numpy()
    return Data(x, edge_index, y, (step < 35) & (y != 2), (step >= 35) & (y != 2))


@pytest.mark.parametrize("coin", ["btc", "bch"])
def test_the_published_reader_understands_the_files(folder: Path, out: Path, coin: str) -> None:
    data = process(out / coin / "raw")
    txs = [row for row in rows_of(folder, "observer/tx") if row["coin"] == coin]
    assert data.x.shape == (len(txs), 165) and np.isfinite(data.x).all()
    assert data.y.shape == (len(txs),) and set(data.y) >= {1, 2}
    maker = {row["output"]: row["tx"] for row in rows_of(folder, "observer/output") if row["coin"] == coin}
    inputs = [row for row in rows_of(folder, "observer/input") if row["coin"] == coin]
    assert set(map(tuple, data.edge_index.T)) == {(maker[row["output"]], row["tx"]) for row in inputs}
    assert data.edge_index.shape[1] == len({(maker[row["output"]], row["tx"]) for row in inputs})
    assert (data.train_mask | data.test_mask).sum() == (data.y != 2).sum() and data.test_mask.any()


def test_chains_of_accounts_and_hidden_ones_have_no_folder(out: Path) -> None:
    assert sorted(path.name for path in out.iterdir()) == ["bch", "btc"]


def test_class_1_is_what_services_signed_and_2_what_others_in_the_key_did(folder: Path, out: Path) -> None:
    hops = {row["tx"] for row in rows_of(folder, "answers/hop") if row["coin"] == "btc"}
    classes = pl.read_csv(out / "btc" / "raw" / "elliptic_txs_classes.csv")
    assert set(classes.filter(pl.col("class") == "1")["txId"]) == hops - {None}
    services = {(row["coin"], row["address"]) for row in rows_of(folder, "answers/wallet_truth")}
    for coin in ("btc", "bch"):
        for row in csv.DictReader((out / coin / "actors" / "wallets_classes.csv").open()):
            assert (row["class"] == "1") == ((coin, row["address"]) in services)


def test_owners_of_the_key_make_class_2(folder: Path, tmp_path: Path) -> None:
    chain = graph([Tx(pays=[("a", 5), ("b", 5), ("c", 5)]), Tx([(0, 0), (0, 1)], [("d", 9)]), Tx([(0, 2)], [("a", 4)])])
    named = np.array([True, True, False, False])
    assert elliptic._all(named, chain).tolist() == [False, True, False]


def test_features_are_standard_scores_of_what_the_side_file_says(folder: Path, out: Path) -> None:
    about = pl.read_csv(out / "btc" / "features.csv")
    assert about["name"].to_list() == [feature.name for feature in FEATURES]
    assert about["of"].to_list() == ["transaction"] * 93 + ["neighbours"] * 72
    x = process(out / "btc" / "raw").x * about["deviation"].to_numpy() + about["mean"].to_numpy()
    rows = Features(Dataset(folder).public.graph("btc")).rows(0, len(x))
    assert np.allclose(x, rows, rtol=1e-5, atol=1e-5 * about["deviation"].to_numpy())
    assert np.allclose(rows.mean(0), about["mean"].to_numpy())


def small() -> Any:
    """Made by hand: coinbases a and b; a spends both into c and back to itself; c pays twice the same."""
    return graph(
        [
            Tx(pays=[("a", 5000)]),
            Tx(pays=[("b", 300)], height=1),
            Tx([(0, 0), (1, 0)], [("c", 4000), ("a", 1200)], size=100, height=4),
            Tx([(2, 0)], [("d", 1500), ("e", 1500), ("f", 990)], size=200, height=9),
        ]
    )


def test_features_of_a_chain_made_by_hand() -> None:
    rows = Features(small()).rows(0, 4)

    def of(tx: int, *names: str) -> list[float]:
        return [float(rows[tx, NUMBER[name]]) for name in names]

    assert of(2, "inputs", "outputs", "bytes", "fee", "fee_rate", "coinbase") == [2, 2, 100, 100, 1, 0]
    assert of(2, "amount_in", "amount_out", "input_addresses", "output_addresses") == [5300, 5200, 2, 2]
    assert of(2, "returned", "equal_outputs", "unspent_outputs") == [1, 1, 1]
    assert of(3, "equal_outputs", "unspent_outputs", "returned") == [2, 3, 0]
    assert of(0, "coinbase", "fee", "input_amount_mean") == [1, 0, 0]
    assert of(2, *(f"input_amount_{f}" for f in ("mean", "max", "min", "std"))) == [2650, 5000, 300, 2350]
    assert of(2, "input_blocks_max", "input_blocks_min", "input_zeros_max", "input_zeros_min") == [4, 3, 3, 2]
    assert of(2, "input_address_outputs_max", "input_address_received_max", "input_address_inputs_mean") == [2, 6200, 1]
    assert of(2, "output_blocks_max", "output_blocks_min") == [5, 5]  # spent after 5, and unspent for 5 to the end
    assert of(2, "output_tx_outputs_max", "output_tx_outputs_min", "output_tx_fee_max") == [3, 0, 10]
    assert of(2, "back_amount_out_mean", "back_amount_out_max", "back_blocks_max") == [2650, 5000, 4]
    assert of(2, "forward_outputs_mean", "forward_largest_output_max", "forward_blocks_mean") == [3, 1500, 5]
    assert of(3, "back_inputs_mean", "back_fee_mean", "back_bytes_std", "forward_inputs_max") == [2, 100, 0, 0]


@pytest.mark.parametrize("coin", ["btc", "bch"])
def test_figures_of_ends_are_those_of_plain_python(folder: Path, coin: str) -> None:
    chain = Dataset(folder).public.graph(coin)
    rows = Features(chain).rows(0, chain.txs)
    paid = Counter(int(address) for address in chain.address)
    for tx in range(chain.txs):
        outputs = range(chain.first_output[tx], chain.first_output[tx + 1])
        amounts = [int(chain.amount[output]) for output in outputs]
        assert rows[tx, NUMBER["output_amount_std"]] == pytest.approx(statistics.pstdev(amounts))
        assert rows[tx, NUMBER["equal_outputs"]] == max(Counter(amounts).values())
        known = [paid[int(a)] if (a := chain.address[output]) >= 0 else 0 for output in outputs]
        assert rows[tx, NUMBER["output_address_outputs_mean"]] == pytest.approx(statistics.mean(known))


def test_the_size_of_a_part_changes_nothing(folder: Path, out: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elliptic, "AT_ONCE", 37)
        patch.setattr(elliptic_features, "AT_ONCE", 41)
        patch.setattr(elliptic_actors, "AT_ONCE", 29)
        patch.setattr(elliptic, "_MEETINGS", 31)
        export(folder, "elliptic", tmp_path / "parts")
    for path in (path for path in out.rglob("*") if path.is_file()):
        assert path.read_bytes() == (tmp_path / "parts" / path.relative_to(out)).read_bytes()


def test_time_steps_divide_the_run_and_what_was_before_is_in_the_first() -> None:
    chain = graph([Tx(pays=[("a", 1)], height=height) for height in range(100)])
    steps = time_steps(chain, 600 * 51)
    assert steps[:52].tolist() == [1] * 52 and steps[-1] == 49
    assert steps[51:].tolist() == sorted(steps[51:].tolist()) and set(steps) == set(range(1, 50))
    assert time_steps(chain, None)[:3].tolist() == [1, 1, 1]


class Wallet(NamedTuple):
    """Of one address, worked out row by row."""

    sent: dict[int, int]
    received: dict[int, int]
    met: Counter[str]


def wallets(folder: Path, coin: str) -> dict[str, Wallet]:
    names = {row["address"]: row["name"] for row in rows_of(folder, "observer/address") if row["coin"] == coin}
    outputs = {row["output"]: row for row in rows_of(folder, "observer/output") if row["coin"] == coin}
    found: dict[str, Wallet] = defaultdict(lambda: Wallet({}, {}, Counter()))
    sides: dict[int, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for side, rows in enumerate((rows_of(folder, "observer/input"), list(outputs.values()))):
        for row in rows:
            source = outputs[row["output"]] if side == 0 and row["coin"] == coin else row
            if row["coin"] == coin and source["address"] is not None:
                name, tx = names[source["address"]], row["tx"]
                moved = found[name][side]
                moved[tx] = moved.get(tx, 0) + int(row["amount"])
                sides[tx][side].add(name)
    for senders, receivers in sides.values():
        for one in senders:
            found[one].met.update(receivers - {one})
        for one in receivers:
            found[one].met.update(senders - {one})
    return found


def fives(values: list[float]) -> list[float]:
    if not values:
        return [0.0] * 5
    return [sum(values), min(values), max(values), statistics.mean(values), statistics.median(values)]


def between(heights: list[int]) -> list[float]:
    ordered = sorted(heights)
    return fives([b - a for a, b in pairwise(ordered)])


def test_wallets_have_the_published_columns_and_the_figures_of_plain_python(folder: Path, out: Path) -> None:
    txs = {row["tx"]: row for row in rows_of(folder, "observer/tx") if row["coin"] == "btc"}
    lines = csv.reader((out / "btc" / "actors" / "wallets_features.csv").open())
    columns = next(lines)
    assert columns[:4] == ["address", "Time step", "num_txs_as_sender", "num_txs_as receiver"] and len(columns) == 57
    known, steps = wallets(folder, "btc"), time_steps(Dataset(folder).public.graph("btc"), None)
    seen: dict[str, list[int]] = defaultdict(list)
    for name, step, *figures in lines:
        seen[name].append(int(step))
        of = known[name]
        every = {**of.sent, **of.received}
        heights = [txs[tx]["height"] for tx in every]
        as_sender, as_receiver = ([txs[tx]["height"] for tx in side] for side in (of.sent, of.received))
        moved = [amount / 1e8 for side in (of.sent, of.received) for amount in side.values()]
        fees = [int(txs[tx]["fee"]) for tx in of.sent]
        wanted = [len(of.sent), len(of.received), min(heights), max(heights), max(heights) - min(heights), len(every)]
        wanted += [min(as_sender, default=0), min(as_receiver, default=0), len({int(steps[tx]) for tx in every})]
        wanted += fives(moved) + fives([a / 1e8 for a in of.sent.values()])
        wanted += fives([a / 1e8 for a in of.received.values()]) + fives([fee / 1e8 for fee in fees])
        wanted += fives([fee / amount for fee, amount in zip(fees, of.sent.values(), strict=True)])
        wanted += between(heights) + between(as_sender) + between(as_receiver)
        wanted += [sum(times > 1 for times in of.met.values()), *fives([float(n) for n in of.met.values()])]
        assert [float(figure) for figure in figures] == pytest.approx([float(value) for value in wanted])
    assert set(seen) == set(known)
    for name, of_name in seen.items():
        assert of_name == sorted({int(steps[tx]) for side in known[name][:2] for tx in side})


def pairs(path: Path, *columns: str) -> Iterator[tuple[str, ...]]:
    for row in csv.DictReader(path.open()):
        assert list(row) == list(columns)
        yield tuple(row.values())


def test_the_graphs_of_addresses_are_those_of_the_chain(folder: Path, out: Path) -> None:
    known, actors = wallets(folder, "btc"), out / "btc" / "actors"
    sent = list(pairs(actors / "AddrTx_edgelist.csv", "input_address", "txId"))
    received = list(pairs(actors / "TxAddr_edgelist.csv", "txId", "output_address"))
    assert Counter(sent) == Counter((name, str(tx)) for name, of in known.items() for tx in of.sent)
    assert Counter(received) == Counter((str(tx), name) for name, of in known.items() for tx in of.received)
    receivers = defaultdict(list)
    for tx, name in received:
        receivers[tx].append(name)
    wanted = Counter((name, other) for name, tx in sent for other in receivers[tx])
    assert Counter(pairs(actors / "AddrAddr_edgelist.csv", "input_address", "output_address")) == wanted


def test_a_wallet_is_amounts_in_whole_coins_to_the_base_unit() -> None:
    steps = np.ones(4, np.int64)
    ((addresses, _, figures),) = Actors(small(), steps).rows()
    total = elliptic_actors.COLUMNS.index("btc_received_total") - 2
    assert dict(zip(addresses.tolist(), figures[:, total].tolist(), strict=True)) == {
        **{0: 0.000062, 1: 0.000003, 2: 0.00004},
        **{3: 0.000015, 4: 0.000015, 5: 0.0000099},
    }


def test_a_dataset_without_such_a_chain_is_refused(tmp_path: Path) -> None:
    with closing(Laboratory("eth")) as lab:
        folder = exported(lab, tmp_path / "dataset").parent
    with pytest.raises(DatasetError, match="has no chain of btc, bch or ltc"):
        export(folder, "elliptic", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_there_are_as_many_features_as_published() -> None:
    assert len(FEATURES) == len(NUMBER) == 165 and LOCAL == 93
