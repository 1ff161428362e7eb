"""LND pays, in the laboratory, what the in-process network pays."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace

from glasstumbler.chains import bolt11
from glasstumbler.chains.bolt11 import Hint, Invoice
from glasstumbler.chains.lightning import LAB
from glasstumbler.clock import Clock, RealClock
from glasstumbler.nodes.lnd import LndNetwork
from glasstumbler.nodes.lnd_node import LndNode
from glasstumbler.nodes.running import Nodes
from tests.chains.lightning_contract import SOME, LightningContract, Net, payment_hash
from tests.nodes.lightning import PAYER, Site, site

SECRET = b"\x0b" * 32


@pytest.fixture(scope="module")
def network_site(own_nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(own_nodes, tmp_path_factory.mktemp("lightning")) as made:
        yield made


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


@pytest.fixture
def net(network_site: Site, clock: RealClock) -> Iterator[LndNetwork]:
    made = LndNetwork(network_site.endpoints, clock)
    yield made
    made.close()


@pytest.fixture
def lab(network_site: Site) -> Iterator[LndNode]:
    made = LndNode(LAB, network_site.endpoints[LAB])
    yield made
    made.close()


class TestLnd(LightningContract):
    payer: ClassVar[str] = PAYER
    site: Site

    @pytest.fixture(autouse=True)
    def _site(self, network_site: Site) -> None:
        self.site = network_site

    def refused_by_payee(self, net: Net) -> str:
        node = LndNode(LAB, self.site.endpoints[LAB])
        invoice = net.invoice(SOME)
        digest = bolt11.decode(invoice).payment_hash
        node.tell("/v2/invoices/cancel", payment_hash=_base64(digest))
        node.close()
        return invoice


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_opening_the_channels_again_opens_none(network_site: Site, net: LndNetwork) -> None:
    before = (net.sendable(PAYER), net.sendable(LAB), network_site.chain.tip())
    net.prepare(network_site.chain)
    assert (net.sendable(PAYER), net.sendable(LAB), network_site.chain.tip()) == before


def test_no_block_is_needed_to_pay_and_channels_outlive_reorganisations(network_site: Site, net: LndNetwork) -> None:
    network_site.chain.reorg(12)
    invoice = net.invoice(SOME)
    assert net.check_route(invoice, PAYER).routes == 3
    assert net.pay(PAYER, invoice, payment_hash(invoice)).amount_msat == SOME


# BOLT 11, both ways


def test_our_reader_reads_what_lnd_writes(lab: LndNode) -> None:
    hop: dict[str, Any] = {
        "node_id": bolt11.decode(lab.invoice(1000, 60, "")).payee.hex(),  # type: ignore[union-attr]
        "chan_id": "123456789012345",
        "fee_base_msat": 1000,
        "fee_proportional_millionths": 250,
        "cltv_expiry_delta": 40,
    }
    body = {
        "value_msat": "123457",
        "memo": "a mug",
        "expiry": "777",
        "cltv_expiry": "30",
        "route_hints": [{"hop_hints": [hop]}],
        "fallback_addr": "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
    }
    text = lab.tell("/v1/invoices", **body)["payment_request"]
    ours, theirs = bolt11.decode(text), lab.ask(f"/v1/payreq/{text}")
    assert ours.payment_hash.hex() == theirs["payment_hash"]
    assert _base64(ours.payment_secret) == theirs["payment_addr"]
    assert ours.payee is not None and ours.payee.hex() == theirs["destination"]
    assert str(ours.timestamp) == theirs["timestamp"]
    assert (ours.amount_msat, ours.description, ours.expiry, ours.min_final_cltv) == (123_457, "a mug", 777, 30)
    assert {str(bit) for bit in range(ours.features.bit_length()) if ours.features >> bit & 1} == set(
        theirs["features"]
    )
    assert ours.fallbacks == ((0, bytes.fromhex("751e76e8199196d454941c45d1b3a323f1433bd6")),)
    assert ours.hints == ((Hint(bytes.fromhex(hop["node_id"]), 123_456_789_012_345, 1000, 250, 40),),)
    again = bolt11.decode(bolt11.encode(ours, SECRET))
    assert again == replace(ours, payee=again.payee)


PLAIN = Invoice(b"\x01" * 32, b"\x02" * 32, 1_800_000_000, 2_500_000)
POINT = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
GIVEN = {
    "plain": PLAIN,
    "described": replace(PLAIN, description="Grüße", expiry=10),
    "described by a hash": replace(PLAIN, description_hash=b"\x05" * 32, amount_msat=1),
    "private": replace(PLAIN, hints=((Hint(POINT, 7 << 40, 1, 2, 3),), (Hint(POINT, 1, 0, 0, 9),) * 2)),
    "particular": replace(PLAIN, features=bolt11.FEATURES | 1 << 17, min_final_cltv=80, fallbacks=((0, b"\x01" * 20),)),
}


@pytest.mark.parametrize("name_payee", [False, True])
@pytest.mark.parametrize("which", GIVEN)
def test_lnd_reads_what_our_writer_writes(lab: LndNode, which: str, name_payee: bool) -> None:
    ours = GIVEN[which]
    text = bolt11.encode(ours, SECRET, name_payee)
    theirs = lab.ask(f"/v1/payreq/{text}")
    payee = bolt11.decode(text).payee
    assert payee is not None and theirs["destination"] == payee.hex()
    assert theirs["payment_hash"] == "01" * 32
    assert theirs["payment_addr"] == _base64(b"\x02" * 32)
    assert theirs["num_msat"] == str(ours.amount_msat)
    assert theirs["timestamp"] == str(ours.timestamp)
    assert theirs["description"] == (ours.description or "")
    assert theirs["description_hash"] == (ours.description_hash or b"").hex()
    assert (theirs["expiry"], theirs["cltv_expiry"]) == (str(ours.expiry), str(ours.min_final_cltv))
    assert set(theirs["features"]) == {str(b) for b in range(ours.features.bit_length()) if ours.features >> b & 1}
    hints = [(h["node_id"], h["chan_id"]) for r in theirs["route_hints"] for h in r["hop_hints"]]
    assert hints == [(hint.node.hex(), str(hint.short_channel_id)) for hops in ours.hints for hint in hops]


def test_the_clock_of_the_laboratory_may_be_ahead(net: LndNetwork, clock: Clock) -> None:
    clock.advance(30 * 86_400)
    asked = bolt11.decode(net.invoice(SOME, 600))
    assert clock.now() + 590 <= asked.expires <= clock.now() + 610
