"""Payment requests, against the bytes that protoc makes, and every cut of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.chains import bip70
from glasstumbler.chains.base import Output
from glasstumbler.errors import BadPaymentRequest

SCRIPT = bytes.fromhex("0014") + bytes(20)
REQUEST = bip70.PaymentRequest((Output(SCRIPT, 100_000),), 1_700_000_000, 1_700_000_900, "tea")
# protoc --encode of BIP 70's paymentrequest.proto gives these bytes for the fields above.
WIRE = bytes.fromhex(
    "0801"  # payment_details_version = 1
    "12046e6f6e65"  # pki_type = "none"
    "2238"  # serialized_payment_details, 56 bytes
    "0a0772656774657374"  # network = "regtest"
    "121c08a08d061216" + SCRIPT.hex() + "1880e2cfaa06"  # outputs, time
    "2084e9cfaa06"  # expires
    "2a03746561"  # memo
)


def test_a_request_is_written_as_protobuf_lays_it_out() -> None:
    assert bip70.encode(REQUEST) == WIRE
    assert bip70.decode(WIRE) == REQUEST


def test_a_request_for_another_network_is_refused_with_both_named() -> None:
    raw = bip70.encode(REQUEST._replace(network="main"))
    with pytest.raises(BadPaymentRequest, match=r"'main'.*'regtest'"):
        bip70.decode(raw)


def test_a_request_that_names_no_network_is_not_for_ours() -> None:
    with pytest.raises(BadPaymentRequest):
        bip70.decode(bytes.fromhex("2200"))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_refused(raw: bytes) -> None:
    try:
        bip70.decode(raw)
    except BadPaymentRequest:
        return


@pytest.mark.parametrize("length", range(len(WIRE)))
def test_a_request_cut_short_is_refused_or_lacks_a_field(length: int) -> None:
    try:
        cut = bip70.decode(WIRE[:length])
    except BadPaymentRequest:
        return
    assert cut != REQUEST


@given(
    st.integers(0, 21 * 10**14),
    st.binary(min_size=1, max_size=80),
    st.integers(0, 2**40),
    st.integers(0, 2**40),
    st.text(max_size=50),
)
def test_what_is_written_is_read_again(amount: int, script: bytes, time: int, expires: int, memo: str) -> None:
    request = bip70.PaymentRequest((Output(script, amount),), time, expires, memo)
    assert bip70.decode(bip70.encode(request)) == request
