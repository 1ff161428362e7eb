"""Orders of every service from the first call to the last confirmation, by both faces and with every call."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from glasstumbler.client import BearerCalls, CodeCalls, Exact, LabCalls, Share, SwapV2Calls, SwapV3Calls
from glasstumbler.testing import Laboratory
from tests.client.faces import Face, calls_of

BEARERS = ("btcmix", "coinjoin", "whir")


@pytest.mark.parametrize("slug", BEARERS)
def test_bearer_mixers(slug: Any, face: Face, laboratory: Laboratory) -> None:
    url, key, secret, _ = laboratory.service(slug)
    mixer = face.BearerMixer(url, key, secret)
    assert mixer.status().status == "ok"
    to = [laboratory.address() for _ in range(2)]
    assert (mixer.validate_address(to[0]), mixer.validate_address("nowhere/at all?")) == (True, False)
    made = mixer.create_transaction({to[0]: "0.001", to[1]: Decimal("0.00200")}, delay=1, ref_code="qljncygz")
    assert (made.status, made.payouts, made.delay) == ("pending", dict.fromkeys(to, Decimal(0)), 1)
    assert made.deposit_amount == made.fee + Decimal("0.003") and made.ref_code == "qljncygz"
    laboratory.pay(made.deposit_address, made.deposit_amount)
    seen = mixer.transaction(made.id)
    assert (seen.status, seen.deposit_amount, seen.txid) == ("confirming", made.deposit_amount, None)
    laboratory.mine()
    laboratory.advance(3600)
    assert mixer.transaction(made.id).status == "processing"
    laboratory.mine()
    done = mixer.transaction(made.id)
    assert (done.status, done.payouts) == ("complete", {to[0]: Decimal("0.001"), to[1]: Decimal("0.002")})
    assert (done.updated - made.created).total_seconds() == 3600
    page = mixer.transactions(limit=1, offset=0)
    assert ([each.id for each in page.transactions], page.total_transactions, page.limit) == ([made.id], 1, 1)
    assert mixer.transactions().limit == 30
    truth = laboratory.order(slug, made.id)
    assert truth.state == "completed" and [payout.outpoint for payout in truth.payouts] == [
        f"{done.txid}:{vout}" for vout in range(2)
    ]
    assert mixer.asked == calls_of(BearerCalls)


@pytest.mark.parametrize("slug", ["coinjoin", "whir"])
def test_open_amounts(slug: Any, face: Face, laboratory: Laboratory) -> None:
    url, key, secret, _ = laboratory.service(slug)
    mixer = face.BearerMixer(url, key, secret)
    made = mixer.create_transaction([laboratory.address(), laboratory.address()])
    assert (made.deposit_amount, made.fee) == (None, None)
    laboratory.pay(made.deposit_address, "0.5")
    laboratory.mine(blocks=2)
    done = mixer.transaction(made.id)
    assert done.status == "complete" and sum(done.payouts.values()) + done.fee == Decimal("0.5")


@pytest.mark.parametrize(
    ("coin", "fee", "deposit", "amounts"),
    [
        ("btc", "1.0001", "0.25", ("0.1", "0.05")),
        ("bch", "3.25", "1.5", ("0.4", "0.30")),
        ("ltc", Decimal("3.5"), "4", ("1.25", "0.75")),
        ("eth", 4, "2", ("0.6", "0.500000000000000001")),
    ],
)
def test_code_mixer(coin: Any, fee: Any, deposit: str, amounts: Any, face: Face, laboratory: Laboratory) -> None:
    service = laboratory.service("bestmixer")
    mixer = face.CodeMixer(service.url, service.key, laboratory.letter_key)
    assert set(mixer.fee_info()) == {"btc", "bch", "ltc", "eth"}
    open_ = mixer.order_create(
        coin, fee, [Share(laboratory.address(coin), "50.5", 90), Share(laboratory.address(coin), Decimal("49.50"))]
    )
    assert open_.min_amount < Decimal(deposit) and open_.exactly_amount is None
    assert "TEST NETWORK" in open_.letter.text and open_.letter.key == laboratory.letter_key
    assert Decimal(mixer.code_info(open_.bm_code)["btc"]) == 1
    fixed = mixer.order_create_fixed(
        coin, fee, [Exact(laboratory.address(coin), amount, 45) for amount in amounts], open_.bm_code
    )
    assert fixed.bm_code == open_.bm_code and fixed.min_amount is None
    first = mixer.order_info(open_.order_id)
    assert (first.status, first.fixed, first.received, first.service_fee) == ("Awaiting", False, 0, Decimal(fee))
    laboratory.pay(open_.input_address, deposit, coin)
    laboratory.pay(fixed.input_address, fixed.exactly_amount, coin)
    laboratory.mine(coin)
    waiting = mixer.order_info(open_.order_id)
    assert [(output.percent, output.delay_countdown) for output in waiting.output] == [
        (Decimal("50.5"), 90),
        (Decimal("49.5"), 0),
    ]
    for _ in range(2):
        laboratory.advance(45 * 60)
        laboratory.mine(coin)
    done = mixer.order_info(fixed.order_id)
    assert (done.status, done.fixed, done.received) == ("Completed", True, fixed.exactly_amount)
    assert [(output.amount, output.status) for output in done.output] == [(Decimal(a), "Confirmed") for a in amounts]
    assert mixer.order_info(open_.order_id).status == "Completed"
    assert mixer.asked == calls_of(CodeCalls)


def test_swap_v2(face: Face, laboratory: Laboratory) -> None:
    swap = face.SwapV2(laboratory.service("xmrto").url)
    to = laboratory.address()
    limits = swap.order_parameter_query()
    assert limits.lower_limit < limits.zero_conf_max_amount < limits.upper_limit
    price = swap.order_check_price("0.02")
    made = swap.order_create(to, "0.02")
    assert (made.state, made.btc_amount, made.btc_dest_address) == ("TO_BE_CREATED", Decimal("0.02"), to)
    asked = swap.order_status_query(made.uuid)
    assert asked.xmr_amount_total == price.xmr_amount_total == asked.xmr_amount_remaining
    part = (asked.xmr_amount_total / 2).quantize(Decimal("0.000001"))
    laboratory.pay(asked.xmr_receiving_subaddress, part, "xmr")
    assert swap.order_status_query(made.uuid).state == "UNDERPAID"
    assert swap.order_partial_payment(made.uuid).btc_amount < Decimal("0.02")
    laboratory.mine("xmr")
    done = swap.order_status_query(made.uuid)
    assert (done.state, len(done.btc_transaction_id)) == ("BTC_SENT", 64)
    in_xmr = swap.order_create(to, 4, "XMR")
    assert in_xmr.btc_amount == swap.order_check_price(4, "XMR").btc_amount
    paid = swap.order_create_pp(f"{laboratory.url}/lab/v1/bip70?address={to}&amount=0.03")
    assert (paid.btc_dest_address, paid.btc_amount) == (to, Decimal("0.03")) and paid.pp_url
    assert swap.gen_qrcode(asked.xmr_receiving_subaddress).startswith(b"\x89PNG")
    assert made.uuid in swap.status_page(made.uuid)
    assert swap.asked == calls_of(SwapV2Calls)


def test_swap_v3(face: Face, laboratory: Laboratory) -> None:
    swap = face.SwapV3(laboratory.service("xmrto").url)
    to = laboratory.address()
    limits = swap.order_parameter_query()
    assert limits.ln_lower_limit < limits.ln_upper_limit < limits.upper_limit
    price = swap.order_check_price("0.15")
    made = swap.order_create(to, "0.15")
    assert (made.uses_lightning, made.btc_amount) == (False, Decimal("0.15"))
    asked = swap.order_status_query(made.uuid)
    assert asked.incoming_amount_total == price.incoming_amount_total
    assert (asked.state, asked.incoming_num_confirmations_remaining, asked.payments) == ("UNPAID", -1, [])
    laboratory.pay(asked.receiving_subaddress, asked.incoming_amount_total, "xmr")
    assert swap.order_status_query(made.uuid).state == "PAID_UNCONFIRMED"
    laboratory.mine("xmr")
    laboratory.mine("btc", 2)
    (payment,) = swap.order_status_query(made.uuid).payments
    assert (payment.method, payment.amount, payment.num_confirmations) == ("On Chain", Decimal("0.15"), 2)
    assert laboratory.order("xmrto", made.uuid).payouts[0].outpoint.startswith(payment.tx_id)

    invoice = laboratory.invoice("0.0005")
    assert swap.order_ln_check_route(invoice).num_routes > 0
    quick = swap.order_create_ln(invoice)
    assert quick.uses_lightning and quick.btc_dest_address == invoice
    asked = swap.order_status_query(quick.uuid)
    laboratory.pay(asked.receiving_subaddress, asked.incoming_amount_total, "xmr")
    (payment,) = swap.order_status_query(quick.uuid).payments
    assert payment.method == "Lightning Network" and payment.preimage
    assert laboratory.order("xmrto", quick.uuid).payouts[0].custody.kind == "channel"

    short = swap.order_create(to, "0.02")
    asked = swap.order_status_query(short.uuid)
    laboratory.pay(asked.receiving_subaddress, (asked.incoming_amount_total / 2).quantize(Decimal("1e-6")), "xmr")
    assert swap.order_partial_payment(short.uuid).state == "PAID"
    laboratory.advance(0)  # what a request set off is done at the lab's next call
    assert swap.order_status_query(short.uuid).state == "BTC_SENT"
    assert swap.order_create_pp(f"{laboratory.url}/lab/v1/bip70?address={to}&amount=0.03").btc_amount == Decimal("0.03")
    assert swap.gen_qrcode(invoice[:300]).startswith(b"\x89PNG")
    assert made.uuid in swap.status_page(made.uuid)
    assert swap.asked == calls_of(SwapV3Calls)


def test_the_laboratory(face: Face, laboratory: Laboratory) -> None:
    lab = face.Lab(laboratory.url)
    coins = {chain.coin: chain for chain in lab.chains()}
    assert {"btc", "bch", "ltc", "eth", "xmr", "lightning"} == set(coins) and coins["xmr"].model
    height = coins["btc"].height
    assert lab.mine(blocks=2) == height + 2
    to = lab.address("btc", "p2tr")
    assert to.startswith("bcrt1p") and len(lab.pay(to, Decimal("0.5"))) == 64
    assert lab.reorg() == height + 3
    assert lab.invoice("0.001", expiry=60).startswith("lnbcrt")
    assert (lab.price("0.0075"), lab.price(None)) == (Decimal("0.0075"), None)
    now = lab.advance(0)
    assert lab.advance(3600) == now + 3600
    assert lab.behave("whir", answer=503, times=2).times == 2
    assert lab.behave("whir", payout="stall").payout == "stall"
    assert lab.behave("whir").answer is None
    made = laboratory.service("whir").client.create_transaction({to: "0.01"})
    assert lab.order("whir", made.id).deposit_address == made.deposit_address
    assert lab.asked == calls_of(LabCalls)


def test_another_lab_token_than_the_right_one_is_as_good_as_none_here(face: Face, laboratory: Laboratory) -> None:
    assert face.Lab(laboratory.url, "a token").chains()  # loopback by its own name needs none
