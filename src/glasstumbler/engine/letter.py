"""Letters of guarantee: plain text that says TEST NETWORK, signed with Ed25519 (RFC 8032).

Form: a header line, `Key: value` lines, then a block with the verifying key and the detached signature over every
byte before that block. The API sends it base64-encoded. The original services' form is not documented; this is ours.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from glasstumbler.clock import iso_z
from glasstumbler.engine.order import Order
from glasstumbler.errors import Malformed
from glasstumbler.money import PPM, text

HEADER = "LETTER OF GUARANTEE - TEST NETWORK ONLY - COINS WITHOUT VALUE"
_BLOCK = "-----BEGIN SIGNATURE-----"
_END = "-----END SIGNATURE-----"


def compose(order: Order, days: int) -> str:
    """The text of an order's letter, unsigned, ending in a newline."""
    terms = order.terms
    lines = [HEADER, f"Service: {order.service}", f"Order: {order.id}", f"Coin: {order.coin}"]
    lines += [f"Deposit-Address: {order.address}", f"Created: {iso_z(order.created)}"]
    lines += [f"Deposit-Until: {iso_z(order.expires)}", f"Valid-Until: {iso_z(order.expires + days * 86400)}"]
    if terms.quote is not None:
        lines.append(f"Deposit-Exactly: {text(terms.quote, order.coin)}")
    else:
        lines.append(f"Deposit-Minimum: {text(terms.minimum, order.coin)}")
        if terms.maximum is not None:
            lines.append(f"Deposit-Maximum: {text(terms.maximum, order.coin)}")
    lines.append(f"Service-Fee: {_percent(terms.fee_ppm)} %")
    lines.append(f"Fee-Per-Address-Maximum: {text(terms.per_output, order.coin)}")
    for number, output in enumerate(order.outputs, 1):
        part = text(output.wanted, order.coin) if output.wanted is not None else f"{(output.share or 0) / 10:g} %"
        lines.append(f"Output-{number}: {output.address}, {part}, delay {output.delay // 60} minutes")
    return "\n".join(lines) + "\n"


def sign(plain: str, key: Ed25519PrivateKey) -> str:
    body = plain.encode()
    return plain + _block(key.public_key().public_bytes_raw(), key.sign(body))


def verify(raw: bytes, trusted: bytes | None = None) -> dict[str, str]:
    """The letter's lines, if its signature holds. `raw` is the letter or its base64 form; with `trusted`, the key must
    be that one. Malformed says what is wrong."""
    letter = _plain(raw)
    body, found, block = letter.partition(_BLOCK + "\n")
    lines = block.splitlines()
    if not found or len(lines) != 3 or lines[2] != _END:
        raise Malformed("the letter has no signature block")
    fields = dict(line.partition(": ")[::2] for line in lines[:2])
    try:
        public = base64.b64decode(fields["Key"], validate=True)
        signature = base64.b64decode(fields["Signature"], validate=True)
        Ed25519PublicKey.from_public_bytes(public).verify(signature, body.encode())
        if f"{_BLOCK}\n{block}".rstrip() != _block(public, signature).rstrip():
            raise ValueError("not as it was written")  # base64 has bits that nothing reads
    except (KeyError, ValueError, binascii.Error):
        raise Malformed("the signature block is damaged") from None
    except InvalidSignature:
        raise Malformed("the signature does not hold: the letter was changed") from None
    if trusted is not None and public != trusted:
        raise Malformed("the letter is signed with another key than this folder's")
    head, _, rest = body.partition("\n")
    if head != HEADER:
        raise Malformed("the letter does not say TEST NETWORK")
    return dict(line.partition(": ")[::2] for line in rest.splitlines())


def _block(public: bytes, signature: bytes) -> str:
    key, signed = (base64.b64encode(part).decode() for part in (public, signature))
    return f"{_BLOCK}\nKey: {key}\nSignature: {signed}\n{_END}\n"


def _plain(raw: bytes) -> str:
    try:
        if not raw.startswith(HEADER[:6].encode()):
            raw = base64.b64decode(b"".join(raw.split()), validate=True)
        return raw.decode()
    except (ValueError, binascii.Error):
        raise Malformed("neither a letter nor its base64 form") from None


def _percent(ppm: int) -> str:
    return f"{ppm * 100 // PPM}.{ppm * 100 % PPM // 100:04d}"
