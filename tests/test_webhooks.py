"""What happens is told: in order, at least once, signed so that the published library says so, and on loopback only."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from glasstumbler import webhooks
from glasstumbler.errors import Malformed, OutOfBounds
from glasstumbler.webhook_book import DEAD, LIVE, NAME, Book
from glasstumbler.webhooks import Webhooks
from tests.laboratory import Laboratory

SOON = (0.05,) * 6
"""Pauses between attempts, where a test does not want to wait."""
CLOSE, HANG = 0, -1


class Receiver:
    """A server on loopback that keeps what it is told and answers as `answers` has it: a status, CLOSE or HANG."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.answers: Callable[[int], int] = lambda number: 204
        self.let_go = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.heard.append(({name.lower(): value for name, value in self.headers.items()}, body))
                answer = receiver.answers(len(receiver.heard))
                if answer == HANG:
                    receiver.let_go.wait(30)
                if answer in (CLOSE, HANG):
                    self.close_connection = True
                    return
                self.send_response(answer)
                self.send_header("location", f"{receiver.url}/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.heard]

    @property
    def events(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.heard]

    def once(self) -> list[str]:
        """The events, each message counted once, in the order of their first arrival."""
        first = dict(zip(self.ids, self.events, strict=True)) if self.heard else {}
        return [first[name] for name in dict.fromkeys(self.ids)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with closing(Receiver()) as made:
        yield made


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Laboratory]:
    with closing(Laboratory("btc", folder=tmp_path)) as made:
        yield made


@pytest.fixture
def sender(lab: Laboratory) -> Iterator[Webhooks]:
    with closing(Webhooks(lab.house, SOON)) as made:
        made.start()
        yield made


def wait(what: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def an_order(lab: Laboratory) -> None:
    lab.fund(lab.bearer("btcmix", [1_000_000]))
    lab.settle()


def told(lab: Laboratory, sender: Webhooks) -> bool:
    head = lab.house.store.read(lambda records: records.head()[0])
    return all(each.cursor == head for each in sender.book.all())


def test_a_whole_order_is_told_in_order(lab: Laboratory, sender: Webhooks, receiver: Receiver) -> None:
    sender.add(f"{receiver.url}/hook?x=1")
    an_order(lab)
    wait(lambda: told(lab, sender))
    mine = [event for event in receiver.events if event.startswith(("order.", "deposit.", "payout."))]
    wanted = ["order.opened", "deposit.seen", "deposit.confirmed", "payout.signed", "payout.settled", "order.completed"]
    assert [event for event in mine if event in wanted] == wanted
    entries = [json.loads(body)["data"]["entry"] for _, body in receiver.heard]
    assert entries == sorted(entries)
    assert len(set(receiver.ids)) == len(receiver.ids)


def test_every_entry_of_the_record_is_told(lab: Laboratory, sender: Webhooks, receiver: Receiver) -> None:
    endpoint = sender.add(receiver.url)
    an_order(lab)
    wait(lambda: told(lab, sender))
    head = lab.house.store.read(lambda records: records.head()[0])
    told_of = {json.loads(body)["data"]["entry"] for _, body in receiver.heard}
    assert told_of == set(range(endpoint.cursor + 1, head + 1))


def test_the_published_library_verifies_them(lab: Laboratory, sender: Webhooks, receiver: Receiver) -> None:
    endpoint = sender.add(receiver.url)
    lab.mine("btc")
    wait(lambda: told(lab, sender))
    headers, body = receiver.heard[0]
    right = Webhook(sender.secret(endpoint))
    assert right.verify(body, headers) == json.loads(body)
    other = sender.add(f"{receiver.url}/other")
    tampered = [
        (right, body.replace(b"block", b"blocc"), headers),
        (right, body, headers | {"webhook-id": "msg_0_0"}),
        (right, body, headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 1)}),
        (Webhook(sender.secret(other)), body, headers),
    ]
    for verifier, changed, given in tampered:
        with pytest.raises(WebhookVerificationError):
            verifier.verify(changed, given)


