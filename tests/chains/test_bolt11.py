"""The published vectors of BOLT 11 at the bare codec, and what the guarded reader makes of them."""

from __future__ import annotations

import contextlib
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from coincurve import PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.chains import bolt11
from glasstumbler.chains.bolt11 import Hint, Invoice, decode, decode_parts, encode
from glasstumbler.chains.encoding import BECH32, bech32_decode, bech32_encode, to_symbols
from glasstumbler.errors import BadInvoice, NotATestNetwork

VECTORS = json.loads((Path(__file__).parent / "vectors" / "bolt11.json").read_text())
SECRET = bytes.fromhex(VECTORS["private_key"])
PAYEE = bytes.fromhex(VECTORS["payee"])
HASH = bytes.fromhex("0001020304050607080900010203040506070809000102030405060708090102")


def named(cases: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in cases]


def expected(case: dict[str, Any]) -> Invoice:
    hashed = case.get("hashed") or (None if "description" in case else VECTORS["valid"][3]["hashed"])
    fallback = case.get("fallback")
    return Invoice(
        payment_hash=bytes.fromhex(case.get("payment_hash", HASH.hex())),
        payment_secret=b"\x11" * 32,
        timestamp=case.get("timestamp", 1496314658),
        amount_msat=case["amount_msat"],
        description=case.get("description"),
        description_hash=sha256(hashed.encode()).digest() if hashed else None,
        expiry=case.get("expiry", 3600),
        min_final_cltv=case.get("min_final_cltv", 18),
        features=sum(1 << bit for bit in case.get("features", (8, 14))),
        fallbacks=((fallback[0], bytes.fromhex(fallback[1])),) if fallback else (),
        hints=(tuple(Hint(bytes.fromhex(hop[0]), *hop[1:]) for hop in case["hints"]),) if "hints" in case else (),
        metadata=bytes.fromhex(case["metadata"]) if "metadata" in case else None,
        payee=PAYEE,
        prefix=case.get("prefix", "lnbc"),
    )


@pytest.mark.parametrize("case", named(VECTORS["valid"]))
def test_published_invoice_is_read(case: dict[str, Any]) -> None:
    assert decode_parts(case["invoice"]) == expected(case)


@pytest.mark.parametrize("case", named([c for c in VECTORS["valid"] if "signed" in c]))
def test_signed_data_is_the_published_digest(case: dict[str, Any]) -> None:
    digest = bytes.fromhex(case["signed"])
    prefix, symbols, _ = bech32_decode(case["invoice"], 2000)
    assert bolt11._signed_data(prefix, symbols[:-104]) == digest
    assert PrivateKey(SECRET).sign_recoverable(digest, hasher=None) == bolt11._pack(symbols[-104:])


@pytest.mark.parametrize("case", named(VECTORS["invalid"]))
def test_published_invalid_invoice_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(BadInvoice, match=case["error"]):
        decode_parts(case["invoice"])


@pytest.mark.parametrize("case", named(VECTORS["valid"]))
def test_guarded_reader_refuses_every_other_network(case: dict[str, Any]) -> None:
    with pytest.raises(NotATestNetwork, match="lnbcrt"):
        decode(case["invoice"])


def test_other_networks_are_not_written() -> None:
    with pytest.raises(NotATestNetwork):
        encode(Invoice(HASH, HASH, 0, prefix="lnbc"), SECRET)


def test_round_trip_of_everything() -> None:
    hops = (Hint(PAYEE, 66051 << 40, 1, 20, 3), Hint(PAYEE, 7, 2, 30, 4))
    invoice = Invoice(
        payment_hash=HASH, payment_secret=b"\x22" * 32, timestamp=1_700_000_000, amount_msat=21_000,
        description="tea ☕", expiry=60, min_final_cltv=40, features=bolt11.FEATURES | 1 << 17,
        fallbacks=((17, b"\x01" * 20), (1, b"\x02" * 32)), hints=(hops, hops[:1]), metadata=b"\x01\x02", payee=PAYEE,
    )  # fmt: skip
    for name_payee in (False, True):
        text = encode(invoice, SECRET, name_payee)
        assert text.startswith("lnbcrt210n1")
        assert decode(text) == decode(text.upper()) == invoice


@pytest.mark.parametrize(
    ("msat", "text"),
    [
        (None, "lnbcrt1"), (100_000_000_000, "lnbcrt11"), (100_000_000, "lnbcrt1m1"), (100_000, "lnbcrt1u1"),
        (100, "lnbcrt1n1"), (1, "lnbcrt10p1"), (967_878_534, "lnbcrt9678785340p1"), (250_000_000, "lnbcrt2500u1"),
    ],
)  # fmt: skip
def test_amount_takes_the_largest_multiplier(msat: int | None, text: str) -> None:
    invoice = encode(Invoice(HASH, HASH, 1_700_000_000, amount_msat=msat), SECRET)
    assert invoice.startswith(text)
    assert decode(invoice).amount_msat == msat


def test_named_payee_must_have_signed() -> None:
    other = PrivateKey(b"\x05" * 32)
    text = encode(Invoice(HASH, HASH, 0), SECRET, name_payee=True)
    prefix, symbols, variant = bech32_decode(text, 2000)
    signature = other.sign_recoverable(bolt11._signed_data(prefix, symbols[:-104]), hasher=None)
    forged = bech32_encode(prefix, symbols[:-104] + to_symbols(signature), variant)
    with pytest.raises(BadInvoice, match="not the payee's"):
        decode(forged)


@pytest.mark.parametrize("missing", ["p", "s", "d"])
def test_a_needed_field_is_missed(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = bolt11._fields
    monkeypatch.setattr(bolt11, "_fields", lambda *a: (f for f in fields(*a) if f[0] != missing))
    text = encode(Invoice(HASH, HASH, 0), SECRET)
    with pytest.raises(BadInvoice, match="no "):
        decode(text)


@given(st.text(max_size=300) | st.text("lnbcrt1qpzry9x8gf2tvdw0s3jn54khce6mua7l", max_size=300).map("lnbcrt1".__add__))
def test_anything_else_is_a_bad_invoice(text: str) -> None:
    with pytest.raises((BadInvoice, NotATestNetwork)):
        decode(text)


@given(st.lists(st.integers(0, 31), max_size=400))
def test_random_fields_never_surprise(symbols: list[int]) -> None:
    prefix = "lnbcrt"
    signature = PrivateKey(SECRET).sign_recoverable(bolt11._signed_data(prefix, symbols), hasher=None)
    text = bech32_encode(prefix, symbols + to_symbols(signature), BECH32)
    with contextlib.suppress(BadInvoice):
        assert decode(text).payee is not None
