"""What happens in the laboratory, told to programs on this machine: signed, in order, at least once.

The source is the record: every entry becomes the lines of the story (story.py), each line a message. So nothing is
forgotten while the sender is away; an endpoint goes on where it was. Messages are signed as Standard Webhooks has it
(webhook-id, webhook-timestamp, webhook-signature; HMAC-SHA256). Nothing is ever sent anywhere but to loopback.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Sequence
from functools import partial
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from glasstumbler import __version__, log, story
from glasstumbler.clock import iso_z
from glasstumbler.engine import ledger
from glasstumbler.errors import GlassTumblerError, Malformed, OutOfBounds, UnknownEndpoint
from glasstumbler.house import House
from glasstumbler.store.records import Records
from glasstumbler.webhook_book import LIVE, Book, Delivery, Endpoint

if TYPE_CHECKING:
    import httpx

TYPES: Final = {
    "opened": "order.opened",
    "deposit seen": "deposit.seen",
    "credited": "deposit.confirmed",
    "deposit reorganised": "deposit.reorganised",
    "claimed": "payout.signed",
    "broadcast": "payout.sent",
    "payment mined": "payout.mined",
    "payment reorganised": "payout.reorganised",
    "settled": "payout.settled",
    "completed": "order.completed",
    "expired": "order.expired",
    "failed": "order.failed",
    "block": "block.mined",
    "block gone": "block.gone",
    "time": "time.passed",
}
"""By the story's names. What has none here is told as record.KIND, so that nothing is left out."""
_OTHER: Final = "record."
ENDPOINTS_MOST: Final = 16
_URL_MOST: Final = 2048
_PAGE: Final = 1_000
SECONDS: Final = 5.0
"""For one delivery, and for the deliveries to one endpoint in a round."""
PAUSES: Final = (1, 2, 4, 8, 15, 30, 60, 60, 60)
"""Seconds before each further attempt. After the last one, four minutes from the first, an endpoint is dead."""
_IDLE_SECONDS: Final = 0.25
_AFTER_FAILURE_SECONDS: Final = 2.0
_GONE: Final = 410
_TASK: Final = "webhooks"


class Message(NamedTuple):
    id: str
    """The same at every attempt: whoever has seen it may leave it."""
    event: str
    entry: int
    body: bytes


class Webhooks:
    """Of one house. The sender is a thread of its own; among several processes one sends."""

    def __init__(self, house: House, pauses: Sequence[float] = PAUSES) -> None:
        self._house, self._pauses = house, pauses
        self.book = Book(house.folder)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="webhooks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hurry(self) -> None:
        """What is being delivered is the last."""
        self._stopping.set()

    def close(self) -> None:
        self.hurry()
        if self._thread.is_alive():
            self._thread.join()
        self.book.close()

    # -- who listens --------------------------------------------------------------------------------------------------

    def add(self, url: str, events: Sequence[str] = ()) -> Endpoint:
        """From now on. Malformed for a URL that is not on this machine, or a kind that is unknown."""
        check_url(url)
        for event in events:
            if event not in TYPES.values() and not event.startswith(_OTHER):
                raise Malformed(f"no such event; these are: {', '.join(TYPES.values())}", "events")
        if len(self.book.all()) >= ENDPOINTS_MOST:
            raise OutOfBounds(f"at most {ENDPOINTS_MOST} endpoints; delete one first")
        head = self._house.store.read(lambda records: records.head()[0])
        return self.book.add(url, list(dict.fromkeys(events)), head)

    def find(self, name: str) -> Endpoint:
        """UnknownEndpoint if there is none."""
        found = self.book.get(name)
        if found is None:
            raise UnknownEndpoint("no such webhook endpoint")
        return found

    def secret(self, endpoint: Endpoint) -> str:
        """It follows from the folder's secret and is stored nowhere."""
        return f"whsec_{b64encode(self._key(endpoint)).decode()}"

    def _key(self, endpoint: Endpoint) -> bytes:
        return self._house.vault.derive(f"webhook {endpoint.id}")

    def test(self, endpoint: Endpoint) -> Delivery:
        """A message at once, outside the order of the others. If it arrives, a dead endpoint lives again."""
        name = f"msg_test_{secrets.token_hex(6)}"
        message = Message(name, "test", 0, _body("test", self._house.clock.now(), {"endpoint": endpoint.id}))

        async def send() -> Delivery:
            async with _client() as client:
                return await self._post(client, endpoint, message, 1)

        done = asyncio.run(send())
        if arrived(done):
            self.book.revive(endpoint.id)
        return done

    # -- the sender ---------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        asyncio.run(self._send_again_and_again())

    async def _send_again_and_again(self) -> None:
        while not self._stopping.is_set():
            pause = _IDLE_SECONDS
            try:
                await self._round()
            except GlassTumblerError as error:  # the record, or the book, may come back
                log.warning("webhooks wait", reason=str(error))
                pause = _AFTER_FAILURE_SECONDS
            except Exception:
                log.exception("webhooks wait")
                pause = _AFTER_FAILURE_SECONDS
            await asyncio.sleep(pause)

    async def _round(self) -> None:
        if not self._due():
            return
        with self._house.store.hold(_TASK) as mine:
            if mine:  # looked at anew: another process may just have told them
                async with _client() as client:
                    await asyncio.gather(*(self._tell(client, endpoint) for endpoint in self._due()))

    def _due(self) -> list[Endpoint]:
        now = time.time()
        waiting = [each for each in self.book.all() if each.state == LIVE and each.next_try <= now]
        if not waiting:
            return []
        head = self._house.store.read(lambda records: records.head()[0])
        return [each for each in waiting if each.cursor < head]

    async def _tell(self, client: httpx.AsyncClient, endpoint: Endpoint) -> None:
        """What is new, in order, until something fails or the round's time is over."""
        last, messages = self._house.store.read(partial(page, endpoint.cursor))
        began, cursor, attempt = perf_counter(), endpoint.cursor, endpoint.attempts + 1
        for message in messages:
            if endpoint.events and message.event not in endpoint.events:
                continue
            if self._stopping.is_set() or perf_counter() - began > SECONDS:
                last = cursor
                break
            if message.entry - 1 > cursor:  # everything before this entry has been told
                cursor = message.entry - 1
                self.book.told(endpoint.id, cursor)
            done = await self._post(client, endpoint, message, attempt)
            if not arrived(done):
                self._note_failure(endpoint, attempt, done)
                return
            attempt = 1
        self.book.told(endpoint.id, max(last, cursor))

    def _note_failure(self, endpoint: Endpoint, attempt: int, done: Delivery) -> None:
        dead = attempt > len(self._pauses) or done.status == _GONE
        pause = 0 if dead else self._pauses[attempt - 1]
        self.book.failed(endpoint.id, attempt, time.time() + pause, done.why, dead)
        if dead:
            log.warning("a webhook endpoint is given up", endpoint=endpoint.id, reason=done.why)

    async def _post(self, client: httpx.AsyncClient, endpoint: Endpoint, message: Message, attempt: int) -> Delivery:
        import httpx

        began, at, status, why = perf_counter(), time.time(), None, ""
        try:
            async with asyncio.timeout(SECONDS):
                url, host = pinned(endpoint.url)
                headers = {**signed(self._key(endpoint), message.id, int(at), message.body), "host": host}
                async with client.stream("POST", url, content=message.body, headers=headers) as answer:
                    status = answer.status_code  # what it says beside that is not read
            if not 200 <= status < 300:
                why = f"answered {status}"
        except TimeoutError:
            why = f"no answer within {SECONDS:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, GlassTumblerError, OSError) as error:
            why = f"{type(error).__name__}: {error}".rstrip(": ")
        spent = (perf_counter() - began) * 1000
        done = Delivery(endpoint.id, message.id, message.event, at, attempt, status, why, spent)
        self.book.note(done)
        return done