def test_only_the_wanted_kinds_are_told(lab: Laboratory, sender: Webhooks, receiver: Receiver) -> None:
    sender.add(receiver.url, ["order.completed", "order.completed"])
    an_order(lab)
    wait(lambda: told(lab, sender))
    assert receiver.events == ["order.completed"]


@pytest.mark.parametrize("answer", [500, 302, 404, CLOSE])
def test_what_fails_is_told_again_and_nothing_overtakes_it(
    answer: int, lab: Laboratory, sender: Webhooks, receiver: Receiver
) -> None:
    receiver.answers = lambda number: answer if number in (1, 2, 5) else 200
    sender.add(receiver.url)
    an_order(lab)
    wait(lambda: told(lab, sender))
    assert receiver.ids[0] == receiver.ids[1] == receiver.ids[2]
    first_seen = list(dict.fromkeys(receiver.ids))
    assert first_seen == sorted(first_seen, key=lambda name: [int(part) for part in name.split("_")[1:]])
    assert [each.attempt for each in reversed(sender.book.deliveries())][:3] == [1, 2, 3]


def test_one_that_does_not_answer_is_told_again(
    lab: Laboratory, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "SECONDS", 0.3)
    receiver.answers = lambda number: HANG if number == 1 else 200
    with closing(Webhooks(lab.house, SOON)) as sender:
        sender.start()
        sender.add(receiver.url)
        lab.mine("btc")
        wait(lambda: told(lab, sender))
        assert receiver.ids[0] == receiver.ids[1]
        assert "no answer within" in sender.book.deliveries()[-1].why


def test_a_restart_in_the_middle_loses_nothing(tmp_path: Path, receiver: Receiver) -> None:
    with closing(Laboratory("btc", folder=tmp_path)) as lab:
        receiver.answers = lambda number: 200 if number <= 3 else 503
        with closing(Webhooks(lab.house, (60.0,))) as sender:
            sender.start()
            begun = sender.add(receiver.url).cursor
            an_order(lab)
            wait(lambda: len(receiver.heard) >= 4)
        lab.reopen()
        receiver.answers = lambda number: 200
        lab.mine("btc", 2)
        with closing(Webhooks(lab.house, SOON)) as sender:
            (endpoint,) = sender.book.all()
            sender.book.revive(endpoint.id)  # else it waits for its minute
            sender.start()
            wait(lambda: told(lab, sender))
        head = lab.house.store.read(lambda records: records.head()[0])
    assert {json.loads(body)["data"]["entry"] for _, body in receiver.heard} == set(range(begun + 1, head + 1))
    assert "order.completed" in receiver.once()


def test_after_many_failures_an_endpoint_is_dead_until_a_test_arrives(
    lab: Laboratory, sender: Webhooks, receiver: Receiver
) -> None:
    receiver.answers = lambda number: 500
    endpoint = sender.add(receiver.url)
    lab.mine("btc")
    wait(lambda: sender.find(endpoint.id).state == DEAD)
    assert len(receiver.heard) == len(SOON) + 1
    assert sender.test(endpoint).status == 500
    assert sender.find(endpoint.id).state == DEAD
    receiver.answers = lambda number: 200
    assert not sender.test(endpoint).why
    wait(lambda: told(lab, sender))
    assert sender.find(endpoint.id).state == LIVE
    assert "block.mined" in receiver.events


def test_one_that_says_gone_is_not_asked_again(lab: Laboratory, sender: Webhooks, receiver: Receiver) -> None:
    receiver.answers = lambda number: 410
    endpoint = sender.add(receiver.url)
    lab.mine("btc")
    wait(lambda: sender.find(endpoint.id).state == DEAD)
    assert len(receiver.heard) == 1


def test_one_that_fails_holds_no_other_back(lab: Laboratory, sender: Webhooks, receiver: Receiver) -> None:
    sender.add("http://127.0.0.1:9/nobody")
    sender.add(receiver.url)
    lab.mine("btc")
    wait(lambda: "block.mined" in receiver.events)


