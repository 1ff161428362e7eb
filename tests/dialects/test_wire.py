"""Strict reading, and writing digit by digit."""

from __future__ import annotations

from decimal import Decimal

import pytest

from glasstumbler.dialects import wire
from glasstumbler.errors import BadAmount, Malformed, TooLarge
from tests.dialects.orders import post


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", wire.NOT_JSON),
        (b"{", wire.NOT_JSON),
        (b'{"a": 1,}', wire.NOT_JSON),
        (b"{'a': 1}", wire.NOT_JSON),
        ('{"a": “b"}'.encode(), wire.NOT_JSON),
        (b'{"a": "\xff"}', wire.NOT_JSON),
        (b'{"a": NaN}', wire.NOT_JSON),
        (b'{"a": -Infinity}', wire.NOT_JSON),
        (b'{"a": ' + b"9" * 5000 + b"}", wire.NOT_JSON),
        (b"[]", "the body must be a JSON object"),
        (b'"a"', "the body must be a JSON object"),
        (b'{"a": 1, "a": 2}', "a: given twice"),
        (b'{"a": {"b": 1, "b": 1}}', "b: given twice"),
        (b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", "nested deeper than 32"),
        (b'{"a": ' * 60_000, "nested deeper than 32"),
        (b"[" * 10_000, "nested deeper than 32"),
    ],
)
def test_refuses(body: bytes, said: str) -> None:
    if len(body) > wire.BODY_MAX:
        body = body[: wire.BODY_MAX]
    with pytest.raises(Malformed) as caught:
        wire.read_object(post("/", body))
    assert str(caught.value) == said


def test_refuses_a_large_body() -> None:
    with pytest.raises(TooLarge):
        wire.read_object(post("/", b'{"a": "' + b"x" * wire.BODY_MAX + b'"}'))


def test_many_brackets_side_by_side_or_in_text_are_not_deep() -> None:
    body = {"list": [[] for _ in range(100)], "text": "[" * 100 + '\\"{'}
    assert wire.read_object(post("/", body)) == body


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("application/json; charset = utf-8", True),
        ('Application/JSON;charset="UTF-8"', True),
        ("", True),
        ("application/json; charset=latin-1", False),
        ("text/plain", False),
        ("application/x-www-form-urlencoded", False),
        ("application/jsonp", False),
    ],
)
def test_content_types(kind: str, taken: bool) -> None:
    request = post("/", {}, {"content-type": kind})
    if taken:
        assert wire.read_object(request) == {}
    else:
        with pytest.raises(Malformed, match="content type"):
            wire.read_object(request)


def test_content_type_may_be_absent() -> None:
    assert wire.read_object(post("/", {})._replace(headers={})) == {}


def test_numbers_are_read_exactly() -> None:
    fields = wire.read_object(post("/", b'{"a": 0.1, "b": 1e-8, "c": 7, "d": 1e99999999999999999999}'))
    assert fields == {"a": Decimal("0.1"), "b": Decimal("1E-8"), "c": 7, "d": Decimal("Infinity")}
    assert [type(value) for value in fields.values()] == [Decimal, Decimal, int, Decimal]


@pytest.mark.parametrize("value", ["0.001", "1e-8", 1, Decimal("0.00000001"), 0])
def test_amounts(value: str | int | Decimal) -> None:
    assert wire.amount(value, "f", "btc") == value


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, [], {}, "", "abc", "NaN", "Infinity", "1_0", "0x10", "-0.1", -1, "٣", "9" * 50),
        *("0.000000001", Decimal("0.123456789"), Decimal("1E+400"), Decimal("Infinity"), Decimal("1E-400")),
    ],
    ids=str,
)
def test_bad_amounts(value: object) -> None:
    with pytest.raises(BadAmount, match=r"^f: "):
        wire.amount(value, "f", "btc")


@pytest.mark.parametrize(("value", "number"), [(1, 1), ("12", 12), (Decimal("3.0"), 3), ("-4", -4), ("0", 0)])
def test_whole(value: object, number: int) -> None:
    assert wire.whole(value, "f") == number


@pytest.mark.parametrize("value", [None, True, "", "1.5", " 1", "0x1", "007", "1e2", Decimal("1.5"), [1], "9" * 19])
def test_not_whole(value: object) -> None:
    with pytest.raises(Malformed, match="f: must be a whole number"):
        wire.whole(value, "f")


@pytest.mark.parametrize("value", [Decimal("Infinity"), Decimal("1E+400")])
def test_not_whole_in_any_range(value: Decimal) -> None:
    with pytest.raises(Malformed):
        wire.whole(value, "f")


@pytest.mark.parametrize("value", [5, None, "a\x00b", "a\nb", "\ud800", "x" * 257])
def test_bad_texts(value: object) -> None:
    with pytest.raises(Malformed, match=r"^f: "):
        wire.text(value, "f")


def test_writes_plain_decimals() -> None:
    fields = {"a": Decimal("1E-8"), "b": [Decimal("0.00001")], "c": {"d": Decimal("100")}, "e": "é", "f": None}
    assert wire.encode(fields) == '{"a":0.00000001,"b":[0.00001],"c":{"d":100},"e":"é","f":null}'.encode()


def test_clip_is_short_and_printable() -> None:
    assert wire.clip("a\r\nb\ud800") == "a??b?"
    assert len(wire.clip("x" * 5000)) < 60
