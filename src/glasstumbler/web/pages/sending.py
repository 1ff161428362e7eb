"""A call of the console: what is sent, the same as a curl line, and what came back, read for people.

It is sent through the hub's own application, the way that any client's request takes.
"""

from __future__ import annotations

import json
import shlex
from base64 import b64encode
from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from glasstumbler.dialects import php, wire
from glasstumbler.engine import letter
from glasstumbler.errors import Malformed
from glasstumbler.vault import Vault, key_row
from glasstumbler.web.pages.contracts import Operation
from glasstumbler.web.pages.filled import target
from glasstumbler.web.pages.written import pretty

if TYPE_CHECKING:
    import httpx

_JSON: Final = ("content-type", "application/json")
_PICTURE_MOST: Final = 64 * 1024


class Outgoing(NamedTuple):
    method: str
    path: str
    """With the query; under the service's slug."""
    headers: tuple[tuple[str, str], ...]
    body: bytes | None


class Check(NamedTuple):
    """Of what a reply is signed with."""

    holds: bool
    says: str


class Reply(NamedTuple):
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    text: str
    picture: str
    """A data: URL, or ""."""
    check: Check | None
    milliseconds: float


def outgoing(slug: str, operation: Operation, given: Mapping[str, str], key: str, body: str) -> Outgoing:
    """As the form has it. A key that is left empty is not sent."""
    headers: list[tuple[str, str]] = []
    if operation.keyed and key:
        headers.append(("authorization", f"Bearer {_plain(key)}"))
    if operation.body is None:
        return Outgoing(operation.method, f"/{slug}{target(operation, given)}", tuple(headers), None)
    raw = body.replace("\r\n", "\n").encode()  # forms end lines so, whatever was typed
    return Outgoing(operation.method, f"/{slug}{target(operation, given)}", (*headers, _JSON), raw)


def _plain(key: str) -> str:
    if not key.isascii() or not key.isprintable():
        raise Malformed("a key in a header is of printable ASCII characters", "key")
    return key


def curl(hub: str, out: Outgoing) -> str:
    """A line for a POSIX shell that sends the same."""
    words = ["curl", "-sS"]
    for name, value in out.headers:
        words += ["-H", f"{name}: {value}"]
    if out.body is not None:
        words += ["--data-raw", out.body.decode()]
    return " ".join(map(shlex.quote, [*words, f"{hub}{out.path}"]))


async def send(app: Any, hub: str, peer: str, out: Outgoing) -> tuple[httpx.Response, float]:
    """The answer, and how many milliseconds it took."""
    import httpx  # only who sends something waits for it

    transport = httpx.ASGITransport(app=app, client=(peer, 0))
    began = perf_counter()
    async with httpx.AsyncClient(transport=transport, base_url=hub, follow_redirects=False, trust_env=False) as client:
        answer = await client.request(out.method, out.path, headers=list(out.headers), content=out.body)
    return answer, (perf_counter() - began) * 1000


def read(answer: httpx.Response, milliseconds: float, check: Check | None) -> Reply:
    kind = answer.headers.get("content-type", "")
    picture = ""
    if kind.startswith("image/") and len(answer.content) <= _PICTURE_MOST:
        picture = f"data:{kind.partition(';')[0]};base64,{b64encode(answer.content).decode()}"
    text = "" if kind.startswith("image/") else pretty(answer.content) or answer.content.decode("utf-8", "replace")
    headers = tuple(answer.headers.items())
    return Reply(answer.status_code, answer.reason_phrase, headers, text, picture, check, milliseconds)


def check(vault: Vault, slug: str, key: str, answer: httpx.Response) -> Check | None:
    """Whether the reply's signature, or the letter in it, holds; None where there is neither."""
    try:
        fields = json.loads(answer.content, parse_float=wire.exact)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    if isinstance(given := fields.get("signature"), str):
        holds = php.sign(fields, vault.account(key_row(slug, key, 0)).secret) == given
        said = "was made with the secret of this key" if holds else "was not made with the secret of this key"
        return Check(holds, f"signature: HMAC-SHA256 over the other values as PHP writes them; it {said}.")
    data = fields.get("data")
    if isinstance(data, dict) and isinstance(given := data.get("letter_of_guarantee"), str):
        return _check_letter(vault, given)
    return None


def _check_letter(vault: Vault, given: str) -> Check:
    try:
        letter.verify(given.encode(), vault.letter_key.public_key().public_bytes_raw())
    except Malformed as error:
        return Check(False, f"letter_of_guarantee: {error}.")
    return Check(True, "letter_of_guarantee: its Ed25519 signature was made with this laboratory's letter key.")
