"""The real node software: started, found again, started again, stopped; on loopback only."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from glasstumbler.nodes import processes
from glasstumbler.nodes.processes import Process
from glasstumbler.nodes.ready import answers
from glasstumbler.nodes.running import Nodes
from glasstumbler.nodes.software import SOFTWARE

INSTALLED_KINDS = [kind for kind in SOFTWARE if kind != "bitcoind"]
LOOPBACK = "0100007F"
"""127.0.0.1 as the kernel writes it."""


def wait_for(happened: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.02)


def killed(nodes: Nodes, name: str) -> Process:
    known = nodes.process(name)
    assert known is not None
    os.kill(known.pid, signal.SIGKILL)
    wait_for(lambda: not known.alive)
    return known


def works(nodes: Nodes, name: str) -> bool:
    return answers(nodes.endpoint(name), SOFTWARE[name].question)


@pytest.mark.parametrize("kind", INSTALLED_KINDS)
def test_it_starts_listens_on_loopback_only_and_is_started_again_after_a_kill(own_nodes: Nodes, kind: str) -> None:
    endpoint = own_nodes.start(kind)
    known = own_nodes.process(kind)
    assert known is not None and works(own_nodes, kind)
    found = processes.sockets(known.pid)
    assert {each.host for each in found if each.listens} == {LOOPBACK}
    assert {each.peer for each in found if not each.listens} <= {LOOPBACK}, "it dialled somebody"

    killed(own_nodes, kind)
    assert not works(own_nodes, kind)
    assert own_nodes.ensure(kind) == endpoint
    assert works(own_nodes, kind)
    assert own_nodes.process(kind) != known


def test_all_run_side_by_side_and_stop_by_themselves(own_nodes: Nodes) -> None:
    for kind in INSTALLED_KINDS:
        own_nodes.start(kind)
    assert all(works(own_nodes, kind) for kind in INSTALLED_KINDS)
    all_known = {kind: own_nodes.process(kind) for kind in reversed(INSTALLED_KINDS)}
    for kind, known in all_known.items():
        assert known is not None and processes.end(known, SOFTWARE[kind].stop_seconds), f"{kind} had to be killed"
        assert own_nodes.process(kind) is None


def test_each_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "nodes.md").read_text()
    assert [kind for kind in SOFTWARE if kind not in page.replace("LND", "lnd")] == []
