"""A dataset: the same bytes again, the schemas as written down, and nothing that does not add up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from glasstumbler.engine.ledger import Entry
from glasstumbler.errors import RecordError, StoreError
from glasstumbler.lab import conserve, dataset, observed, schemas
from glasstumbler.lab.observed import Rows
from glasstumbler.store.records import Records
from tests.lab.conftest import exported, rows_of, worked
from tests.laboratory import Laboratory

TABLES = {f"observer/{name}": schema for name, schema in schemas.OBSERVER.items()}
TABLES |= {f"answers/{name}": schema for name, schema in schemas.ANSWERS.items()}


@pytest.fixture(scope="module")
def lab(worked_lab: Laboratory) -> Laboratory:
    return worked_lab


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    with closing(worked()) as again:
        exported(again, tmp_path)
    assert digests(tmp_path) == digests(folder)
    with closing(worked(seed=2)) as other:
        exported(other, tmp_path / "other")
    assert digests(tmp_path / "other")["answers/order.parquet"] != digests(folder)["answers/order.parquet"]


def test_the_manifest_counts_and_hashes_every_file(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    found = digests(folder)
    del found["manifest.json"]
    assert {name: entry["sha256"] for name, entry in manifest["files"].items()} == found
    assert all(pq.read_metadata(folder / name).num_rows == e["rows"] for name, e in manifest["files"].items())
    assert manifest["models"] == ["xmr", "lightning"]
    assert manifest["hidden"] == ["xmr"]


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_table_has_its_schema_and_says_what_its_columns_are(folder: Path, name: str) -> None:
    table = pq.read_table(folder / f"{name}.parquet")
    assert table.schema.equals(TABLES[name], check_metadata=False)
    assert table.num_rows
    assert all(field.metadata[b"doc"] for field in table.schema)
    for field in TABLES[name]:
        assert field.nullable or table[field.name].null_count == 0


def test_the_observer_sees_neither_orders_nor_hidden_amounts(folder: Path) -> None:
    orders = {row["order_id"] for row in pq.read_table(folder / "answers/order.parquet").to_pylist()}
    for name in schemas.OBSERVER:
        rows = pq.read_table(folder / f"observer/{name}.parquet").to_pylist()
        assert not orders & {value for row in rows for value in row.values() if isinstance(value, str)}
    outputs = pq.read_table(folder / "observer/output.parquet").to_pylist()
    hidden = [row for row in outputs if row["coin"] == "xmr"]
    assert hidden
    assert all(row["amount"] is None and row["address"] is None for row in hidden)


def test_links_point_at_what_the_observer_sees(folder: Path) -> None:
    amounts = {(row["coin"], row["output"]): row["amount"] for row in rows_of(folder, "observer/output")}
    for row in rows_of(folder, "answers/link"):
        assert (row["deposit_coin"], row["deposit_output"]) in amounts
        if row["payout_coin"] == "msat":
            assert row["payout_output"] is None and len(row["payment_hash"]) == 64
        else:
            assert amounts[row["payout_coin"], row["payout_output"]] == row["payout_amount"]
            assert row["payment_hash"] is None


def test_numbers_count_what_the_chains_show(lab: Laboratory, folder: Path) -> None:
    """Every transaction, output and address, in the order of the chain, found again by its number."""
    names = {(row["coin"], row["address"]): row["name"] for row in rows_of(folder, "observer/address")}
    outputs, inputs = rows_of(folder, "observer/output"), rows_of(folder, "observer/input")
    for coin, chain in lab.house.chains.items():
        mined = [tx for block in observed.blocks(chain) for tx in block.txs]
        txs = [row for row in rows_of(folder, "observer/tx") if row["coin"] == coin]
        assert [(row["tx"], row["txid"]) for row in txs] == [(n, tx.txid) for n, tx in enumerate(mined)]
        mine = [row for row in outputs if row["coin"] == coin]
        assert [row["output"] for row in mine] == list(range(len(mine)))
        for row in mine:
            output = mined[row["tx"]].outputs[row["vout"]]
            if row["address"] is not None:
                assert names[coin, row["address"]] == chain.format.address(output.key)
        for row in (row for row in inputs if row["coin"] == coin):
            spent = mined[row["tx"]].inputs[row["place"]]
            if coin == "eth":
                assert (names[coin, row["account"]].lower(), row["nonce"]) == spent
            else:
                assert (txs[mine[row["output"]]["tx"]]["txid"], mine[row["output"]]["vout"]) == spent


def test_hops_lead_from_payouts_to_inputs_that_the_chain_shows(folder: Path) -> None:
    spent = {
        (row["coin"], row["tx"], row["output"], row["account"], row["nonce"])
        for row in rows_of(folder, "observer/input")
    }
    hops = rows_of(folder, "answers/hop")
    assert hops
    for row in hops:
        assert (row["coin"], row["tx"], row["output"], row["account"], row["nonce"]) in spent
        assert row["made_by"] is None or row["made_by"] < row["tx"]


# -- the gate ---------------------------------------------------------------------------------------------------------


def first(rows: Rows, table: str, **wanted: Any) -> dict[str, Any]:
    return next(row for row in rows[table] if all(row[name] == value for name, value in wanted.items()))


def more_output(rows: Rows) -> None:
    spent = {(row["coin"], row["txid"]) for row in rows["input"] if row["coin"] == "btc"}
    next(row for row in rows["output"] if (row["coin"], row["txid"]) in spent)["amount"] += 1


def twice(rows: Rows) -> None:
    rows["input"].append(dict(first(rows, "input", coin="bch")))


def from_nowhere(rows: Rows) -> None:
    first(rows, "input", coin="btc")["spent_vout"] += 1_000


def other_account(rows: Rows) -> None:
    sent = [row["txid"] for row in rows["input"] if row["coin"] == "eth"]
    row = first(rows, "output", coin="eth", txid=sent[0])
    row["address"] = "0x" + "11" * 20


TAMPERINGS: list[tuple[Callable[[Rows], Any], str]] = [
    (more_output, "inputs less outputs|spends"),
    (twice, "is spent twice"),
    (from_nowhere, "spends .* None"),
    (lambda rows: first(rows, "tx", coin="btc", coinbase=False).update(fee=1), "inputs less outputs"),
    (lambda rows: first(rows, "input", coin="eth").update(amount=5), "inputs less outputs"),
    (lambda rows: first(rows, "block", coin="btc").update(issued=-1), "issues -1"),
    (lambda rows: first(rows, "link", service="whir").update(amount=1), "the parts of payout"),
    (other_account, "holds"),
]


@pytest.mark.parametrize(("tamper", "text"), TAMPERINGS)
def test_a_row_that_was_tampered_with_stops_the_export(
    lab: Laboratory, tamper: Callable[[Rows], Any], text: str
) -> None:
    with lab.house.store.snapshot() as records:
        rows = dataset.build(records, lab.house.chains, lab.house.policies)
        conserve.conserve(rows, records, lab.house.chains)
        tamper(rows)
        with pytest.raises(RecordError, match=text):
            conserve.conserve(rows, records, lab.house.chains)


@pytest.mark.parametrize("coin", ["btc", "eth", "xmr"])
def test_a_wallet_that_the_chain_does_not_bear_out_stops_the_export(coin: str, tmp_path: Path) -> None:
    """A coin of the record loses a unit: neither chain nor ledger agree."""
    with closing(worked()) as lab:
        slug = "xmrto" if coin == "xmr" else "bestmixer"
        changed = next(each for each in lab.coins_of(slug, coin) if each.spent_by is None)
        changed.amount -= 1

        def unit(records: Records) -> None:
            records.save_coin(changed)
            records.append(Entry("changed by hand", 0, slug))

        lab.house.store.write(unit)
        with pytest.raises(RecordError, match=r"the record says|its ledger says"):
            exported(lab, tmp_path)
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_folder_that_cannot_be_written_is_one_clear_error(lab: Laboratory, tmp_path: Path) -> None:
    (tmp_path / "observer").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write the dataset"):
        exported(lab, tmp_path)
