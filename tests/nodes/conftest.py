"""Real nodes for whoever asks: one of each kind for a test process, or a module's own. They need `make nodes`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.running import INSTALLED, Nodes

_ROOT = Path(__file__).parents[2]
_MISSING = f"NO NODE SOFTWARE: {INSTALLED} is missing; `make nodes` installs it"


def needs_installed() -> None:
    if not INSTALLED.exists():
        pytest.skip(_MISSING)


@contextmanager
def running() -> Iterator[Nodes]:
    """No node yet, in a temporary folder; all that are started end with it, also when this process is killed."""
    needs_installed()
    folder = Path(tempfile.mkdtemp(prefix="glasstumbler-nodes-"))
    command = [sys.executable, "-m", "tests.nodes.keeper", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=_ROOT) as keeper:
        nodes = Nodes(folder)
        try:
            yield nodes
        finally:
            nodes.close()
            shutil.rmtree(folder, ignore_errors=True)
            assert keeper.stdin is not None
            keeper.stdin.close()


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def own_nodes() -> Iterator[Nodes]:
    """For a module that needs a chain to itself, or kills its node."""
    with running() as started:
        yield started


@pytest.fixture(scope="session")
def litecoind(nodes: Nodes) -> Endpoint:
    return nodes.start("litecoind")


@pytest.fixture(scope="session")
def btcd(nodes: Nodes) -> Endpoint:
    return nodes.start("btcd")


@pytest.fixture(scope="session")
def bcoin(nodes: Nodes) -> Endpoint:
    return nodes.start("bcoin")


@pytest.fixture(scope="session")
def bcash(nodes: Nodes) -> Endpoint:
    return nodes.start("bcash")


@pytest.fixture(scope="session")
def anvil(nodes: Nodes) -> Endpoint:
    return nodes.start("anvil")


@pytest.fixture(scope="session")
def monerod(nodes: Nodes) -> Endpoint:
    return nodes.start("monerod")


@pytest.fixture(scope="session")
def monero_wallet(nodes: Nodes) -> Endpoint:
    return nodes.start("monero-wallet-rpc")


@pytest.fixture(scope="session")
def lnd(nodes: Nodes) -> Endpoint:
    return nodes.start("lnd")
