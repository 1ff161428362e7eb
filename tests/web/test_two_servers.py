"""Two real processes on one record in PostgreSQL and one folder: webhooks are told by one of them, also when that one
is killed; both show the same explorer out of one cache."""

from __future__ import annotations

import json
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.postgres import Server
from tests.test_webhooks import Receiver
from tests.web.server import NO_LIMITS, ONE_CHAIN, Lab, laboratory, wait_for

PATIENCE = 60
BLOCKS = 40


class Two(NamedTuple):
    first: Lab
    second: Lab


@pytest.fixture
def two(tmp_path: Path, postgres_server: Server) -> Iterator[Two]:
    options, extra = ("--store", postgres_server.database()), {**NO_LIMITS, **ONE_CHAIN}
    folder = tmp_path / "data"
    with laboratory(folder, *options, extra=extra) as first, laboratory(folder, *options, extra=extra) as second:
        yield Two(first, second)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with closing(Receiver()) as made:
        yield made


def listen(lab: Lab, receiver: Receiver) -> None:
    assert lab.hub.post("/lab/v1/webhooks", json={"url": receiver.url, "events": []}).status_code in (200, 201)


def heard(receiver: Receiver, event: str) -> int:
    return Counter(receiver.once())[event]


def entries(receiver: Receiver) -> list[int]:
    return [json.loads(body)["data"]["entry"] for _, body in receiver.heard]


def sender_of(receiver: Receiver, *labs: Lab) -> Lab:
    """Whose connection to the receiver is open."""
    port = int(receiver.url.rpartition(":")[2])
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{line[9]}]" for line in lines if int(line[2].rpartition(":")[2], 16) == port}
    for lab in labs:
        for each in Path(f"/proc/{lab.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                if str(each.readlink()) in sockets:
                    return lab
    raise AssertionError("nobody is sending")


def test_in_quiet_running_each_message_comes_once_and_in_order(two: Two, receiver: Receiver) -> None:
    listen(two.first, receiver)
    for lab in (*two, *two):
        lab.order_paid("whir")
    wait_for("all is told", lambda: heard(receiver, "order.completed") == 4, PATIENCE)
    time.sleep(1)  # so long that the other one would have looked, too
    assert max(Counter(receiver.ids).values()) == 1
    assert entries(receiver) == sorted(entries(receiver))


def test_when_the_one_that_sends_is_killed_the_other_goes_on(two: Two, receiver: Receiver) -> None:
    listen(two.first, receiver)
    two.second.order_paid("whir")
    wait_for("the first is told", lambda: heard(receiver, "order.completed") == 1, PATIENCE)
    begun, at = len(receiver.heard), len(receiver.heard) + BLOCKS // 2
    held = receiver.let_go

    def answer(number: int) -> int:
        if number == at:
            held.wait(PATIENCE)
        return 204

    receiver.answers = answer
    two.first.lab("chains/btc/mine", blocks=BLOCKS)
    wait_for("one is being told", lambda: len(receiver.heard) >= at, PATIENCE)
    dead = sender_of(receiver, *two)
    (alive,) = (lab for lab in two if lab is not dead)
    dead.process.send_signal(signal.SIGKILL)
    dead.process.wait()
    held.set()
    wait_for("all is told", lambda: heard(receiver, "block.mined") >= BLOCKS, PATIENCE)
    alive.order_paid("whir")
    wait_for("what is new is told", lambda: heard(receiver, "order.completed") == 2, PATIENCE)
    twice = {name for name, count in Counter(receiver.ids).items() if count > 1}
    assert twice <= {receiver.ids[at - 1]}, "only what was on its way is told again"
    first = list(dict.fromkeys(entries(receiver)[begun:]))
    assert first == list(range(first[0], first[-1] + 1))


PAGES = ("/chains/btc", "/services/whir", "/services", "/chains/btc/address/{address}", "/chains/btc/tx/{txid}")
_CLOCK = re.compile(r"<footer.*", re.DOTALL)


def test_both_show_the_same_explorer(two: Two) -> None:
    """While blocks come and go, and both are looked at, from one cache in their folder."""
    addresses = []

    def look(lab: Lab) -> set[str]:
        answers = [lab.hub.get(page) for _ in range(10) for page in PAGES[:3]]
        return {answer.text.partition("<main")[2][:300] for answer in answers if answer.status_code != 200}

    with ThreadPoolExecutor(4) as pool:
        looking = [pool.submit(look, lab) for lab in two]
        for lab in (*two, *two):
            addresses.append(lab.order_paid("whir")["depositAddress"])
            lab.lab("chains/btc/reorg", depth=2)
        assert [each.result() for each in looking] == [set(), set()]
    for lab in two:
        lab.lab("chains/btc/mine", blocks=1)
    for address in addresses:
        page = two.first.hub.get(f"/chains/btc/address/{address}").text
        (txid, *_) = re.findall(r'href="/chains/btc/tx/(\w+)"', page)
        for path in (each.format(address=address, txid=txid) for each in PAGES):
            one, other = (_CLOCK.sub("", lab.hub.get(path).text) for lab in two)
            assert one == other, path
            assert "behind the" not in one
    said = two.first.errors.read_text()
    assert not re.search("locked|busy|made anew|did not follow|Traceback", said), said
