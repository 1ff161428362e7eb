"""Scenarios: the ready ones are sound, each field is documented, what cannot be is named with its table and field."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from glasstumbler.errors import SettingsError
from glasstumbler.lab.scenario import TABLES, Scenario, load, read, ready

DOCS = Path(__file__).parents[2] / "docs" / "scenarios.md"
PLAIN = "[services]\nwhir = 1\n"


def test_seven_scenarios_come_with_the_program() -> None:
    assert ready() == ["busy-day", "five-services", "look-alikes", "million", "quiet-day", "swaps", "volume-sweep"]


@pytest.mark.parametrize("name", ready())
def test_a_ready_scenario_is_sound_and_documented(name: str) -> None:
    scenario = load(name)
    assert scenario.about
    assert scenario.days(1000)
    assert f"| `{name}` |" in DOCS.read_text()


@pytest.mark.parametrize("kind", [Scenario, *TABLES.values()], ids=lambda kind: kind.__name__)
def test_every_field_is_documented_with_its_default(kind: type[msgspec.Struct]) -> None:
    page = DOCS.read_text()
    name = next((name for name, table in TABLES.items() if table is kind), None)
    part = page.split(f"### [{name}]" if name else "### At the top")[1].split("###")[0]
    rows = dict(tuple(cell.strip() for cell in line.split("|")[1:3]) for line in part.splitlines() if "| `" in line)
    defaults = msgspec.to_builtins(kind())
    wanted = {field: value for field, value in defaults.items() if name or field not in (*TABLES, "settings")}
    assert set(rows) == {f"`{field}`" for field in wanted}
    for field, value in wanted.items():
        shown = rows[f"`{field}`"].strip("`") or '""'
        assert tomllib.loads(f"v = {shown}")["v"] == (list(value) if isinstance(value, tuple) else value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", r"services\] all weights are 0"),
        (PLAIN + "other = 2", r"test: services\] has no setting 'other'; it knows bestmixer"),
        ("speed = 2\n" + PLAIN, r"\[test\] has no setting 'speed'"),
        ("volumes = [0]\n" + PLAIN, r"\[test\] volumes.*>= 1"),
        ("volumes = []\n" + PLAIN, r"\[test\] volumes.*length >= 1"),
        ("block_seconds = 601\n" + PLAIN, r"block_seconds\] 601 is no multiple of 60"),
        ("chains = ['btc', 'btc']\n" + PLAIN, r"chains\] a chain is named twice"),
        ("chains = ['doge']\n" + PLAIN, r"\[test\] chains.*'doge'"),
        ("chains = ['ltc']\n" + PLAIN, r"services\] whir: needs the chain 'btc'"),
        ("[services]\nxmrto = 1", r"services\] xmrto: needs the chain 'xmr'"),
        ("[services]\nbestmixer = 1\n[coins]\nltc = 1", r"coins\] ltc: needs the chain 'ltc'"),
        ("[services]\nbestmixer = 1\n[coins]\nbtc = 0", r"coins\] all weights are 0, and bestmixer"),
        (PLAIN + "[economy]\ncoins = ['ltc']", r"economy\] coins: needs the chain 'ltc'"),
        (PLAIN + "[economy]\ncoins = ['eth']", r"test: economy\] coins.*'eth'"),
        (PLAIN + "[economy]\npeople = 4", r"economy\]: coinjoin_people \(5\) is above people \(4\)"),
        (PLAIN + "[economy]\nfunds = '-1'", r"economy\]: funds: amounts are above 0"),
        (PLAIN + "[amounts]\nbtc = ['2', '1']", r"amounts\]: btc: amounts are above 0, the least first"),
        (PLAIN + "[amounts]\nbtc = ['0.000000001', '1']", r"amounts\]: btc: more than 8 decimal places"),
        (PLAIN + "[customers]\nloyal = 101", r"customers\] loyal: .*<= 100"),
        (PLAIN + "[customers]\nloyal = 'very'", r"customers\] loyal: Expected `int`"),
        (PLAIN + "[funding]\none=0\nseveral=0\nlate=0\nshort=0\nexcess=0", r"funding\]: all weights are 0"),
        (PLAIN + "[reorgs]\ndepth = 9", r"reorgs\] depth: .*<= 3"),
        ("settings = 3\n" + PLAIN, r"settings\] is a table"),
        (PLAIN + "[settings.lab]\nchains = []", r"settings\] is a table of the services' tables"),
    ],
)
def test_what_cannot_be_is_one_clear_line(text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as caught:
        read(tomllib.loads(text), "test")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("scenario [test")


def test_a_run_does_not_outlast_the_machines_own_time() -> None:
    scenario = read(tomllib.loads("volumes = [10]\n" + PLAIN), "test")
    with pytest.raises(SettingsError, match="8000 orders at these volumes take 800 days, and a run lasts 700 at most"):
        scenario.days(8000)


def test_orders_are_divided_among_the_volumes() -> None:
    scenario = read(tomllib.loads("volumes = [10, 1000]\n" + PLAIN), "test")
    assert scenario.days(21) == [(10, 11, 95_040), (1000, 10, 864)]


def test_a_name_that_is_nothing_names_what_there_is() -> None:
    with pytest.raises(SettingsError, match="no scenario 'none': neither a file nor one of busy-day, five-services"):
        load("none")
