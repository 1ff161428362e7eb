"""What fuzzing found, each held by a test that failed first."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from shutil import copytree

import pytest
from starlette.requests import Request

from glasstumbler.audit import audit
from glasstumbler.chains import monero_tx
from glasstumbler.chains.blocklog import BlockLog, LoggedBlock
from glasstumbler.chains.formats import FORMATS
from glasstumbler.errors import BadAmount, BadPaymentUrl, BlockRefused, Malformed, SettingsError, StoreError
from glasstumbler.payment_url import resolve
from glasstumbler.settings import load
from glasstumbler.web import lab_api
from tests.laboratory import Laboratory


@pytest.mark.parametrize("half", ["\ud800", "x\udc9dy"])
def test_half_a_character_in_a_payment_url_is_refused(half: str) -> None:
    """JSON can spell it; it was an internal error."""
    url = f"http://127.0.0.1:8700/lab/v1/bip70?address=x&amount=1&memo={half}"
    with pytest.raises(BadPaymentUrl):
        resolve(url, FORMATS["btc"], 0)


def test_a_block_with_a_broken_transaction_is_no_block() -> None:
    """It was reported as a refused transaction, which nobody who reads blocks expects."""
    good = monero_tx.coinbase([], b"x")
    block = monero_tx.MoneroBlock(1, "00" * 32, 5, 1, (good._replace(raw=good.raw + b"\0"),))
    with pytest.raises(BlockRefused, match="damaged"):
        monero_tx.read_monero_block(block.raw())


@pytest.mark.parametrize("statement", ["blocks SET raw = 'text'", "blocks SET hash = x'00'"])
def test_a_row_of_a_block_log_is_bytes(statement: str, tmp_path: Path) -> None:
    path = tmp_path / "ltc.blocks"
    with closing(BlockLog(path, "ltc")) as log:
        log.append([LoggedBlock(0, "aa", "bb", b"raw")])
        log.wait([("cc", b"raw")])
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(f"UPDATE {statement}")
        connection.execute("UPDATE active SET hash = (SELECT hash FROM blocks)")
        connection.execute("UPDATE waiting SET raw = 'text'")
    with closing(BlockLog(path, "ltc")) as log:
        with pytest.raises(StoreError, match="damaged"):
            list(log.chain())
        with pytest.raises(StoreError, match="damaged"):
            log.waiting()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    with closing(Laboratory("btc", folder=folder)) as lab:
        lab.fund(lab.codes("btc"))
    assert audit(folder).clean
    return folder


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET body = x'7b226b696e64223a22c3c3227d' WHERE number = 2",
        "UPDATE orders SET doc = x'7b2273657276696365223a22ff227d'",
        "UPDATE account SET key_hash = 'text' WHERE rowid = 1",
        "UPDATE account SET created = 'text' WHERE rowid = 1",
        "UPDATE watch SET key = 'text' WHERE key = (SELECT min(key) FROM watch)",
    ],
)
def test_the_audit_names_what_cannot_be_read(statement: str, whole: Path, tmp_path: Path) -> None:
    """It ended in a trace: not UTF-8 inside a document, text where bytes belong."""
    folder = Path(copytree(whole, tmp_path / "copy"))
    with closing(sqlite3.connect(folder / "record.db", isolation_level=None)) as connection:
        connection.execute(statement)
    assert not audit(folder).clean


@pytest.mark.parametrize("place", ["orders SET doc", "entry SET body"])
def test_the_audit_names_what_is_nested_without_end(place: str, whole: Path, tmp_path: Path) -> None:
    folder = Path(copytree(whole, tmp_path / "copy"))
    with closing(sqlite3.connect(folder / "record.db", isolation_level=None)) as connection:
        connection.execute(f"UPDATE {place} = ?", (b'{"extra":' * 5000,))
    assert not audit(folder).clean


@pytest.fixture
def a_programs_stack() -> Iterator[None]:
    """As deep as Python's own, whatever other tests' libraries have made of it."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 5000 + "]" * 5000, "a = " + "{a=" * 5000, "a = 1" + "0" * 5000],
    ids=["arrays", "tables", "digits"],
)
def test_settings_without_end_are_no_settings(text: str, tmp_path: Path, a_programs_stack: None) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match="is not TOML"):
        load(path, {})
    assert load(None, {"GLASSTUMBLER__A": text.removeprefix("a = ")}) == {"a": text.removeprefix("a = ")}


def body_of(raw: bytes) -> lab_api.Pay:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": raw}

    return asyncio.run(lab_api._body(Request({"type": "http", "headers": []}, receive), lab_api.Pay))


def test_an_exponent_beyond_all_bounds_is_a_bad_amount_of_the_lab() -> None:
    """It was an internal error with a trace in the log."""
    wanted = body_of(b'{"address": "x", "amount": 4e44444444444444444444}')
    with pytest.raises(BadAmount):
        lab_api._amount(wanted.amount, "btc")


def test_an_unknown_field_of_the_lab_is_named_in_one_line() -> None:
    with pytest.raises(Malformed) as refused:
        body_of(json.dumps({"address": "x", "amount": "1", "a\nb\x1b[31m" + "c" * 100: 1}).encode())
    assert "\n" not in str(refused.value) and "\x1b" not in str(refused.value) and len(str(refused.value)) < 100
