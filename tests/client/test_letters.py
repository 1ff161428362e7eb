"""Letters of guarantee: what a client takes, and what it notices."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from glasstumbler.client import BadLetter, BadReply, Call, CodeCalls, Exact, Reply, Share, read_letter
from glasstumbler.testing import Laboratory


class Made:
    """A fresh order as it came over the wire, and the call that reads it."""

    def __init__(self, laboratory: Laboratory, fixed: bool) -> None:
        service = laboratory.service("bestmixer")
        self.calls = CodeCalls(service.key, laboratory.letter_key)
        self.to = [laboratory.address(), laboratory.address()]
        self.call = self.order(fixed)
        request = self.call.request
        done = httpx.post(service.url + request.path, content=request.body, headers=dict(request.headers))
        self.data: dict[str, Any] = json.loads(done.text)["data"]

    def order(self, fixed: bool, fee: str = "2", coin: Any = "btc", delay: int = 30, part: str = "0.5") -> Call[Any]:
        one, two = self.to
        if fixed:
            return self.calls.order_create_fixed(coin, fee, [Exact(one, part, delay), Exact(two, "0.25")])
        return self.calls.order_create(coin, fee, [Share(one, part, delay), Share(two, "99.5")])

    def read(self, call: Call[Any] | None = None, **changed: Any) -> Any:
        body = json.dumps({"error": None, "data": self.data | changed}).encode()
        return (call or self.call).read(Reply(200, {}, body))

    @property
    def letter(self) -> str:
        return b64decode(self.data["letter_of_guarantee"]).decode()


@pytest.fixture(params=[False, True], ids=["shares", "exact"])
def made(request: pytest.FixtureRequest, laboratory: Laboratory) -> Made:
    return Made(laboratory, request.param)


def test_a_letter_that_holds(made: Made) -> None:
    order = made.read()
    assert order.letter.text == made.letter and order.letter.fields["Order"] == order.order_id
    again = read_letter(made.letter, order.letter.key)
    assert again == read_letter(made.data["letter_of_guarantee"].encode()) == order.letter


def test_the_signature_without_our_reader(made: Made) -> None:
    """RFC 8032 by the library alone: everything before the block, and the block's two lines."""
    body, _, block = made.letter.partition("-----BEGIN SIGNATURE-----\n")
    lines = dict(line.split(": ") for line in block.splitlines()[:2])
    public = Ed25519PublicKey.from_public_bytes(b64decode(lines["Key"]))
    public.verify(b64decode(lines["Signature"]), body.encode())


def test_every_changed_byte_is_noticed(made: Made) -> None:
    raw = made.letter.encode()
    for place in range(0, len(raw), 7):
        for changed in (raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :], raw[:place] + raw[place + 1 :]):
            with pytest.raises((BadLetter, BadReply)):
                made.read(letter_of_guarantee=b64encode(changed).decode())


@pytest.mark.parametrize("letter", ["", "a letter", "é", "AAAA", "LETTER"])
def test_no_letter(letter: str, made: Made) -> None:
    with pytest.raises(BadLetter):
        made.read(letter_of_guarantee=letter)


def test_a_letter_signed_anew_by_somebody_else(made: Made) -> None:
    body = made.letter.partition("-----BEGIN SIGNATURE-----")[0]
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    parts = (key.public_key().public_bytes_raw(), key.sign(body.encode()))
    shown, signature = (b64encode(part).decode() for part in parts)
    forged = f"{body}-----BEGIN SIGNATURE-----\nKey: {shown}\nSignature: {signature}\n-----END SIGNATURE-----\n"
    assert read_letter(forged).key == parts[0]
    with pytest.raises(BadLetter, match="another key"):
        made.read(letter_of_guarantee=b64encode(forged.encode()).decode())


def test_a_letter_of_another_order(made: Made, laboratory: Laboratory) -> None:
    other = Made(laboratory, made.call.request.path.endswith("fixed"))
    with pytest.raises(BadLetter, match="line Order"):
        made.read(letter_of_guarantee=other.data["letter_of_guarantee"])


@pytest.mark.parametrize("name", ["order_id", "input_address", "min_amount", "max_amount", "exactly_amount"])
def test_a_reply_that_says_something_else_than_its_letter(name: str, made: Made) -> None:
    value = made.data.get(name)
    other = "AAAAAAAAAA" if isinstance(value, str) else 7.5
    with pytest.raises(BadLetter, match="the letter's line"):
        made.read(**{name: other})


@pytest.mark.parametrize(
    "other",
    [
        lambda made, fixed: made.order(fixed, fee="3"),
        lambda made, fixed: made.order(fixed, delay=31),
        lambda made, fixed: made.order(fixed, part="0.4"),
        lambda made, fixed: made.order(fixed, coin="ltc"),
        lambda made, fixed: made.order(not fixed),
        lambda made, fixed: made.calls.order_create_fixed("btc", 2, [Exact(made.to[0], "0.5", 30)]),
        lambda made, fixed: made.calls.order_create("btc", 2, [Share(made.to[0], "0.5", 30)]),
    ],
    ids=["fee", "delay", "part", "coin", "kind", "one output", "one share"],
)
def test_a_letter_that_promises_something_else_than_was_ordered(
    other: Callable[[Made, bool], Call[Any]], made: Made
) -> None:
    with pytest.raises(BadLetter, match="the letter's line"):
        made.read(other(made, made.call.request.path.endswith("fixed")))


def test_the_command_reads_what_the_client_kept(made: Made, tmp_path: Path) -> None:
    (tmp_path / "letter").write_text(made.read().letter.text)
    command = [sys.executable, "-m", "glasstumbler", "verify-letter", str(tmp_path / "letter")]
    assert "the signature holds" in subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
