"""Texts that people hand in: addresses, invoices, payment URLs, letters, settings, scenarios.

Checksums keep random texts out, so most targets have a second way in, chosen by the first byte, on which the bytes get
a right checksum (or a signature) before they are read.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fuzz.target import NOW, Target, folder, split
from glasstumbler import payment_url, settings
from glasstumbler.chains import bolt11, encoding, monero_keys
from glasstumbler.chains.base import Format
from glasstumbler.chains.eth_format import EthFormat, checksum_address
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.monero import MoneroFormat
from glasstumbler.engine import letter
from glasstumbler.errors import (
    BadAddress,
    BadInvoice,
    BadPaymentRequest,
    BadPaymentUrl,
    Malformed,
    NotATestNetwork,
    SettingsError,
)
from glasstumbler.house import HouseSettings
from glasstumbler.lab import scenario
from glasstumbler.services import SERVICES

ALL_FORMATS: dict[str, Format] = {**FORMATS, "eth": EthFormat(), "xmr": MoneroFormat()}
PREFIXES = ("bcrt", "rltc", "bchreg", "tb", "bc", "bchtest", "1", "~")
INVOICES = ("lnbcrt", "lnbcrt20u", "lnbcrt25m", "lnbcrt10p", "lnbcrt1", "lntb", "lnbc1m", "lnbcrt0u")
SIZES = (20, 24, 28, 32, 40, 48, 56, 64)
SECRET = b"\1" * 32
LETTER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def symbols_of(data: bytes) -> list[int]:
    return [byte & 31 for byte in data]


# -- addresses ------------------------------------------------------------------------------------------------------


def address_text(data: bytes) -> str:
    """The text itself, or the bytes in a form whose checksum is right."""
    way, rest = split(data)
    if way in (0, *range(32, 256)):
        return text_of(data)
    choice, rest = split(rest)
    prefix = PREFIXES[choice % len(PREFIXES)]
    if way == 1:
        return encoding.bech32_encode(prefix, symbols_of(rest), (encoding.BECH32, encoding.BECH32M)[choice >> 7])
    if way == 2:
        size = SIZES[choice >> 3 & 7]
        return encoding.cashaddr_encode(prefix, choice >> 6, rest[:size].ljust(size, b"\0"))
    if way == 3:
        return encoding.base58check_encode(choice, rest)
    if way == 4:
        return monero_keys.encode_address(choice, rest)
    return checksum_address(rest[:20])


def run_address(data: bytes) -> None:
    text, refused = address_text(data), 0
    for coin, form in ALL_FORMATS.items():
        try:
            key = form.key(text)
        except (BadAddress, NotATestNetwork):
            refused += 1
            continue
        again = form.address(key)
        assert form.key(again) == key, f"{coin}: {text!r} is written as {again!r}, which is another key"
    if refused == len(ALL_FORMATS):
        raise BadAddress("no coin's")


# -- invoices and payment requests ----------------------------------------------------------------------------------


def run_invoice(data: bytes) -> None:
    way, rest = split(data)
    text = text_of(data)
    if way == 1:
        choice, rest = split(rest)
        text = encoding.bech32_encode(INVOICES[choice % len(INVOICES)], symbols_of(rest), encoding.BECH32)
    bolt11.decode_parts(text)
    invoice = bolt11.decode(text)
    written = bolt11.encode(invoice, SECRET)
    read = bolt11.decode(written)
    assert msgspec.structs.replace(read, payee=invoice.payee) == invoice, f"{text!r} is written as {written!r}"


def run_payment_url(data: bytes) -> None:
    url, address, sat = payment_url.resolve(text_of(data), FORMATS["btc"], NOW)
    assert sat > 0
    assert FORMATS["btc"].key(address)
    assert payment_url.resolve(url, FORMATS["btc"], NOW) == (url, address, sat)


# -- letters --------------------------------------------------------------------------------------------------------


def run_letter(data: bytes) -> None:
    way, rest = split(data)
    if way != 1:
        letter.verify(data)
        return
    plain = rest.decode("utf-8", "replace").rstrip() + "\n"
    fields = letter.verify(letter.sign(plain, LETTER_KEY).encode())
    assert plain.startswith(letter.HEADER)
    assert all(isinstance(value, str) for value in fields.values())


# -- settings -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _file() -> Path:
    return folder() / "fuzz.toml"


def run_settings(data: bytes) -> None:
    """A file, and behind a zero byte lines NAME=VALUE of the environment."""
    file, _, rest = data.partition(b"\0")
    lines = rest.decode("utf-8", "replace").split("\n")
    environment = {
        f"{settings.PREFIX}{name}": value for name, _, value in (line.partition("=") for line in lines if line)
    }
    _file().write_bytes(file)
    tables = settings.load(_file(), environment)
    settings.over(HouseSettings(), tables.pop("lab", {}), "lab")
    for slug, kind in SERVICES.items():
        table = tables.get(slug, {})
        if not isinstance(table, dict):
            continue
        api = table.pop("api", {})
        policy = settings.over(kind.policy, table, slug)
        assert settings.over(kind.policy, msgspec.to_builtins(policy), slug) == policy
        settings.over(kind.settings(), api, f"{slug}.api")


def run_scenario(data: bytes) -> None:
    _file().write_bytes(data)
    found = scenario.load(str(_file()))
    for orders in (1, 1000):
        assert sum(count for _, count, _ in found.days(orders)) == orders


TARGETS = {
    "address": Target(run_address, (BadAddress,), 200),
    "invoice": Target(run_invoice, (BadInvoice, NotATestNetwork), 1500),
    "payment_url": Target(run_payment_url, (BadPaymentUrl, BadPaymentRequest), 600),
    "letter": Target(run_letter, (Malformed,), 2000),
    "settings": Target(run_settings, (SettingsError,), 8000),
    "scenario": Target(run_scenario, (SettingsError,), 8000),
}
