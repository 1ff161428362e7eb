"""Too many requests at once, and a store, a chain or a start that takes long: who is refused, and how."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from glasstumbler.house import House
from glasstumbler.limits import Limits
from glasstumbler.web.serving import Serving, run
from tests.laboratory import BEARERS, SERVICES, Laboratory
from tests.web.contracts import hold
from tests.web.edge import Edge, Writer, edge
from tests.web.server import wait_for

REFUSED = {
    "bestmixer": {"error": "Service is overloaded", "data": []},
    **{slug: {"code": 503, "description": "Service temporarily unavailable."} for slug in BEARERS},
    "xmrto": {"error": "XMRTO-ERROR-001", "error_msg": "internal services not available"},
}


@pytest.fixture(scope="module")
def laboratory() -> Iterator[Laboratory]:
    made = Laboratory("btc", "xmr")
    yield made
    made.close()


def refused(slug: str, reply: httpx.Response, root: str = "") -> None:
    assert (reply.status_code, reply.json()) == (503, REFUSED[slug])
    assert int(reply.headers["retry-after"]) > 0
    hold(slug, root, reply)


@contextmanager
def at_work(of: Edge, ask: Callable[[], httpx.Response], number: int) -> Iterator[list[Future[httpx.Response]]]:
    """So many requests that the server is working on."""
    with ThreadPoolExecutor(number) as pool:
        asked = [pool.submit(ask) for _ in range(number)]
        wait_for("requests at work", lambda: of.count("requests_in_flight") == number)
        yield asked


def test_past_the_limit_every_service_refuses_in_its_own_shape(laboratory: Laboratory) -> None:
    with (
        edge(laboratory, requests=3) as lab,
        Writer(laboratory.house) as writer,
        at_work(lab, lab.order, 3) as asked,
    ):
        for slug in SERVICES:
            refused(slug, lab.ask(slug))
        assert not any(each.done() for each in asked)
        writer.release()
        assert [each.result().status_code for each in asked] == [200] * 3
        wait_for("rest", lambda: lab.count("requests_in_flight") == 0)
        lab.serves_others()


def test_under_the_hub_the_same_limit_holds(laboratory: Laboratory) -> None:
    with edge(laboratory, requests=1) as lab, Writer(laboratory.house) as writer, at_work(lab, lab.order, 1):
        refused("btcmix", httpx.get(f"{lab.serving.url('hub')}/btcmix/api/status"), "/btcmix")
        writer.release()


def test_calls_of_the_lab_are_bounded_as_well(laboratory: Laboratory) -> None:
    with edge(laboratory) as lab:
        url, chain = lab.serving.url("hub"), laboratory.house.chains["btc"]
        with ThreadPoolExecutor(80) as pool:
            with chain._making:  # type: ignore[attr-defined]
                asked = [pool.submit(httpx.post, f"{url}/lab/v1/chains/btc/mine", timeout=60) for _ in range(80)]
                wait_for("refusals", lambda: sum(each.done() for each in asked) == 16)
            replies = [each.result() for each in asked]
        over = [reply for reply in replies if reply.status_code == 503]
        assert len(over) == 16
        assert over[0].json()["error"] == "Overloaded" and over[0].headers["retry-after"]
        assert {reply.status_code for reply in replies} == {200, 503}


def test_a_store_that_stands_still_is_not_waited_for_without_end(laboratory: Laboratory) -> None:
    with edge(laboratory, request_seconds=1) as lab, Writer(laboratory.house):
        refused("btcmix", lab.order())
        assert lab.ask("btcmix").status_code == 200  # asks the store nothing
        ready = httpx.get(f"{lab.serving.url('hub')}/readyz")
        assert (ready.status_code, ready.json()) == (
            503,
            {"ready": False, "not_ready": ["the store takes no change"]},
        )


def test_a_chain_that_is_busy_holds_up_nobody_else(laboratory: Laboratory) -> None:
    """A reorganisation keeps its chain's lock all the time; asked for its height in the event loop, the chain stopped
    all six servers until it was done, and no signal was heard."""
    chain = laboratory.house.chains["xmr"]
    with edge(laboratory) as lab, ThreadPoolExecutor() as pool:
        begun, over = threading.Event(), threading.Event()

        def busy() -> None:
            with chain._lock:  # type: ignore[attr-defined]
                begun.set()
                over.wait(60)

        holding = pool.submit(busy)
        try:
            assert begun.wait(20)
            url = lab.serving.url("hub")
            waiting = pool.submit(httpx.get, f"{url}/lab/v1/chains", timeout=60)
            reorg = pool.submit(httpx.post, f"{url}/lab/v1/chains/xmr/reorg", json={"depth": 1}, timeout=60)
            lab.serves_others()
            assert lab.order().status_code == 200
            assert not waiting.done() and not reorg.done()
        finally:
            over.set()
        holding.result()
        assert waiting.result().status_code == 200


@contextmanager
def opening(open_house: Callable[[], House]) -> Iterator[tuple[Serving, list[BaseException]]]:
    serving, errors = Serving(open_house, "127.0.0.1", 0, turning=False, limits=Limits()), list[BaseException]()

    def work() -> None:
        try:
            run(serving)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield serving, errors
    finally:
        serving.stop()
        thread.join(20)
        assert not thread.is_alive()


def test_before_the_house_is_open_servers_say_so(laboratory: Laboratory) -> None:
    free = threading.Event()

    def slowly() -> House:
        assert free.wait(60)
        return laboratory.house

    with opening(slowly) as (serving, _):
        lab = Edge(laboratory.house, serving)
        hub = serving.url("hub")
        try:
            assert httpx.get(f"{hub}/healthz").json() == {"alive": True}
            ready = httpx.get(f"{hub}/readyz")
            assert (ready.status_code, ready.json()) == (503, {"ready": False, "not_ready": ["starting"]})
            for slug in SERVICES:
                refused(slug, lab.ask(slug))
            refused("btcmix", httpx.get(f"{hub}/btcmix/api/status"), "/btcmix")
            assert httpx.get(f"{hub}/lab/v1/chains").status_code == 503
        finally:
            free.set()
        wait_for("readiness", lambda: httpx.get(f"{hub}/readyz").status_code == 200)
        lab.serves_others()


def test_a_house_that_does_not_open_ends_the_servers() -> None:
    def never() -> Any:
        raise ValueError("no house")

    with opening(never) as (serving, errors):
        wait_for("the end", lambda: errors)
        assert str(errors[0]) == "no house"
        assert all(listening.fileno() == -1 for listening in serving.sockets.values())
