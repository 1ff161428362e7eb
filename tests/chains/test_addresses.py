"""Address codes and addresses: published vectors, other people's libraries as oracles, and corruption."""

import json
from pathlib import Path

import base58
import pytest
from embit import bech32 as embit_bech32
from embit import script as embit_script
from embit.networks import NETWORKS
from hypothesis import assume, given
from hypothesis import strategies as st

from glasstumbler.chains import addresses, encoding, script
from glasstumbler.chains.script import classify, output_script
from glasstumbler.errors import BadAddress, NotATestNetwork

VECTORS = Path(__file__).parent / "vectors"
BECH32 = json.loads((VECTORS / "bech32.json").read_text())
CASHADDR = json.loads((VECTORS / "cashaddr.json").read_text())

SIZES = {"p2pkh": 20, "p2sh": 20, "p2wpkh": 20, "p2wsh": 32, "p2tr": 32}
KINDS = {"btc": tuple(SIZES), "ltc": tuple(SIZES), "bch": ("p2pkh", "p2sh")}
BITCOIN_REGTEST = NETWORKS["regtest"]
LITECOIN_REGTEST = {**BITCOIN_REGTEST, "bech32": "rltc", "p2sh": b"\x3a"}


@st.composite
def payable(draw):
    """(coin, scriptPubKey) of every kind that the coin has."""
    coin = draw(st.sampled_from(sorted(KINDS)))
    kind = draw(st.sampled_from(KINDS[coin]))
    return coin, output_script(kind, draw(st.binary(min_size=SIZES[kind], max_size=SIZES[kind])))


# Codes


@pytest.mark.parametrize(("name", "variant"), [("bech32", encoding.BECH32), ("bech32m", encoding.BECH32M)])
def test_valid_bech32(name, variant):
    for text in BECH32[name]:
        prefix, symbols, found = encoding.bech32_decode(text)
        assert found == variant
        assert encoding.bech32_encode(prefix, symbols, variant) == text.lower()


@pytest.mark.parametrize("text", BECH32["not_bech32"] + BECH32["not_bech32m"])
def test_invalid_bech32(text):
    with pytest.raises(ValueError):
        encoding.bech32_decode(text)


@pytest.mark.parametrize(("text", "script"), BECH32["segwit"])
def test_valid_segwit_programs(text, script):
    prefix, symbols, variant = encoding.bech32_decode(text)
    version, program = encoding.segwit_program(symbols, variant)
    assert bytes([version and 0x50 + version, len(program)]) + program == bytes.fromhex(script)
    assert encoding.segwit_encode(prefix, version, program) == text.lower()


@pytest.mark.parametrize("text", BECH32["not_segwit"])
def test_invalid_segwit_programs(text):
    with pytest.raises(ValueError):
        _, symbols, variant = encoding.bech32_decode(text)
        encoding.segwit_program(symbols, variant)


@pytest.mark.parametrize(("text", "kind", "payload"), CASHADDR["sized"])
def test_cashaddr_of_every_size(text, kind, payload):
    prefix = text.partition(":")[0]
    assert encoding.cashaddr_decode(text, "other") == (prefix, kind, bytes.fromhex(payload))
    assert encoding.cashaddr_decode(text.partition(":")[2], prefix)[2].hex() == payload
    assert encoding.cashaddr_decode(text.upper(), "other")[2].hex() == payload
    assert encoding.cashaddr_encode(prefix, kind, bytes.fromhex(payload)) == text


@pytest.mark.parametrize("text", CASHADDR["checksums"])
def test_cashaddr_checksums_without_a_valid_content_are_refused_for_the_content(text):
    with pytest.raises(ValueError) as refusal:
        encoding.cashaddr_decode(text, "other")
    assert "checksum" not in str(refusal.value)


@pytest.mark.parametrize(("legacy", "cash"), CASHADDR["translated"])
def test_cashaddr_and_base58_hold_the_same_hash(legacy, cash):
    assert encoding.base58check_decode(legacy)[1] == encoding.cashaddr_decode(cash, "")[2]


