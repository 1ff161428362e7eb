"""Settings: a file and the environment over the defaults; whatever is wrong is named."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from glasstumbler.engine.policy import CoinPolicy, FeeRule, Policy, SwapPolicy, Tier
from glasstumbler.errors import SettingsError
from glasstumbler.services import SERVICES
from glasstumbler.settings import load, over

FILE = """
seed = 7
[services.whir]
fee_ppm = 25_000
[services.whir.coins.btc]
per_output = 6000
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def test_the_environment_goes_over_the_file(tmp_path: Path) -> None:
    environment = {
        "GLASSTUMBLER__SERVICES__WHIR__FEE_PPM": "40000",
        "GLASSTUMBLER__SERVICES__WHIR__GROUPING": "batch",
        "GLASSTUMBLER__SERVICES__WHIR__LETTERS": "true",
        "GLASSTUMBLER__SERVICES__XMRTO__COINS": "{ btc = { fee_rate = 3 } }",
        "GLASSTUMBLER_DATA": "no table",
        "PATH": "/bin",
    }
    assert load(written(tmp_path, FILE), environment) == {
        "seed": 7,
        "services": {
            "whir": {"fee_ppm": 40_000, "coins": {"btc": {"per_output": 6_000}}, "grouping": "batch", "letters": True},
            "xmrto": {"coins": {"btc": {"fee_rate": 3}}},
        },
    }


def test_without_file_and_environment_there_is_nothing() -> None:
    assert load(None, {}) == {}


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("5", 5),
        ("true", True),
        ('"5"', "5"),
        ("plain words", "plain words"),
        ("", ""),
        ("1.5", 1.5),
        ("[1, 2]", [1, 2]),
    ],
)
def test_values_of_the_environment(raw: str, value: object) -> None:
    assert load(None, {"GLASSTUMBLER__A__B": raw}) == {"a": {"b": value}}


@pytest.mark.parametrize(
    ("text", "why"),
    [("fee = ", "is not TOML"), ("a = 1\na = 2", "is not TOML"), ("[a", "is not TOML")],
)
def test_a_file_that_is_not_toml(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        load(written(tmp_path, text), {})


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load(tmp_path / "none.toml", {})
    with pytest.raises(SettingsError, match="Is a directory"):
        load(tmp_path, {})
    (tmp_path / "latin.toml").write_bytes(b'a = "\xe9"')
    with pytest.raises(SettingsError, match="not UTF-8"):
        load(tmp_path / "latin.toml", {})


def test_a_value_is_no_table() -> None:
    with pytest.raises(SettingsError, match="GLASSTUMBLER__A__B: a is a value, not a table"):
        load(None, {"GLASSTUMBLER__A": "1", "GLASSTUMBLER__A__B": "2"})


# -- over the defaults ----------------------------------------------------------------------------------------------

COIN = CoinPolicy(deposit_kind="p2wpkh", change_kind="p2wpkh", fee_rate=5, per_output=5_000)
DEFAULT = Policy(coins={"btc": COIN}, swap=SwapPolicy())


def test_a_table_changes_what_it_names_and_no_more() -> None:
    changed = over(DEFAULT, {"fee_ppm": 1, "coins": {"btc": {"fee_rate": 9}}, "swap": {"lower": 5}}, "x")
    coin = msgspec.structs.replace(COIN, fee_rate=9)
    swap = msgspec.structs.replace(SwapPolicy(), lower=5)
    assert changed == msgspec.structs.replace(DEFAULT, fee_ppm=1, coins={"btc": coin}, swap=swap)
    assert over(DEFAULT, {}, "x") == DEFAULT
    assert DEFAULT.fee_ppm == 20_000, "the defaults themselves are left alone"


def test_words_become_what_they_stand_for() -> None:
    changed = over(DEFAULT, {"fee_rule": "on_received", "swap": {"tiers": [{"amount": None, "confirmations": 3}]}}, "x")
    assert changed.fee_rule is FeeRule.ON_RECEIVED
    assert changed.swap is not None and changed.swap.tiers == (Tier(None, 3),)


BAD = [
    ({"fee": 1}, r"\[x\] has no setting 'fee'; it knows .*fee_ppm"),
    ({"coins": {"doge": {}}}, r"\[x.coins\] has no setting 'doge'; it knows btc"),
    ({"coins": {"btc": {"colour": 1}}}, r"\[x.coins.btc\] has no setting 'colour'"),
    ({"coins": 5}, r"\[x.coins\]|coins: Expected `object`"),
    ({"coins": {"btc": 5}}, r"\[x.coins.btc\] is a table of settings, not 5"),
    (5, r"\[x\] is a table of settings, not 5"),
    ({"fee_ppm": "much"}, r"\[x\] fee_ppm: Expected `int`, got `str`"),
    ({"fee_ppm": -1}, r"\[x\] fee_ppm: Expected `int` >= 0"),
    ({"fee_ppm": 1_000_000}, r"\[x\] fee_ppm: Expected `int` < 1000000|<= 999999"),
    ({"expiry": 0}, r"\[x\] expiry: Expected `int` >= 1"),
    ({"grouping": "heap"}, r"\[x\] grouping: Invalid enum value 'heap'"),
    ({"letters": 1}, r"\[x\] letters: Expected `bool`"),
    ({"coins": {"btc": {"min_deposit": 9, "max_deposit": 8}}}, r"\[x.coins.btc\].* \(9\) is above max_deposit \(8\)"),
    ({"swap": {"lower": 9, "upper": 8}}, r"\[x.swap\].*lower \(9\) is above upper \(8\)"),
    ({"swap": {"tiers": []}}, r"\[x.swap\].*last of the tiers"),
    ({"swap": {"tiers": [{"amount": 5, "confirmations": 1}]}}, r"\[x.swap\].*last of the tiers"),
]


@pytest.mark.parametrize(("table", "why"), BAD, ids=[str(table)[:40] for table, _ in BAD])
def test_what_is_wrong_is_named(table: object, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        over(DEFAULT, table, "x")


@pytest.mark.parametrize("slug", SERVICES)
def test_every_service_survives_its_own_settings(slug: str) -> None:
    """What is written out from a service's policy reads as the same policy."""
    kind = SERVICES[slug]
    assert over(kind.policy, msgspec.to_builtins(kind.policy), slug) == kind.policy
    assert over(kind.settings(), msgspec.to_builtins(kind.settings()), slug) == kind.settings()
