"""The whole laboratory on real nodes: `serve --nodes real` over HTTP, nodes and server killed in the middle."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from glasstumbler.lab.customers import Keys
from glasstumbler.lab.demo import drive
from glasstumbler.lab.hub import Hub
from glasstumbler.nodes.running import INSTALLED
from tests.web.server import NO_LIMITS, Lab, run, wait_for

pytestmark = [
    pytest.mark.skipif(not INSTALLED.exists(), reason="no node software: `make nodes` installs it"),
    pytest.mark.timeout(1200),
]
PATIENCE = 400
"""Seconds, on a machine that does much else: eight programs, two of which need ten seconds when it is quiet."""
NODES = ("btcd", "bcash", "litecoind", "anvil", "monerod", "monero-wallet-rpc", "lightning_xmrto", "lightning_lab")


def pids(folder: Path) -> dict[str, int]:
    known = msgspec.json.decode((folder / "nodes" / "nodes.json").read_bytes())
    return {name: node["pid"] for name, node in known.items()}


def alive(pid: int) -> bool:
    if not Path(f"/proc/{pid}").exists():
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def all_answer(lab: Lab) -> bool:
    """Every chain's node, the faucet's wallet, the Lightning node that issues invoices, and a channel to it."""
    chains = lab.hub.get("/lab/v1/chains").json()
    if any("away" in chain for chain in chains):
        return False
    address = {"address": lab.address("xmr"), "amount": "0.01"}
    asked = [lab.hub.post("/lab/v1/chains/xmr/pay", json=address)]
    asked.append(lab.hub.post("/lab/v1/lightning/invoice", json={"amount": "0.001"}))
    if asked[-1].status_code == 200:
        invoice = asked[-1].json()["ln_invoice"]
        asked.append(lab.hub.get("/xmrto/api/v3/xmr2btc/order_ln_check_route/", params={"ln_invoice": invoice}))
    assert all(reply.status_code in (200, 503) for reply in asked), [reply.text for reply in asked]
    return all(reply.status_code == 200 for reply in asked)


def ordered(lab: Lab) -> Any:
    """Every documented request of the five services, to the last payout; at one price, however long it takes."""
    lab.lab("price", xmr_btc="0.007")
    keys = {slug: Keys(lab.keys[slug], lab.secrets[slug]) for slug in lab.keys}
    with httpx.Client(base_url=lab.urls["hub"], timeout=120, trust_env=False) as client:
        return drive(Hub(client), keys, lambda line: None)


def test_orders_of_all_services_on_real_nodes_that_are_killed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    lab = Lab(folder, "--nodes", "real", extra=NO_LIMITS, patience=PATIENCE)
    try:
        outcome = ordered(lab)
        assert outcome.holds, [check for check in outcome.checks if not check.holds]
        chains = {chain["coin"]: chain for chain in outcome.chains}
        assert not any(chain["model"] for chain in chains.values())
        assert {name: chain["node"].split()[0] for name, chain in chains.items()} == {
            "btc": "btcd", "bch": "bcash", "ltc": "litecoind", "eth": "anvil", "xmr": "monerod", "lightning": "lnd",
        }  # fmt: skip
        before = pids(folder)
        assert set(before) == set(NODES)
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        wait_for("every node to be back", lambda: all_answer(lab), PATIENCE)
        outcome = ordered(lab)
        assert outcome.holds, [check for check in outcome.checks if not check.holds]
        assert set(pids(folder).values()).isdisjoint(before.values())
        lab.stop(signal.SIGKILL)
        assert all(alive(pid) for pid in pids(folder).values()), "they outlive a server that was killed"
        lab = Lab(folder, extra=NO_LIMITS, patience=PATIENCE)  # the folder knows what its chains run on
        assert ordered(lab).holds
    finally:
        lab.stop(seconds=PATIENCE)
    assert not any(alive(pid) for pid in pids(folder).values())
    code, out, errors = run("audit", "--data", folder)
    assert code == 0, out + errors
    code, _, errors = run("serve", "--data", folder, "--nodes", "in-process", "--port", "0")
    assert code == 1 and "run on real nodes for good" in errors