@given(version=st.integers(0, 255), payload=st.binary(max_size=40))
def test_base58check_agrees_with_the_base58_package(version, payload):
    theirs = base58.b58encode_check(bytes([version]) + payload).decode()
    assert encoding.base58check_encode(version, payload) == theirs
    if payload:
        assert encoding.base58check_decode(theirs) == (version, payload)


@given(st.text(alphabet="123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0OIl", max_size=45))
def test_base58check_refuses_what_the_base58_package_refuses(text):
    try:
        theirs = base58.b58decode_check(text)
    except ValueError:
        with pytest.raises(ValueError):
            encoding.base58check_decode(text)
    else:
        assert bytes([encoding.base58check_decode(text)[0]]) == theirs[:1]


@given(data=st.binary(min_size=1, max_size=70))
def test_symbols_round_trip(data):
    symbols = encoding.to_symbols(data)
    assert encoding.to_bytes(symbols) == data
    assert symbols == embit_bech32.convertbits(data, 8, 5)


# Addresses


@given(payable())
def test_addresses_round_trip(case):
    coin, script = case
    assert addresses.key(coin, addresses.address(coin, script)) == script


@given(payable())
def test_addresses_agree_with_embit(case):
    coin, script = case
    assume(coin != "bch")
    network = {"btc": BITCOIN_REGTEST, "ltc": LITECOIN_REGTEST}[coin]
    assert addresses.address(coin, script) == embit_script.Script(script).address(network)


@given(payable(), st.data())
def test_one_wrong_character_never_decodes(case, data):
    coin, script = case
    text = addresses.address(coin, script)
    at = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters(min_codepoint=33, max_codepoint=255).filter(lambda c: c != text[at]))
    with pytest.raises((BadAddress, NotATestNetwork)):
        addresses.key(coin, text[:at] + character + text[at + 1 :])


@given(payable(), st.data())
def test_one_character_more_or_less_never_decodes(case, data):
    coin, script = case
    text = addresses.address(coin, script)
    at = data.draw(st.integers(0, len(text) - 1))
    extra = data.draw(st.sampled_from("qp1:z2 "))
    for wrong in (text[:at] + text[at + 1 :], text[:at] + extra + text[at:], text + extra):
        with pytest.raises((BadAddress, NotATestNetwork)):
            addresses.key(coin, wrong)


@given(coin=st.sampled_from(sorted(KINDS)), text=st.text(max_size=130))
def test_garbage_is_a_bad_address(coin, text):
    with pytest.raises(BadAddress):
        addresses.key(coin, text)


def test_reading_is_wider_than_writing():
    payload = bytes(range(20))
    p2pkh, p2sh = output_script("p2pkh", payload), output_script("p2sh", payload)
    assert addresses.key("ltc", encoding.base58check_encode(196, payload)) == p2sh
    assert addresses.key("ltc", encoding.base58check_encode(58, payload)) == p2sh
    assert addresses.address("ltc", p2sh).startswith("Q")
    for coin in ("btc", "ltc", "bch"):
        assert addresses.key(coin, encoding.base58check_encode(111, payload)) == p2pkh
    assert addresses.key("bch", encoding.base58check_encode(196, payload)) == p2sh
    cash = addresses.address("bch", p2pkh)
    assert addresses.key("bch", cash.removeprefix("bchreg:")) == p2pkh
    assert addresses.key("bch", cash.upper()) == p2pkh
    segwit = addresses.address("btc", output_script("p2wpkh", payload))
    assert addresses.key("btc", segwit.upper()) == output_script("p2wpkh", payload)


