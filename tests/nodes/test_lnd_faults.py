"""LND away, killed in the middle, cut off before its answer, or not the node that it says it is."""

from __future__ import annotations

import base64
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glasstumbler.chains.lightning import LAB, LightningPayment
from glasstumbler.clock import RealClock
from glasstumbler.errors import ChainError, NodeAnswer, NodeAway, PaymentWaits, RefusedNode, SettingsError
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.lnd import LndNetwork
from glasstumbler.nodes.lnd_node import LndNode
from glasstumbler.nodes.rest import Rest
from glasstumbler.nodes.running import Nodes
from tests.chains.lightning_contract import SOME, payment_hash, soon
from tests.nodes.liar import served
from tests.nodes.lightning import PAYER, Site, site

SEND = "/v2/router/send"


@pytest.fixture(scope="module")
def network_site(own_nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(own_nodes, tmp_path_factory.mktemp("lightning")) as made:
        yield made


@pytest.fixture
def net(network_site: Site) -> Iterator[LndNetwork]:
    made = network_site.open()
    yield made
    made.close()


pytestmark = pytest.mark.timeout(900)


def kill(nodes: Nodes, name: str) -> None:
    process = nodes.process(name)
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    while process.alive:
        time.sleep(0.01)


def until_paid(net: LndNetwork, invoice: str) -> LightningPayment:
    """Asked again as the payer does, turn after turn."""
    end = time.monotonic() + 600  # ten seconds most times; LND once took five minutes to go on with a payment
    while True:
        try:
            return net.pay(PAYER, invoice, payment_hash(invoice))
        except (NodeAway, PaymentWaits) as error:
            assert time.monotonic() < end, error
            time.sleep(0.2)


@pytest.mark.parametrize("name", [f"lnd-{PAYER}", f"lnd-{LAB}", "btcd"])
def test_a_node_that_is_killed_while_it_pays_has_paid_once_when_it_is_back(
    network_site: Site, net: LndNetwork, name: str
) -> None:
    invoices = [net.invoice(SOME) for _ in range(8)]
    before, labs = net.sendable(PAYER), net.sendable(LAB)
    started = threading.Event()

    def pay_all() -> None:
        for invoice in invoices:
            started.set()
            try:
                net.pay(PAYER, invoice, payment_hash(invoice))
            except ChainError:
                return

    paying = threading.Thread(target=pay_all)
    paying.start()
    started.wait(10)
    time.sleep(0.15)
    kill(network_site.nodes, name)
    paying.join()
    network_site.nodes.ensure(name)
    network_site.chain.tip()  # gives a btcd that was killed the blocks again that it had not written down
    fees = sum(until_paid(net, invoice).fee_msat for invoice in invoices)
    assert net.sendable(PAYER) == before - len(invoices) * SOME - fees
    soon(lambda: net.sendable(LAB) == labs + len(invoices) * SOME)
    network_site.chain.mine(1)


def test_while_the_payers_node_is_away_nothing_is_said_of_its_payments(network_site: Site, net: LndNetwork) -> None:
    invoice = net.invoice(SOME)
    network_site.nodes.stop(f"lnd-{PAYER}")
    for attempt in (
        lambda: net.pay(PAYER, invoice, payment_hash(invoice)),
        lambda: net.check_route(invoice, PAYER),
        lambda: net.sendable(PAYER),
    ):
        with pytest.raises(NodeAway):
            attempt()
    network_site.nodes.ensure(f"lnd-{PAYER}")
    assert until_paid(net, invoice).amount_msat == SOME


def failed_here(node: LndNode, peer: LndNode, at: float) -> None:
    """What LND keeps when the channel to a peer could not carry a payment at this time."""
    ends = {"node_from": node, "node_to": peer}
    keys = {name: base64.b64encode(bytes.fromhex(end.key)).decode() for name, end in ends.items()}
    history = {"fail_time": str(int(at)), "fail_amt_msat": "1000", "fail_amt_sat": "1"}
    node.tell("/v2/router/x/importhistory", pairs=[{**keys, "history": history}], force=True)


def test_a_way_that_lnd_avoids_for_a_past_failure_is_waited_for(network_site: Site, net: LndNetwork) -> None:
    payer, lab = (LndNode(alias, network_site.endpoints[alias]) for alias in (PAYER, LAB))
    invoice = net.invoice(SOME)
    failed_here(payer, lab, time.time() + 3600)
    assert net.check_route(invoice, PAYER).routes == 0
    with pytest.raises(PaymentWaits):
        net.pay(PAYER, invoice, payment_hash(invoice))
    payer.tell("/v2/router/mc/reset")
    failed_here(payer, lab, time.time())  # as after a restart of the peer: forgotten in seconds
    assert until_paid(net, invoice).amount_msat == SOME
    soon(lambda: net.check_route(net.invoice(SOME), PAYER).routes > 0)
    payer.close()
    lab.close()


class Front:
    """Stands before an LND and hangs up in place of one answer."""

    def __init__(self, node: Endpoint) -> None:
        self._rest = Rest(node, lambda info: None)
        self.cut = ""
        self.asked: Counter[str] = Counter()

    def __call__(self, method: str, path: str, body: Any) -> tuple[int, Any] | None:
        self.asked[path] += 1
        stream = path.startswith("/v2/router/")
        try:
            if stream:
                said = {"result": self._rest.first(method, path, body)}
            else:
                said = self._rest.get(path) if body is None else self._rest.post(path, **body)
        except NodeAnswer as error:
            return 500, {"code": error.code, "message": error.text}
        return None if self.cut == path else (200, said)


def test_a_payment_whose_answer_was_lost_is_found_and_not_sent_again(network_site: Site) -> None:
    node = network_site.endpoints[PAYER]
    front = Front(node)
    with served(front) as url:
        net = network_site.open(**{PAYER: node._replace(url=url)})
        invoice, before = net.invoice(SOME), net.sendable(PAYER)
        front.cut = SEND
        with pytest.raises(NodeAway):
            net.pay(PAYER, invoice, payment_hash(invoice))
        assert front.asked[SEND] == 1
        front.cut = ""
        done = net.pay(PAYER, invoice, payment_hash(invoice))
        assert front.asked[SEND] == 1
        assert net.sendable(PAYER) == before - SOME - done.fee_msat
        assert net.pay(PAYER, invoice, payment_hash(invoice)) == done
        net.close()


# Nodes that are not what they say


def lies(tmp_path: Path, url: str) -> Endpoint:
    (tmp_path / "macaroon").write_bytes(b"m")
    return Endpoint("lnd", url, extra={"macaroon": str(tmp_path / "macaroon")})


def says(*networks: str) -> dict[str, Any]:
    chains = [{"chain": "bitcoin", "network": network} for network in networks]
    return {"identity_pubkey": "02" * 33, "version": "0.20.1", "chains": chains}


@pytest.mark.parametrize("networks", [("mainnet",), ("testnet",), ("regtest", "mainnet"), ()])
def test_a_node_of_another_network_is_refused(tmp_path: Path, networks: tuple[str, ...]) -> None:
    asked: list[str] = []

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        asked.append(path)
        return 200, says(*networks)

    with served(answer) as url:
        net = LndNetwork({LAB: lies(tmp_path, url)}, RealClock())
        with pytest.raises(RefusedNode, match="regtest"):
            net.invoice(SOME)
        assert asked == ["/v1/getinfo"]
        net.close()


def test_a_node_that_changes_its_network_is_refused_at_the_next_connection(tmp_path: Path) -> None:
    network = ["regtest"]

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        return 200, says(network[0]) if path == "/v1/getinfo" else {"local_balance": {"msat": "5"}}

    with served(answer, answers=2) as url:
        net = LndNetwork({LAB: lies(tmp_path, url)}, RealClock())
        assert net.sendable(LAB) == 5
        network[0] = "mainnet"
        with pytest.raises(RefusedNode):
            net.sendable(LAB)
        net.close()


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ((500, {"code": 2, "message": "wallet locked, unlock it to enable full RPC access"}), "its wallet is locked"),
        ((500, {"code": 2, "message": "the RPC server is in the process of starting up"}), "still starting"),
        ((500, {"code": 2, "message": "verification failed: signature mismatch"}), "does not take this macaroon"),
        ((200, ["what"]), "not LND's"),
    ],
)
def test_why_a_node_cannot_be_used_is_one_clear_line(tmp_path: Path, said: tuple[int, Any], text: str) -> None:
    with served(lambda *_: said) as url:
        net = LndNetwork({LAB: lies(tmp_path, url)}, RealClock())
        with pytest.raises(NodeAway, match=text):
            net.sendable(LAB)
        net.close()


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    there = Endpoint("lnd", "https://127.0.0.1:1", extra={"certificate": str(tmp_path / "tls.cert")})
    with pytest.raises(SettingsError, match=r"tls\.cert"):
        LndNetwork({LAB: there}, RealClock())
    with served(lambda *_: (200, says("regtest"))) as url:
        net = LndNetwork({LAB: Endpoint("lnd", url, extra={"macaroon": str(tmp_path / "none")})}, RealClock())
        with pytest.raises(SettingsError, match="macaroon"):
            net.sendable(LAB)