def arrived(done: Delivery) -> bool:
    return not done.why


def _client() -> httpx.AsyncClient:
    """No proxy of the environment's, no redirect, a connection for each delivery."""
    import httpx  # only who has an endpoint waits for it

    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=SECONDS, limits=limits)


# -- messages ---------------------------------------------------------------------------------------------------------


def page(after: int, records: Records) -> tuple[int, list[Message]]:
    """The next entries behind `after`: the last one's number, and their messages."""
    entries = {number: ledger.read(raw) for number, raw, _ in islice(records.entries(after + 1), _PAGE)}
    last, lines = story.page(after, records)
    counted: dict[int, int] = {}
    messages = []
    for line in lines:
        number = int(line.fields["entry"])
        entry = entries[number]
        counted[number] = counted.get(number, 0) + 1
        event = TYPES.get(line.event, _OTHER + line.event.replace(" ", "-"))
        data = line.fields if "order" in line.fields else line.fields | (entry.detail or {})
        messages.append(Message(f"msg_{number}_{counted[number]}", event, number, _body(event, entry.at, data)))
    return last, messages


def _body(event: str, at: int, data: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"type": event, "timestamp": iso_z(at), "data": data})


def signed(key: bytes, name: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of a message (Standard Webhooks 1.0, symmetric signatures)."""
    digest = hmac.digest(key, f"{name}.{at}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": name,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{b64encode(digest).decode()}",
        "content-type": "application/json",
        "user-agent": f"glasstumbler/{__version__}",
    }


# -- where to ---------------------------------------------------------------------------------------------------------


def check_url(url: str) -> None:
    """Malformed unless it is a plain http URL on loopback."""
    pinned(url)


def pinned(url: str) -> tuple[str, str]:
    """The URL with the loopback address that it leads to, and the Host header. Looked up at every delivery: a name
    that leads elsewhere later is not followed there."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        raise Malformed("not a URL", "url") from None
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= _URL_MOST
    if not plain or parts.scheme != "http" or "@" in parts.netloc or "\\" in url:
        raise Malformed("a URL like http://127.0.0.1:9000/hook is wanted", "url")
    address = _loopback(host)
    shown = f"[{address}]" if ":" in address else address
    query = f"?{parts.query}" if parts.query else ""
    return f"http://{shown}:{port}{parts.path or '/'}{query}", parts.netloc


def _loopback(host: str) -> str:
    """An address on this machine; Malformed for every other host."""
    try:
        found = [ipaddress.ip_address(host)]
    except ValueError:
        found = _localhost() if host.lower() == "localhost" else []
    if not found or not all(each.is_loopback for each in found):
        raise Malformed("the laboratory never calls out: only localhost, 127.0.0.0/8 and [::1] are told", "url")
    return str(min(found, key=lambda each: each.version))


def _localhost() -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        return [ipaddress.ip_address(each[4][0]) for each in socket.getaddrinfo("localhost", None)]
    except (OSError, ValueError):
        return []