def test_proxies_of_the_environment_are_not_used(
    lab: Laboratory, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with closing(Webhooks(lab.house, SOON)) as sender:
        assert sender.test(sender.add(receiver.url)).status == 204


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com/", "http://10.0.0.1/", "http://0.0.0.0/", "http://[::]/", "http://192.168.1.1:80/"),
        *("https://127.0.0.1/", "ftp://127.0.0.1/", "file:///etc/passwd", "//127.0.0.1/", "127.0.0.1", ""),
        *("http://127.0.0.1@example.com/", "http://example.com@127.0.0.1/", "http://127.0.0.1.example.com/"),
        *("http://localhost.example.com/", "http://127.0.0.1:99999/", "http://127.0.0.1\\@example.com/"),
        *("http://0x7f000001/", "http://2130706433/", "http://127.1/", "http://[::ffff:10.0.0.1]/", "http://[::1"),
        *("http://127.0.0.1/ x", "http://127.0.0.1/\r\nx: y", "http://127.0.0.1/é", "http://127.0.0.1/" + "x" * 3000),
        *("http://[fe80::1]/", "http://169.254.169.254/latest", "http://LOCALHOST.:80/"),
    ],
)
def test_nothing_is_sent_anywhere_but_to_this_machine(url: str) -> None:
    with pytest.raises(Malformed):
        webhooks.check_url(url)


@pytest.mark.parametrize(
    ("url", "pinned"),
    [
        ("http://127.0.0.1:9000/a?b=c", "http://127.0.0.1:9000/a?b=c"),
        ("http://127.9.9.9", "http://127.9.9.9:80/"),
        ("http://[::1]:80/", "http://[::1]:80/"),
        ("http://LOCALHOST:81/x#y", "http://127.0.0.1:81/x"),
    ],
)
def test_loopback_is_taken_by_its_address(url: str, pinned: str) -> None:
    assert webhooks.pinned(url)[0] == pinned


def test_a_name_that_leads_elsewhere_later_is_not_followed(
    lab: Laboratory, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = Webhooks(lab.house)
    endpoint = sender.add(receiver.url.replace("127.0.0.1", "localhost"))
    monkeypatch.setattr(webhooks.socket, "getaddrinfo", lambda *given: [(2, 1, 6, "", ("10.1.2.3", 0))])
    assert "never calls out" in sender.test(endpoint).why
    assert receiver.heard == []


def test_unknown_kinds_and_too_many_endpoints_are_refused(lab: Laboratory) -> None:
    sender = Webhooks(lab.house)
    with pytest.raises(Malformed, match=r"order\.opened"):
        sender.add("http://127.0.0.1:9/", ["order.stolen"])
    for _ in range(webhooks.ENDPOINTS_MOST):
        sender.add("http://127.0.0.1:9/")
    with pytest.raises(OutOfBounds):
        sender.add("http://127.0.0.1:9/")
    sender.close()


def test_the_book_is_made_when_it_is_wanted_and_only_its_owner_reads_it(lab: Laboratory) -> None:
    sender = Webhooks(lab.house)
    assert lab.house.folder is not None
    path = lab.house.folder / NAME
    assert (sender.book.all(), sender.book.deliveries(), path.exists()) == ([], [], False)
    sender.add("http://127.0.0.1:9/")
    assert path.stat().st_mode & 0o077 == 0
    assert sender.secret(sender.book.all()[0]).encode() not in path.read_bytes()
    sender.close()


def test_the_log_of_deliveries_is_bounded() -> None:
    from glasstumbler.webhook_book import LOGGED, Delivery

    book = Book(None)
    endpoint = book.add("http://127.0.0.1:9/", (), 0)
    for number in range(LOGGED + 50):
        book.note(Delivery(endpoint.id, f"msg_{number}", "test", 0, 1, 200, "", 1))
    kept = book.deliveries(10_000)
    assert (len(kept), kept[0].message) == (LOGGED, f"msg_{LOGGED + 49}")
    book.remove(endpoint.id)
    assert book.deliveries() == []
