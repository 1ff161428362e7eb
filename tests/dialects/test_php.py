"""PHP's text and the signature: the published vectors, and php-cli itself."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from glasstumbler.dialects import php

VECTORS = json.loads((Path(__file__).parent / "vectors" / "signatures.json").read_text(), parse_float=Decimal)
PHP = shutil.which("php")
# The expression that documents 2 to 4 print, over an array of objects; what JSON calls a map is a PHP array.
SIGN = r"""
foreach (json_decode(file_get_contents('php://stdin'), true) as $transaction_details) {
    echo json_encode([
        implode('|', array_map(function($a){ return is_array($a) ? implode(',', array_keys($a)).','.implode(',', $a)
            : $a; }, array_values($transaction_details))),
        base64_encode(hash_hmac('sha256', implode('|', array_map(function($a){ return is_array($a) ?
            implode(',', array_keys($a)).','.implode(',', $a) : $a; }, array_values($transaction_details))),
            'test-secret-key', true)),
    ], JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES), "\n";
}
"""


@pytest.mark.parametrize("row", VECTORS["numbers"], ids=lambda row: row["json"])
def test_numbers(row: dict[str, str]) -> None:
    assert php.number(Decimal(row["json"])) == row["signed"]


@pytest.mark.parametrize("row", VECTORS["signatures"], ids=lambda row: row["signature"][:6])
def test_signatures(row: dict[str, Any]) -> None:
    assert php.message(row["object"]) == row["message"]
    assert php.sign(row["object"], row["secret"]) == row["signature"]
    assert php.sign(row["object"] | {"signature": "anything"}, row["secret"]) == row["signature"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "1"),
        (False, ""),
        (None, ""),
        ("0.10", "0.10"),
        ({}, ","),
        (["a", "b"], "0,1,a,b"),
        (Decimal("-0.0"), "-0"),
    ],
    ids=str,
)
def test_other_values(value: object, text: str) -> None:
    assert php.text(value) == text


def test_absent_is_not_null() -> None:
    assert php.message({"id": "A", "fee": Decimal("0.1")}) == "A|0.1"
    assert php.message({"id": "A", "txid": None, "fee": Decimal("0.1")}) == "A||0.1"


def ask_php(objects: list[dict[str, Any]]) -> list[list[str]]:
    if PHP is None:
        pytest.skip("NO php-cli HERE: the signature was NOT compared with PHP's own (apt-get install php-cli)")
    spelled = json.dumps(objects, default=float)  # every number with a point, so that PHP reads a double
    out = subprocess.run([PHP, "-n", "-r", SIGN], input=spelled, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in out.stdout.splitlines()]


def number(chance: random.Random) -> Decimal:
    """Amounts as they occur, and doubles of every size."""
    kind = chance.randrange(4)
    if kind == 0:
        return Decimal(chance.randrange(1, 20_000)).scaleb(-8)
    if kind == 1:
        return Decimal(chance.randrange(1, 21 * 10**14)).scaleb(-8)
    if kind == 2:
        return Decimal(repr(chance.uniform(-1, 1) * 10.0 ** chance.randrange(-12, 18)))
    return Decimal(chance.randrange(10**15)).scaleb(-chance.randrange(1, 20)) + Decimal("0.0")


def test_numbers_as_php_writes_them() -> None:
    chance = random.Random(2022)
    numbers = [Decimal(repr(float(number(chance)))) for _ in range(4000)]
    assert [text for text, _ in ask_php([{"n": n} for n in numbers])] == [php.number(n) for n in numbers]


def random_object(chance: random.Random) -> dict[str, Any]:
    def word() -> str:
        return "".join(chance.choices("abcXYZ0123456789|,é ", k=chance.randrange(0, 12))) + "w"

    def value() -> Any:
        simple = [word(), Decimal(chance.randrange(1, 10**12)).scaleb(-8) + Decimal("0E-9"), None, True, False, "0.10"]
        return chance.choice(simple)

    return {
        word() + str(index): {word() + str(i): word() for i in range(chance.randrange(0, 4))}
        if chance.random() < 0.3
        else value()
        for index in range(chance.randrange(1, 13))
    }


def test_objects_as_php_signs_them() -> None:
    chance = random.Random(1649143742)
    objects = [random_object(chance) for _ in range(1500)]
    ours = [[php.message(fields), php.sign(fields, "test-secret-key")] for fields in objects]
    assert ask_php(objects) == ours
