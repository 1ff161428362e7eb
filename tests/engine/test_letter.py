"""Letters of guarantee: whoever changes a byte is found out."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.engine import letter
from glasstumbler.engine.order import Order, PlannedOutput, Terms
from glasstumbler.errors import Malformed
from tests.engine.orders import order

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))


def shares_order() -> Order:
    outputs = [PlannedOutput("tb1first", share=335, delay=3600), PlannedOutput("tb1second", share=665)]
    terms = Terms(fee_ppm=10_001, per_output=40_000, minimum=500_000, maximum=12_345_600_000)
    return order(outputs=outputs, terms=terms)


LETTER = letter.sign(letter.compose(shares_order(), 7), KEY)


def test_what_a_letter_says() -> None:
    assert letter.compose(shares_order(), 7).splitlines() == [
        "LETTER OF GUARANTEE - TEST NETWORK ONLY - COINS WITHOUT VALUE",
        "Service: any",
        "Order: ANY",
        "Coin: btc",
        "Deposit-Address: addr",
        "Created: 2023-11-14T22:13:20Z",
        "Deposit-Until: 2023-11-14T23:13:20Z",
        "Valid-Until: 2023-11-21T23:13:20Z",
        "Deposit-Minimum: 0.005",
        "Deposit-Maximum: 123.456",
        "Service-Fee: 1.0001 %",
        "Fee-Per-Address-Maximum: 0.0004",
        "Output-1: tb1first, 33.5 %, delay 60 minutes",
        "Output-2: tb1second, 66.5 %, delay 0 minutes",
    ]


def test_a_quoted_order_names_the_exact_amount() -> None:
    outputs = [PlannedOutput("tb1first", wanted=10_000_000)]
    lines = letter.compose(order(outputs=outputs, terms=Terms(quote=30_915_986)), 7).splitlines()
    assert "Deposit-Exactly: 0.30915986" in lines and "Output-1: tb1first, 0.1, delay 0 minutes" in lines
    assert not [line for line in lines if line.startswith(("Deposit-Minimum", "Deposit-Maximum"))]


def test_an_order_without_a_greatest_deposit_names_none() -> None:
    assert "Deposit-Maximum" not in letter.compose(order(terms=Terms(minimum=1)), 7)


@pytest.mark.parametrize("ppm", [0, 1, 99, 100, 10_000, 10_001, 50_000, 999_999])
def test_the_fee_has_four_decimals(ppm: int) -> None:
    line = next(n for n in letter.compose(order(terms=Terms(fee_ppm=ppm)), 7).splitlines() if "Service-Fee" in n)
    assert line == f"Service-Fee: {ppm // 10_000}.{ppm % 10_000:04d} %"


def wrapped(raw: bytes) -> bytes:
    return b"\n".join(raw[n : n + 76] for n in range(0, len(raw), 76)) + b"\n"


BASE64 = base64.b64encode(LETTER.encode())


@pytest.mark.parametrize("raw", [LETTER.encode(), BASE64, wrapped(BASE64)], ids=["plain", "base64", "wrapped"])
@pytest.mark.parametrize("trusted", [None, PUBLIC], ids=["any key", "this key"])
def test_a_true_letter_holds(raw: bytes, trusted: bytes | None) -> None:
    fields = letter.verify(raw, trusted)
    assert (fields["Order"], fields["Output-1"]) == ("ANY", "tb1first, 33.5 %, delay 60 minutes")
    assert len(fields) == 13


def test_the_signature_is_ed25519_over_every_byte_before_the_block() -> None:
    body, _, block = LETTER.partition("-----BEGIN SIGNATURE-----\n")
    key, signature = (line.partition(": ")[2] for line in block.splitlines()[:2])
    Ed25519PublicKey.from_public_bytes(base64.b64decode(key)).verify(base64.b64decode(signature), body.encode())


def test_a_changed_bit_anywhere_is_found() -> None:
    raw = LETTER.encode()
    held = []
    for place in range(len(raw) - 1):  # the newline at the very end is the file's, not the letter's
        changed = bytearray(raw)
        changed[place] ^= 1
        try:
            letter.verify(bytes(changed))
        except Malformed:
            continue
        held.append(place)
    assert not held


@given(st.data())
def test_an_inserted_or_lost_byte_is_found(data: st.DataObject) -> None:
    raw = LETTER.encode()
    place = data.draw(st.integers(0, len(raw) - 2))  # all but the newline at the very end
    extra = data.draw(st.sampled_from([b"", b" ", b"\n", b"x", b"\xff"]))
    changed = raw[:place] + extra + raw[place + (extra == b"") :]
    with pytest.raises(Malformed):
        letter.verify(changed)


def test_another_key_is_not_this_folders() -> None:
    forged = letter.sign(letter.compose(shares_order(), 7), OTHER).encode()
    assert letter.verify(forged)["Order"] == "ANY"
    with pytest.raises(Malformed, match="another key"):
        letter.verify(forged, PUBLIC)


def test_a_key_put_in_the_place_of_the_signers_does_not_hold() -> None:
    theirs = base64.b64encode(OTHER.public_key().public_bytes_raw()).decode()
    ours = base64.b64encode(PUBLIC).decode()
    with pytest.raises(Malformed, match="was changed"):
        letter.verify(LETTER.replace(ours, theirs).encode())


@pytest.mark.parametrize("plain", ["LETTER OF GUARANTEE\nService: any\n", "", "\n" + letter.HEADER])
def test_a_signed_text_that_does_not_say_test_network_is_no_letter(plain: str) -> None:
    with pytest.raises(Malformed, match="TEST NETWORK"):
        letter.verify(base64.b64encode(letter.sign(plain, KEY).encode()))


BLOCK = "-----BEGIN SIGNATURE-----\n"
DAMAGED = {
    "empty": "",
    "not base64": "%%%",
    "base64 of noise": base64.b64encode(b"\xff\xfe").decode(),
    "no block": LETTER.partition(BLOCK)[0],
    "no end": LETTER.replace("-----END SIGNATURE-----\n", ""),
    "no signature": LETTER.replace("Signature:", "Sign:"),
    "short key": LETTER.replace(base64.b64encode(PUBLIC).decode(), "AAAA"),
    "two blocks": LETTER + LETTER.partition(BLOCK)[2],
    "text behind": LETTER + "Service-Fee: 0 %\n",
    "a block in front": BLOCK + LETTER,
}


@pytest.mark.parametrize("raw", DAMAGED.values(), ids=DAMAGED)
def test_what_is_no_letter(raw: str) -> None:
    with pytest.raises(Malformed):
        letter.verify(raw.encode())


@given(st.binary(max_size=300))
def test_no_bytes_do_worse_than_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        letter.verify(raw)
    with pytest.raises(Malformed):
        letter.verify(LETTER.partition(BLOCK)[0].encode() + BLOCK.encode() + raw)
