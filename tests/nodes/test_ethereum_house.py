"""Orders of a whole laboratory on an Ethereum node, while the node is killed; then the audit, with and without it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from glasstumbler.audit import audit
from glasstumbler.clock import VirtualClock
from glasstumbler.errors import NodeAway
from glasstumbler.ground import Chains
from glasstumbler.house import House
from glasstumbler.nodes.ethereum import EthNode
from glasstumbler.vault import Vault
from tests.laboratory import Laboratory
from tests.nodes.anvil import Anvil, anvil
from tests.nodes.test_ethereum import RING

ETHER = 10**18


class OnNode(Laboratory):
    def __init__(self, chain: EthNode, clock: VirtualClock, folder: Path) -> None:
        self._chain, self._clock = chain, clock
        super().__init__("eth", folder=folder)

    def _open(self) -> House:
        chains = Chains({"eth": self._chain}, None)
        return House(self._folder, Vault(b"x" * 32), self._clock, self._seed, self._settings, None, chains)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Anvil]:
    with anvil(tmp_path / "anvil") as node:
        yield node


@pytest.fixture
def lab(node: Anvil, tmp_path: Path) -> Iterator[OnNode]:
    clock = VirtualClock()
    with closing(EthNode.open("eth", node.endpoint, RING, clock, tmp_path / "lab" / "chains")) as chain:
        lab = OnNode(chain, clock, tmp_path / "lab")
        yield lab
        lab.close()


def test_orders_are_paid_though_the_node_is_killed_again_and_again(lab: OnNode, node: Anvil) -> None:
    def restart() -> None:
        node.kill()
        with pytest.raises(NodeAway):
            lab.house.chains["eth"].tip()
        node.start()

    orders = [lab.codes("eth", (400, 600)), lab.codes("eth"), lab.codes("eth")]
    for order in orders:
        lab.pay(order, 2 * ETHER)
    restart()
    lab.mine("eth", 3)
    restart()
    lab.reorg("eth", 2)
    restart()
    for _ in range(3):
        lab.mine("eth", 12)
        restart()
    lab.mine("eth", 12)
    assert [lab.state(order) for order in orders] == ["completed"] * 3
    lab.check()


def test_the_audit_judges_the_wallets_from_the_log(lab: OnNode, node: Anvil, tmp_path: Path) -> None:
    order = lab.codes("eth", (500, 500))
    lab.pay(order, 2 * ETHER)
    lab.mine("eth", 30)
    lab.mine("eth", 30)
    assert lab.state(order) == "completed"
    lab.house.close()
    node.kill()
    report = audit(tmp_path / "lab")
    assert report.clean, report.lines()
    log = sqlite3.connect(tmp_path / "lab" / "chains" / "eth.blocks")
    with closing(log):
        (raw,) = log.execute("SELECT raw FROM blocks ORDER BY length(raw) DESC").fetchone()
        log.execute("UPDATE blocks SET raw = ? WHERE raw = ?", (raw[:-60] + bytes([raw[-60] ^ 1]) + raw[-59:], raw))
        log.commit()
    assert not audit(tmp_path / "lab").clean
