"""The Lightning model: invoices, routes, liquidity, and paying once."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from glasstumbler.chains import bolt11
from glasstumbler.chains.bolt11 import Invoice
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.lightning import LAB, LightningNetwork
from glasstumbler.chains.lightning_graph import Channel, Graph
from glasstumbler.clock import GENESIS_TIME, VirtualClock
from glasstumbler.engine.commands import Route
from glasstumbler.errors import (
    BadInvoice,
    ChainError,
    InvoiceExpired,
    InvoiceUsed,
    NoRoute,
    PaymentFailed,
    StoreError,
)
from tests.chains.lightning_contract import LightningContract, Net

RING = KeyRing(b"Lightning tests of the network")
SERVICES = ["first", "second"]
BTC = 100_000_000_000
"""Millisatoshi."""
SOME = BTC // 1000


def network(folder: Path | None = None, clock: VirtualClock | None = None, seed: int = 7) -> LightningNetwork:
    return LightningNetwork(RING, clock or VirtualClock(), random.Random(seed), SERVICES, folder)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def net(clock: VirtualClock) -> Iterator[LightningNetwork]:
    net = network(clock=clock)
    yield net
    net.close()


def payment_hash(invoice: str) -> str:
    return bolt11.decode(invoice).payment_hash.hex()


def balances(net: LightningNetwork) -> dict[str, int]:
    """What each node could send if every channel helped."""
    held: dict[str, int] = {}
    for channel in net._graph.channels:
        for node in (channel.a, channel.b):
            held[node] = held.get(node, 0) + channel.sendable(node)
    return held


# Routes


def chain_of(*channels: tuple[str, str, int, int]) -> Graph:
    return Graph(Channel(n, a, b, capacity, balance, 10, 1000) for n, (a, b, capacity, balance) in enumerate(channels))


def test_the_chance_is_the_product_over_channels_that_are_not_the_payers() -> None:
    graph = chain_of(("a", "b", 1000, 1000), ("b", "c", 999, 0), ("c", "d", 399, 399))
    (path,) = graph.paths("a", "d", 100)
    assert path.probability == pytest.approx(1.0 * (900 / 1000) * (300 / 400))
    assert [(hop.node, hop.amount) for hop in path.hops] == [("a", 120), ("b", 110), ("c", 100)]
    assert path.fee == 20
    assert not path.has_liquidity(), "b has nothing to send, and the payer cannot know"


def test_fees_are_those_of_bolt_7() -> None:
    graph = chain_of(("a", "b", BTC, BTC), ("b", "c", BTC, BTC), ("c", "d", BTC, BTC))
    (path,) = graph.paths("a", "d", 1_000_000)
    assert [hop.amount for hop in path.hops] == [1_000_000 + 1010 + 1011, 1_000_000 + 1010, 1_000_000]


def test_routes_share_no_channel_and_the_likeliest_comes_first() -> None:
    graph = chain_of(
        ("a", "b", 1000, 1000), ("b", "z", 1000, 500),
        ("a", "c", 1000, 1000), ("c", "z", 4000, 500),
        ("b", "c", 9000, 4500),
    )  # fmt: skip
    paths = graph.paths("a", "z", 100)
    assert [hop.node for hop in paths[0].hops] == ["a", "c"]
    assert len(paths) == 2
    used = [hop.channel.number for path in paths for hop in path.hops]
    assert len(used) == len(set(used))
    assert paths[0].probability > paths[1].probability


def test_capacity_and_the_payers_own_balance_bound_the_amount() -> None:
    graph = chain_of(("a", "b", 1000, 600), ("b", "c", 1000, 1000))
    assert len(graph.paths("a", "c", 600)) == 1
    assert graph.paths("a", "c", 601) == []
    assert graph.paths("c", "a", 1) == [], "c has nothing to send"
    assert graph.paths("a", "nobody", 1) == []


def test_hidden_nodes_carry_nobody_elses_payments() -> None:
    channels = [Channel(1, "a", "b", 1000, 1000, 0, 0), Channel(2, "b", "c", 1000, 1000, 0, 0)]
    assert len(Graph(channels).paths("a", "c", 10)) == 1
    assert Graph(channels, hidden=["b"]).paths("a", "c", 10) == []
    assert len(Graph(channels, hidden=["a", "b"]).paths("a", "b", 10)) == 1


# Invoices


def test_an_invoice_says_what_was_asked(net: LightningNetwork, clock: VirtualClock) -> None:
    text = net.invoice(21_000, expiry=60, description="tea ☕")
    invoice = bolt11.decode(text)
    assert (invoice.amount_msat, invoice.description) == (21_000, "tea ☕")
    assert (invoice.timestamp, invoice.expires) == (clock.now(), clock.now() + 60)
    assert invoice.payee == RING.public("lightning", LAB, "lab", 0)
    assert net.lookup(invoice.payment_hash.hex()) == "open"
    assert net.lookup("00" * 32) is None
    hashes = {payment_hash(net.invoice(21_000)) for _ in range(20)}
    assert len(hashes) == 20


@pytest.mark.parametrize("amount", [0, -1])
def test_an_invoice_has_a_positive_amount(net: LightningNetwork, amount: int) -> None:
    with pytest.raises(BadInvoice):
        net.invoice(amount)


def test_check_route_tells_the_chance_and_changes_nothing(net: LightningNetwork) -> None:
    invoice, before = net.invoice(SOME), balances(net)
    route = net.check_route(invoice, "first")
    assert route == net.check_route(invoice.upper(), "first")
    assert 1 <= route.routes <= 3
    assert 0.9 < route.probability <= 1.0
    assert net.check_route(net.invoice(BTC), "first").probability < route.probability
    assert net.check_route(net.invoice(100 * BTC), "first") == Route(0, 0.0)
    assert balances(net) == before


# Paying


def test_a_payment_gives_the_preimage_and_moves_liquidity(net: LightningNetwork, clock: VirtualClock) -> None:
    invoice, before = net.invoice(SOME), balances(net)
    done = net.pay("first", invoice, "order-1")
    assert sha256(bytes.fromhex(done.preimage)).hexdigest() == done.payment_hash == payment_hash(invoice)
    assert (done.amount_msat, done.time) == (SOME, clock.now())
    assert (done.route[0], done.route[-1]) == ("first", LAB)
    after = balances(net)
    assert before["first"] - after["first"] == SOME + done.fee_msat
    assert after[LAB] - before[LAB] == SOME
    assert sum(after.values()) == sum(before.values()), "fees stay in the network"
    assert net.lookup(done.payment_hash) == "paid"


def test_asking_again_tells_the_same_and_pays_nothing(net: LightningNetwork) -> None:
    invoice = net.invoice(SOME)
    done, after = net.pay("first", invoice, "order-1"), balances(net)
    assert net.pay("first", invoice, "order-1") == done == net.paid("order-1")
    assert balances(net) == after
    assert net.paid("order-2") is None
    with pytest.raises(ChainError, match="another invoice"):
        net.pay("first", net.invoice(SOME), "order-1")


def test_an_invoice_is_paid_once(net: LightningNetwork) -> None:
    invoice = net.invoice(SOME)
    net.pay("first", invoice, "order-1")
    for attempt in (lambda: net.pay("second", invoice, "order-2"), lambda: net.check_route(invoice, "second")):
        with pytest.raises(InvoiceUsed):
            attempt()


class TestLightningNetwork(LightningContract):
    payer = "first"

    def refused_by_payee(self, net: Net) -> str:
        unknown = Invoice(b"\x06" * 32, bytes(32), GENESIS_TIME, amount_msat=SOME)
        return bolt11.encode(unknown, RING.secret("lightning", LAB, "lab", 0))


def test_expiry_follows_the_clock(net: LightningNetwork, clock: VirtualClock) -> None:
    invoice, other = net.invoice(SOME, expiry=60), net.invoice(SOME, expiry=60)
    clock.advance(60)
    net.pay("first", invoice, "order-1")
    clock.advance(1)
    for attempt in (lambda: net.pay("first", other, "order-2"), lambda: net.check_route(other, "first")):
        with pytest.raises(InvoiceExpired):
            attempt()
    assert net.lookup(payment_hash(other)) == "expired"
    assert net.lookup(payment_hash(invoice)) == "paid"
    assert net.pay("first", invoice, "order-1").amount_msat == SOME, "what was paid stays paid"


def test_a_payment_without_liquidity_fails_for_good(net: LightningNetwork) -> None:
    invoice = net.invoice(SOME)
    for channel in net._graph.channels:
        if LAB in (channel.a, channel.b):
            channel.balance = channel.capacity if channel.a == LAB else 0
    for _ in range(2):
        with pytest.raises(PaymentFailed, match="liquidity"):
            net.pay("first", invoice, "order-1")
    assert net.lookup(payment_hash(invoice)) == "open"


def test_a_strangers_invoice_has_no_route(net: LightningNetwork, clock: VirtualClock) -> None:
    asked = Invoice(bytes(32), bytes(32), clock.now(), amount_msat=SOME)
    stranger = bolt11.encode(asked, b"\x09" * 32)
    assert net.check_route(stranger, "first") == Route(0, 0.0)
    with pytest.raises(NoRoute):
        net.pay("first", stranger, "order-1")
    unknown = bolt11.encode(asked, RING.secret("lightning", LAB, "lab", 0))
    with pytest.raises(PaymentFailed, match="no such payment hash"):
        net.pay("first", unknown, "order-2")
    open_amount = bolt11.encode(Invoice(bytes(32), bytes(32), clock.now()), RING.secret("lightning", LAB, "lab", 0))
    with pytest.raises(BadInvoice, match="no amount"):
        net.check_route(open_amount, "first")
    with pytest.raises(ChainError, match="nobody"):
        net.check_route(net.invoice(SOME), "nobody")


def test_many_payments_find_other_ways_until_liquidity_ends(net: LightningNetwork) -> None:
    total, ways = sum(balances(net).values()), set()
    count = 0
    with pytest.raises((NoRoute, PaymentFailed)):
        for count in range(1000):
            ways.add(net.pay("first", net.invoice(BTC // 2), f"order-{count}").route)
    assert count > 40 and len(ways) >= 3
    assert not any("second" in way for way in ways), "a service's node forwards nothing"
    assert all(0 <= channel.balance <= channel.capacity for channel in net._graph.channels)
    assert sum(balances(net).values()) == total
    rows = net._db.execute("SELECT number, balance FROM channels").fetchall()
    assert dict(rows) == {channel.number: channel.balance for channel in net._graph.channels}


# Coming back


def test_a_restarted_network_knows_what_it_issued_and_paid(tmp_path: Path) -> None:
    clock = VirtualClock()
    net = network(tmp_path, clock)
    paid, waiting = net.invoice(SOME), net.invoice(2 * SOME)
    done, held = net.pay("first", paid, "order-1"), balances(net)
    net.close()
    net = network(tmp_path, clock, seed=8)
    assert balances(net) == held, "channels come from the file, not from chance"
    assert net.pay("first", paid, "order-1") == done
    with pytest.raises(InvoiceUsed):
        net.pay("first", paid, "order-2")
    assert net.pay("first", waiting, "order-3").amount_msat == 2 * SOME
    assert payment_hash(net.invoice(SOME)) not in (payment_hash(paid), payment_hash(waiting))
    net.close()


def test_a_further_service_joins_a_network_that_stands(tmp_path: Path) -> None:
    net = network(tmp_path)
    before = len(net._graph.channels)
    net.close()
    net = LightningNetwork(RING, VirtualClock(), random.Random(9), [*SERVICES, "sixth"], tmp_path)
    assert len(net._graph.channels) == before + 3
    assert net.pay("sixth", net.invoice(SOME), "order-1").route[0] == "sixth"
    net.close()


def test_same_seed_same_bytes() -> None:
    texts = []
    for _ in range(2):
        net = network()
        texts.append((net.invoice(SOME), net.pay("first", net.invoice(SOME), "order-1"), balances(net)))
        net.close()
    assert texts[0] == texts[1]
    net = network(seed=8)
    assert balances(net) != texts[0][2]
    net.close()


def test_a_file_of_another_seed_or_none_at_all_is_refused(tmp_path: Path) -> None:
    network(tmp_path).close()
    with pytest.raises(StoreError, match="another seed"):
        LightningNetwork(KeyRing(b"some other seed of 16 bytes"), VirtualClock(), random.Random(7), SERVICES, tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "lightning.sqlite").write_bytes(b"no database " * 100)
    with pytest.raises(StoreError):
        network(tmp_path / "broken")


def test_the_file_itself_keeps_an_invoice_from_being_paid_twice(tmp_path: Path) -> None:
    net = network(tmp_path)
    net.pay("first", net.invoice(SOME), "order-1")
    net.close()
    connection = sqlite3.connect(tmp_path / "lightning.sqlite")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO payments SELECT 'order-2', payment_hash, payer, amount_msat, time, preimage,"
                           " fee_msat, route, reason FROM payments")  # fmt: skip
    connection.close()


def test_a_full_disk_is_one_clear_error_and_pays_nothing(tmp_path: Path) -> None:
    net = network(tmp_path)
    invoice, before = net.invoice(SOME), balances(net)
    (pages,) = net._db.execute("PRAGMA page_count").fetchone()
    net._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="the Lightning store did not take a change: database or disk is full"):
        for _ in range(1000):
            net.invoice(SOME)
    with pytest.raises(StoreError):
        for number in range(1000):
            net.pay("first", invoice, f"order-{number}".ljust(5_000))
    assert (net.lookup(bolt11.decode(invoice).payment_hash.hex()), balances(net)) == ("open", before)
    net._db.execute("PRAGMA max_page_count = 1000000")
    net.pay("first", invoice, "order-1")
    assert net.lookup(bolt11.decode(invoice).payment_hash.hex()) == "paid"
    net.close()
