"""A node that the user has started, by settings alone; and each way in which it may not be one: one clear line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from glasstumbler.errors import GlassTumblerError
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.running import Nodes
from tests.laboratory import Laboratory
from tests.web.server import run


@pytest.fixture(scope="module")
def litecoind(own_nodes: Nodes) -> Iterator[Endpoint]:
    yield own_nodes.start("litecoind")


def table(node: Endpoint, **changed: str) -> dict[str, str]:
    return {"kind": node.kind, "url": node.url, "user": node.user, "password": node.password} | changed


def laboratory(folder: Path, coin: str, **nodes: Mapping[str, str]) -> Laboratory:
    folder.mkdir(exist_ok=True)
    return Laboratory(coin, folder=folder, nodes="real", tables={"lab": {"node": nodes}})


def test_an_order_on_a_node_of_ones_own(litecoind: Endpoint, own_nodes: Nodes, tmp_path: Path) -> None:
    before = own_nodes.process("litecoind")
    with closing(laboratory(tmp_path / "data", "ltc", ltc=table(litecoind))) as lab:
        order = lab.codes("ltc", (400, 600), minutes=10)
        lab.fund(order)
        lab.house.advance(3600)
        lab.settle()
        lab.check()
        assert lab.state(order) == "completed"
        assert not (tmp_path / "data" / "nodes" / "nodes.json").exists(), "no node of ours was started"
    assert own_nodes.process("litecoind") == before, "and the user's goes on"


MISTAKES: list[tuple[str, str, dict[str, str], str]] = [
    ("wrong password", "ltc", {"password": "no"}, "litecoind node is away: it does not take this user and password"),
    ("nobody there", "ltc", {"url": "http://127.0.0.1:9"}, "litecoind node is away: nobody listens there"),
    ("another coin", "btc", {"kind": "bitcoind"}, "btc node: saw genesis"),
    ("unknown software", "ltc", {"kind": "dogecoind"}, "dogecoind"),
    ("software of another coin", "ltc", {"kind": "bcash"}, "bcash"),
]


@pytest.mark.parametrize(("what", "coin", "changed", "said"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_what_is_no_node_for_us_is_one_clear_line(
    what: str, coin: str, changed: dict[str, str], said: str, litecoind: Endpoint, tmp_path: Path
) -> None:
    with pytest.raises(GlassTumblerError) as refused:
        laboratory(tmp_path / "data", coin, **{coin: table(litecoind, **changed)}).close()
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_settings_that_contradict_each_other(litecoind: Endpoint, tmp_path: Path) -> None:
    toml = tmp_path / "lab.toml"
    toml.write_text(f'[lab]\nchains = ["ltc"]\n[lab.node.ltc]\nkind = "litecoind"\nurl = "{litecoind.url}"\n')
    code, _, error = run("serve", "--data", tmp_path / "data", "--port", "0", "--config", toml)
    assert code == 1 and "names a node, but these chains are in-process (--nodes real)" in error
    toml.write_text('[lab.node.btc]\nkind = "bitcoind"\nurl = "http://127.0.0.1:9"\n')
    code, _, error = run("serve", "--data", tmp_path / "more", "--port", "0", "--config", toml, "--nodes", "real")
    assert code == 1 and "bring [lab.node.lightning_lab] and [lab.node.lightning_xmrto]" in error
    toml.write_text('[lab.node.doge]\nurl = "http://127.0.0.1:9"\n')
    code, _, error = run("serve", "--data", tmp_path / "third", "--port", "0", "--config", toml, "--nodes", "real")
    assert code == 1 and "doge" in error
