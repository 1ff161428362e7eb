"""AMLworld files: read as the published loader reads them, and adding up to the base unit."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from glasstumbler.lab.exports.formats import export
from glasstumbler.lab.exports.transfers import GATHERING, ISSUED, NEW_COINS, PAYMENT, transfers
from tests.lab.conftest import rows_of
from tests.lab.small_chains import Tx, public

BANKS = {"1": "btc", "2": "bch", "3": "eth"}
PLACES = {"btc": 8, "bch": 8, "eth": 18}


class Row(NamedTuple):
    """As IBM/Multi-GNN's format_kaggle_files.py takes a row apart: accounts by their columns' places, 2 and 4."""

    when: datetime
    payer: tuple[str, str]
    payee: tuple[str, str]
    received: Decimal
    paid: Decimal
    kind: str
    flag: int


def parsed(fields: list[str]) -> Row:
    when = datetime.strptime(fields[0], "%Y/%m/%d %H:%M").replace(tzinfo=UTC)
    assert fields[6] == fields[8]
    payer, payee = (fields[1], fields[2]), (fields[3], fields[4])
    return Row(when, payer, payee, Decimal(fields[5]), Decimal(fields[7]), fields[9], int(fields[10]))


@pytest.fixture(scope="module")
def out(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("amlworld") / "out"
    export(folder, "amlworld", out)
    return out


@pytest.fixture(scope="module")
def rows(out: Path) -> list[Row]:
    with (out / "test_Trans.csv").open(newline="") as file:
        lines = csv.reader(file)
        assert next(lines) == [
            *("Timestamp", "From Bank", "Account", "To Bank", "Account", "Amount Received", "Receiving Currency"),
            *("Amount Paid", "Payment Currency", "Payment Format", "Is Laundering"),
        ]
        return [parsed(line) for line in lines]


def test_rows_come_by_time_and_move_within_a_bank(rows: list[Row]) -> None:
    assert [row.when for row in rows] == sorted(row.when for row in rows)
    assert all(row.payer[0] == row.payee[0] for row in rows)
    assert "no address" not in {row.payee[1] for row in rows}  # the genesis block's coins, which nobody can spend
    assert {row.kind for row in rows} == {"Bitcoin", "Bitcoin Cash", "Ether", "Coinbase"}


def test_what_an_account_received_less_what_it_paid_is_what_it_holds(folder: Path, rows: list[Row]) -> None:
    held: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in rows:
        held[row.payee] += row.received
        held[row.payer] -= row.paid
    names = {(row["coin"], row["address"]): row["name"] for row in rows_of(folder, "observer/address")}
    spent = {(row["coin"], row["output"]) for row in rows_of(folder, "observer/input")}
    unspent: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    banks = {coin: bank for bank, coin in BANKS.items()}
    for row in rows_of(folder, "observer/output"):
        if row["coin"] in ("btc", "bch") and row["address"] is not None:
            amount = Decimal(0 if (row["coin"], row["output"]) in spent else row["amount"])
            unspent[banks[row["coin"]], names[row["coin"], row["address"]]] += amount.scaleb(-PLACES[row["coin"]])
    assert unspent == {key: held[key] for key in unspent}
    assert sum(held[bank, "coinbase"] + sum(v for k, v in unspent.items() if k[0] == bank) for bank in "12") <= 0


def test_every_amount_of_ether_stands_there_to_the_last_wei(folder: Path, rows: list[Row]) -> None:
    paid = {(row["tx"], row["vout"]): row for row in rows_of(folder, "observer/output") if row["coin"] == "eth"}
    amounts = Counter(Decimal(row["amount"]).scaleb(-18) for row in paid.values() if row["amount"])
    assert amounts == Counter(row.received for row in rows if BANKS[row.payer[0]] == "eth")


def test_what_other_inputs_hold_is_gathered_first_and_the_first_output_pays_the_fee(tmp_path: Path) -> None:
    new = [Tx(pays=[(name, amount)]) for name, amount in (("-", 1), ("a", 50), ("b", 30), ("a", 7))]
    public(tmp_path, {"btc": [*new, Tx(spends=[(1, 0), (2, 0), (3, 0)], pays=[("c", 60), ("a", 20)])]})
    rows = transfers(tmp_path, ["btc"])
    a, b, c = 1, 2, 3
    assert rows.select("kind", "payer", "payee", "received", "fee", "output").rows() == [
        (NEW_COINS, ISSUED, 0, 1, 0, 0),
        (NEW_COINS, ISSUED, a, 50, 0, 1),
        (NEW_COINS, ISSUED, b, 30, 0, 2),
        (NEW_COINS, ISSUED, a, 7, 0, 3),
        (GATHERING, b, a, 30, 0, None),
        (PAYMENT, a, c, 60, 7, 4),
        (PAYMENT, a, a, 20, 0, 5),
    ]


def patterns(path: Path) -> list[tuple[str, str, list[list[str]]]]:
    """Base name, what follows the colon, rows: as loaders take the blocks apart."""
    found: list[tuple[str, str, list[list[str]]]] = []
    inside = False
    for line in path.read_text().splitlines():
        begin = re.match(r"^BEGIN LAUNDERING ATTEMPT - ([A-Z-]+)\s*:?\s*(.*)$", line)
        if begin:
            assert not inside
            inside = True
            found.append((begin[1], begin[2], []))
        elif end := re.match(r"^END LAUNDERING ATTEMPT - ([A-Z-]+)\s*$", line):
            assert inside and end[1] == found[-1][0]
            inside = False
        elif line:
            assert inside
            found[-1][2].append(next(csv.reader([line])))
    return found


def test_a_pattern_is_an_order_and_holds_the_rows_of_its_deposits_and_payouts(
    folder: Path, out: Path, rows: list[Row]
) -> None:
    orders: dict[str, dict[str, set[tuple[str, int]]]] = defaultdict(lambda: {"deposit": set(), "payout": set()})
    for link in rows_of(folder, "answers/link"):
        for side in ("deposit", "payout"):
            whole = link["deposit_output"] is not None and link["payout_output"] is not None
            if whole and link[f"{side}_coin"] in PLACES:
                orders[link["order_id"]][side].add((link[f"{side}_coin"], link[f"{side}_output"]))
    amounts = {(row["coin"], row["output"]): row["amount"] for row in rows_of(folder, "observer/output")}
    seen = Counter[Any]()
    for kind, about, lines in patterns(out / "test_Patterns.txt"):
        sides = orders.pop(about.split()[1])
        many = tuple(len(sides[side]) > 1 for side in ("deposit", "payout"))
        assert kind == {(False, False): "STACK", (False, True): "FAN-OUT", (True, False): "FAN-IN"}.get(
            many,
            "GATHER-SCATTER",  # type: ignore[arg-type]
        )
        wanted = [(coin, amounts[coin, output]) for side in sides.values() for coin, output in side]
        got = [(BANKS[line[3]], int(Decimal(line[5]).scaleb(PLACES[BANKS[line[3]]]))) for line in lines]
        assert sorted(wanted) == sorted(got)
        assert [line[0] for line in lines] == sorted(line[0] for line in lines)
        seen.update(parsed(line) for line in lines)
    assert not orders
    flagged = Counter(row for row in rows if row.flag)
    assert set(seen) == set(flagged) and all(row.flag for row in seen)


def test_every_account_has_a_row_and_those_of_services_name_them(folder: Path, out: Path, rows: list[Row]) -> None:
    with (out / "test_accounts.csv").open(newline="") as file:
        accounts = list(csv.DictReader(file))
    assert list(accounts[0]) == ["Bank Name", "Bank ID", "Account Number", "Entity ID", "Entity Name"]
    entities = {(each["Bank ID"], each["Account Number"]): each["Entity ID"] for each in accounts}
    assert len(entities) == len(accounts)
    assert {row.payer for row in rows} | {row.payee for row in rows} <= set(entities)
    for row in rows_of(folder, "answers/wallet_truth"):
        for bank, coin in BANKS.items():
            if row["coin"] == coin and (bank, row["address"]) in entities:
                assert entities[bank, row["address"]] == row["service"]
    assert all("test chain" in each["Bank Name"] for each in accounts)
