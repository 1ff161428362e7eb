"""Money at the edges: texts, JSON numbers and base units, without losing one of them."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.money import PLACES, PPM, ceil_div, parse, percent, text

COINS = sorted(PLACES)
UNITS = st.integers(-(10**30), 10**30)


@given(st.sampled_from(COINS), UNITS)
def test_what_is_written_reads_the_same(coin: str, units: int) -> None:
    written = text(units, coin)
    assert parse(written, coin) == units
    assert parse(Decimal(written), coin) == units
    assert parse(json.loads(f"[{written}]", parse_float=Decimal)[0], coin) == units


@given(st.sampled_from(COINS), UNITS)
def test_texts_are_plain(coin: str, units: int) -> None:
    written = text(units, coin)
    assert "e" not in written.lower() and not written.endswith(".")
    assert "." not in written or not written.endswith("0")
    assert Fraction(written) * 10 ** PLACES[coin] == units


@given(st.sampled_from(COINS), st.decimals(0, 10**12, allow_nan=False, allow_infinity=False))
def test_the_short_way_agrees_with_decimal(coin: str, number: Decimal) -> None:
    """Plain texts take a way of their own; both ways say the same of every number."""
    plain, exact = f"{number:f}", Fraction(number) * 10 ** PLACES[coin]
    for value in (plain, number):
        if exact.denominator == 1 and len(plain) <= 40:
            assert parse(value, coin) == exact
        elif exact.denominator != 1:
            with pytest.raises(ValueError):
                parse(value, coin)


GOOD: list[tuple[Any, str, int]] = [
    ("0.001", "btc", 100_000),
    ("1", "btc", 100_000_000),
    ("0", "btc", 0),
    ("-0.5", "btc", -50_000_000),
    ("+1", "btc", 100_000_000),
    (".5", "btc", 50_000_000),
    ("5.", "btc", 500_000_000),
    (" 1 ", "btc", 100_000_000),
    ("1e-3", "btc", 100_000),
    ("1E2", "btc", 10_000_000_000),
    ("1.000000000000", "btc", 100_000_000),
    ("0.1000000000000000000000", "btc", 10_000_000),
    ("0010", "btc", 1_000_000_000),
    (7, "btc", 700_000_000),
    (Decimal("0.00000001"), "btc", 1),
    ("0.00000000001", "msat", 1),
    ("0.000000000001", "xmr", 1),
    ("0.000000000000000001", "eth", 1),
    ("0e999999", "btc", 0),
]


@pytest.mark.parametrize(("value", "coin", "units"), GOOD)
def test_amounts(value: Any, coin: str, units: int) -> None:
    assert parse(value, coin) == units


NOT_A_NUMBER, NOT_FINITE = "not a decimal number", "not a finite number"
RANGE, PLACES_TOO_MANY = "out of any range", "more than 8 decimal places"
BAD: list[tuple[Any, str]] = [
    ("", NOT_A_NUMBER),
    (" ", NOT_A_NUMBER),
    (".", NOT_A_NUMBER),
    ("1,5", NOT_A_NUMBER),
    ("1_0", NOT_A_NUMBER),
    ("１", NOT_A_NUMBER),
    ("1٫5", NOT_A_NUMBER),
    ("0x10", NOT_A_NUMBER),
    ("1 btc", NOT_A_NUMBER),
    ("1\u00a0", NOT_A_NUMBER),
    ("−1", NOT_A_NUMBER),
    ("1" * 41, NOT_A_NUMBER),
    ("NaN", NOT_FINITE),
    ("sNaN", NOT_FINITE),
    ("Infinity", NOT_FINITE),
    ("-inf", NOT_FINITE),
    (Decimal("NaN"), NOT_FINITE),
    ("1e400", RANGE),
    ("1e-400", RANGE),
    ("1e999999999", RANGE),
    (10**40, RANGE),
    ("0.000000001", PLACES_TOO_MANY),
    ("1e-9", PLACES_TOO_MANY),
    (Decimal("0.123456789"), PLACES_TOO_MANY),
    ("1.00000000000000000001", PLACES_TOO_MANY),
    (0.1, NOT_A_NUMBER),
    (True, NOT_A_NUMBER),
    (None, NOT_A_NUMBER),
    ([1], NOT_A_NUMBER),
    (b"1", NOT_A_NUMBER),
]


@pytest.mark.parametrize(("value", "why"), BAD, ids=[repr(value)[:30] for value, _ in BAD])
def test_what_is_no_amount(value: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(value, "btc")


@given(st.text(max_size=50))
def test_no_text_does_worse_than_a_value_error(value: str) -> None:
    try:
        units = parse(value, "btc")
    except ValueError:
        return
    assert Fraction(value) * 10**8 == units


@pytest.mark.parametrize(
    ("units", "coin", "written"),
    [
        (316_000, "btc", "0.00316"),
        (100_000_000, "btc", "1"),
        (0, "btc", "0"),
        (1, "btc", "0.00000001"),
        (-1, "btc", "-0.00000001"),
        (-(10**8), "btc", "-1"),
        (10**18 + 1, "eth", "1.000000000000000001"),
        (15_000_000, "msat", "0.00015"),
        (2_100_000_000_000_000, "btc", "21000000"),
    ],
)
def test_texts(units: int, coin: str, written: str) -> None:
    assert text(units, coin) == written


@pytest.mark.parametrize(
    ("units", "ppm", "part"),
    [
        (500_000, 20_000, 10_000),
        (25, 20_000, 1),  # exactly one half: up
        (24, 20_000, 0),
        (75, 20_000, 2),
        (0, 999_999, 0),
        (10**20, 1, 10**14),
        (3, 500_000, 2),
    ],
)
def test_percentages_round_half_up(units: int, ppm: int, part: int) -> None:
    assert percent(units, ppm) == part


@given(st.integers(0, 10**30), st.integers(0, PPM))
def test_a_percentage_is_off_by_half_a_unit_at_most(units: int, ppm: int) -> None:
    assert abs(percent(units, ppm) - Fraction(units * ppm, PPM)) <= Fraction(1, 2)


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**20))
def test_ceil_div(a: int, b: int) -> None:
    assert (ceil_div(a, b) - 1) * b < a <= ceil_div(a, b) * b


@pytest.mark.parametrize("digits", ["0.1" + "0" * 150 + "1", "0." + "3" * 5000, "1" + "0" * 30 + "." + "0" * 200 + "5"])
def test_no_digit_of_a_long_number_is_rounded_away(digits: str) -> None:
    """A JSON number may have thousands; the 151st behind the point was lost, and the amount taken."""
    with pytest.raises(ValueError, match="decimal places"):
        parse(Decimal(digits), "btc")
    assert parse(Decimal("0.1" + "0" * 5000), "btc") == 10_000_000
