"""Payments that do not get through at once: broadcast again, replaced by a higher fee."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from glasstumbler.clock import VirtualClock
from glasstumbler.engine.commands import OpenMix, OrderView, Wish
from glasstumbler.engine.order import State
from glasstumbler.engine.payment import Payment, PaymentState
from glasstumbler.errors import TransactionRefused
from glasstumbler.house import House
from glasstumbler.vault import Vault


@pytest.fixture
def house() -> Iterator[House]:
    made = House(None, Vault(bytes(32)), VirtualClock(), 7, {"lab": {"chains": ["btc"], "rate_limits": "off"}})
    made.start()
    yield made
    made.close()


def pay_an_order(house: House, slug: str) -> tuple[OrderView, str]:
    """An order whose payout is broadcast; the view and the payout's address."""
    chain = house.chains["btc"]
    address = chain.fresh_address()
    command = OpenMix("btc", (Wish(address, amount="0.01", field="payouts"),), fixed=True)
    view = asyncio.run(house.services[slug].answer(command, "customer"))
    assert isinstance(view, OrderView)
    chain.pay(view.order.address, view.order.terms.quote or 0)
    chain.mine()
    house.turn()
    return view, address


def payments(house: House) -> list[Payment]:
    return house.store.read(lambda records: [p for p in records.all_payments() if p.carried])


def test_a_payout_that_waits_too_long_is_replaced_by_one_with_a_higher_fee(house: House) -> None:
    view, address = pay_an_order(house, "btcmix")
    chain = house.chains["btc"]
    (first,) = payments(house)
    assert first.state is PaymentState.SENT
    chain.mine(house.policies["btcmix"].bump_after)
    house.turn()
    chain.reorg(house.policies["btcmix"].bump_after)  # the empty branch leaves it waiting
    house.turn()
    old, new = payments(house)
    assert (old.state, new.state) == (PaymentState.REPLACED, PaymentState.SENT)
    assert new.fee >= 2 * old.fee
    assert set(old.inputs) & set(new.inputs)
    assert chain.place(old.txid) is None
    chain.mine()
    house.turn()
    order = house.store.read(lambda records: records.order_by_number(view.order.number))
    assert order.state is State.COMPLETED
    key = chain.format.key(address)
    heights = range(1, chain.tip()[0] + 1)
    paid = [
        output
        for height in heights
        for tx in chain.block(chain.block_hash(height) or "").txs
        for output in tx.outputs
        if output.key == key
    ]
    assert [output.amount for output in paid] == [1_000_000]


def test_a_payout_that_the_network_forgot_is_broadcast_again(house: House) -> None:
    pay_an_order(house, "btcmix")
    chain = house.chains["btc"]
    (payment,) = payments(house)
    chain.mine()
    house.turn()
    chain.reorg(1, forget=[payment.txid])
    assert chain.place(payment.txid) is None
    house.turn()
    assert payment.txid in chain.mempool()


def test_a_node_that_misses_what_the_record_has_makes_no_new_payment(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is behind, or the record is. Each new payment would be refused like the first."""

    def behind(raw: bytes) -> str:
        raise TransactionRefused("missing-inputs", "a node that is behind")

    chain = house.chains["btc"]
    with monkeypatch.context() as patch:
        patch.setattr(chain, "broadcast", behind)
        patch.setattr(chain, "broadcast_all", lambda raws: [])
        pay_an_order(house, "btcmix")
    (payment,) = payments(house)
    assert payment.state is PaymentState.STORED
    house.turn()
    assert payment.txid in chain.mempool()