MAIN_NETWORK = [
    ("btc", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "version byte 0x00"),
    ("btc", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", "version byte 0x05"),
    ("btc", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "bech32 prefix 'bc'"),
    ("btc", "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "bech32 prefix 'bc'"),
    ("btc", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", "bech32 prefix 'bc'"),
    ("btc", "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a", "CashAddr prefix 'bitcoincash'"),
    ("ltc", encoding.segwit_encode("ltc", 0, bytes(20)), "bech32 prefix 'ltc'"),
    ("ltc", encoding.base58check_encode(48, bytes(20)), "version byte 0x30"),
    ("ltc", encoding.base58check_encode(50, bytes(20)), "version byte 0x32"),
    ("bch", "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a", "CashAddr prefix 'bitcoincash'"),
    ("bch", "1BpEi6DfDAUFd7GtittLSdBeYJvcoaVggu", "version byte 0x00"),
    ("bch", "3CWFddi6m4ndiGyKqzYvsFYagqDLPVMTzC", "version byte 0x05"),
]


@pytest.mark.parametrize(("coin", "text", "seen"), MAIN_NETWORK)
def test_main_network_addresses_are_refused_by_what_was_seen(coin, text, seen):
    with pytest.raises(NotATestNetwork) as refusal:
        addresses.key(coin, text)
    assert refusal.value.seen == seen


@pytest.mark.parametrize(
    ("coin", "text"),
    [
        ("btc", "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"),
        ("btc", encoding.segwit_encode("rltc", 0, bytes(20))),
        ("ltc", encoding.segwit_encode("bcrt", 0, bytes(20))),
        ("bch", encoding.segwit_encode("bcrt", 0, bytes(20))),
        ("bch", "bchtest:pr6m7j9njldwwzlg9v7v53unlr4jkmx6eyvwc0uz5t"),
        # A main-network CashAddr without its prefix shows no network: only its checksum is wrong.
        ("bch", "qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a"),
        ("btc", encoding.segwit_encode("bcrt", 2, bytes(32))),
        ("btc", encoding.segwit_encode("bcrt", 16, bytes(2))),
        ("btc", encoding.segwit_encode("bcrt", 1, bytes(20))),
        ("btc", encoding.segwit_encode("bcrt", 0, bytes(32)).replace("bcrt1q", "bcrt1Q")),
        # Version 0 under bech32m, version 1 under bech32 (BIP 350).
        ("btc", encoding.bech32_encode("bcrt", [0, *encoding.to_symbols(bytes(20))], encoding.BECH32M)),
        ("btc", encoding.bech32_encode("bcrt", [1, *encoding.to_symbols(bytes(32))], encoding.BECH32)),
        ("btc", encoding.base58check_encode(111, bytes(21))),
        ("btc", encoding.base58check_encode(58, bytes(20))),
        ("bch", encoding.cashaddr_encode("bchreg", 0, bytes(32))),
        ("bch", encoding.cashaddr_encode("bchreg", 2, bytes(20))),
        ("btc", ""),
        ("btc", " bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202"),
    ],
)
def test_bad_addresses(coin, text):
    with pytest.raises(BadAddress):
        addresses.key(coin, text)


@pytest.mark.parametrize(
    ("coin", "script"),
    [
        ("btc", b""),
        ("btc", b"\x6a\x04data"),
        ("btc", b"\x52\x20" + bytes(32)),
        ("bch", output_script("p2wpkh", bytes(20))),
        ("bch", output_script("p2tr", bytes(32))),
    ],
)
def test_scripts_without_an_address(coin, script):
    with pytest.raises(BadAddress, match="without an address"):
        addresses.address(coin, script)


def test_classify_is_the_inverse_of_output_script():
    for kind, size in SIZES.items():
        assert classify(output_script(kind, bytes(size))) == (kind, bytes(size))
        with pytest.raises(ValueError, match=r"no .* script"):
            output_script(kind, bytes(size + 1))


def test_ripemd160_where_openssl_has_none(monkeypatch):
    """The designers' vector for "abc", by either library."""

    def missing(name, *_):
        raise ValueError(f"unsupported hash type {name}")

    monkeypatch.setattr("hashlib.new", missing)
    fallback = script._ripemd160()
    monkeypatch.undo()
    assert fallback(b"abc").hex() == "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"
    assert script.ripemd160(b"abc") == fallback(b"abc")
