"""The observer's part as arrays: every one agrees with the tables, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.errors import DatasetError
from glasstumbler.lab.public import NONE, UNITS, Graph, Public, _amounts
from tests.lab.conftest import rows_of

COINS = ("btc", "bch", "eth", "xmr")


@pytest.fixture(scope="module", params=["read", "mapped"])
def public(folder: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Public:
    read = Public(folder / "observer")
    return read if request.param == "read" else read.lay(tmp_path_factory.mktemp("public") / "laid")


def or_none(value: Any) -> int:
    return NONE if value is None else int(value)


@pytest.mark.parametrize("coin", COINS)
def test_the_arrays_are_the_tables(folder: Path, public: Public, coin: str) -> None:
    graph, unit = public.graph(coin), UNITS.get(coin, 1)
    times = {row["height"]: row["time"] for row in rows_of(folder, "observer/block") if row["coin"] == coin}
    txs, inputs, outputs = (
        [row for row in rows_of(folder, f"observer/{name}") if row["coin"] == coin]
        for name in ("tx", "input", "output")
    )
    assert (graph.txs, graph.outputs) == (len(txs), len(outputs))
    for row in txs:
        tx = row["tx"]
        assert (graph.height[tx], graph.time[tx]) == (row["height"], times[row["height"]])
        assert (graph.coinbase[tx], graph.size[tx]) == (row["coinbase"], row["bytes"])
        assert graph.fee[tx] == (NONE if row["fee"] is None else int(row["fee"]) // unit)
        assert graph.first_input[tx + 1] - graph.first_input[tx] == row["inputs"]
        assert graph.first_output[tx + 1] - graph.first_output[tx] == row["outputs"]
    for number, row in enumerate(inputs):
        assert graph.tx_of_input[number] == row["tx"]
        assert graph.spends[number] == or_none(row["output"])
        assert graph.account[number] == or_none(row["account"])
        assert graph.nonce[number] == or_none(row["nonce"])
        assert graph.paid_in[number] == int(row["amount"]) // unit
    for row in outputs:
        number = row["output"]
        assert graph.tx_of_output[number] == row["tx"]
        assert graph.address[number] == or_none(row["address"])
        assert graph.amount[number] == (NONE if row["amount"] is None else int(row["amount"]) // unit)


def test_spender_and_inputs_meet(public: Public) -> None:
    graph = public.graph("btc")
    spent = np.flatnonzero(graph.spender != NONE)
    assert len(spent) == len(graph.spends)
    for number, output in enumerate(graph.spends):
        assert graph.spender[output] == graph.tx_of_input[number]
        assert graph.input_address[number] == graph.address[output]


def test_an_account_sends_from_its_own_address(folder: Path, public: Public) -> None:
    graph = public.graph("eth")
    assert len(graph.account)
    assert (graph.input_address == graph.account).all()
    assert (graph.account >= 0).all() and (graph.account < graph.addresses).all()


@given(st.lists(st.none() | st.integers(0, 2**87), min_size=1, max_size=20))
def test_wei_become_gwei_exactly(amounts: list[int | None]) -> None:
    column = pa.chunked_array([pa.array([1, *amounts], pa.decimal128(38, 0))[1:]])
    wanted = [NONE if amount is None else amount // 10**9 for amount in amounts]
    assert _amounts(column, 10**9).tolist() == wanted


def test_a_coin_that_is_not_there_is_one_clear_error(public: Public) -> None:
    with pytest.raises(DatasetError, match="no chain of ltc; it has btc, bch, eth, xmr"):
        public.graph("ltc")


def test_a_missing_table_and_other_columns_are_clear_errors(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "observer").glob("*.parquet"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "tx.parquet").unlink()
    with pytest.raises(DatasetError, match=r"lacks tx\.parquet"):
        Public(tmp_path)
    pq.write_table(pa.table({"coin": ["btc"]}), tmp_path / "tx.parquet")
    with pytest.raises(DatasetError, match=r"tx\.parquet has other columns"):
        Public(tmp_path)
    (tmp_path / "tx.parquet").write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match=r"tx\.parquet cannot be read"):
        Public(tmp_path)


def test_an_answer_key_is_not_taken_for_the_observers_part(folder: Path) -> None:
    with pytest.raises(DatasetError, match="lacks block"):
        Public(folder / "answers")


def test_graph_of_an_empty_chain() -> None:
    from glasstumbler.lab import schemas

    graph = Graph("btc", {name: schema.empty_table() for name, schema in schemas.OBSERVER.items()})
    assert (graph.txs, graph.outputs, graph.addresses) == (0, 0, 0)
    assert graph.spender.tolist() == []
