"""The explorer and the search over HTTP: from a block to a transaction to an address and to the order."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import base58
import httpx
import pytest

from tests.web.server import Lab, wait_for

COINS = ("btc", "bch", "ltc", "eth", "xmr")
HOSTILE = [
    "<script>alert(1)</script>",
    "'; DROP TABLE tx; --",
    "%00",
    "\U0001f600" * 50,
    "a\0b",
    "9" * 400,
    "-1",
    "../../secret",
    "{{ 7 * 7 }}",
    "0x" + "g" * 64,
    "f" * 64,
    "₁₂₃",
    "1e9",
]


@pytest.fixture
def browser(lab: Lab) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=lab.urls["hub"], follow_redirects=False) as client:
        yield client


@pytest.fixture(scope="module")
def paid(lab: Lab) -> dict[str, Any]:
    """An order of whir's, paid out: its name, its addresses, its transactions."""
    to = [lab.address(), lab.address()]
    body = {"delay": "0", "payouts": {to[0]: "0.25", to[1]: "0.5"}}
    with lab.client("whir") as client:
        order = client.post("/api/createTransaction", json=body).json()
    deposit = lab.pay("btc", order["depositAddress"], order["depositAmount"])
    lab.lab("chains/btc/mine", blocks=1)
    truth = lab.hub.get(f"/lab/v1/orders/whir/{order['id']}").json()
    payout = truth["payouts"][0]["outpoint"].partition(":")[0]
    return {"id": order["id"], "address": order["depositAddress"], "deposit": deposit, "payout": payout, "to": to}


def test_from_the_chains_to_a_block_to_a_transaction_to_the_order(browser: httpx.Client, paid: dict[str, Any]) -> None:
    assert all(f'href="/chains/{coin}"' in browser.get("/chains").text for coin in COINS)
    blocks = re.findall(r'href="(/chains/btc/block/\d+)"', browser.get("/chains/btc").text)
    listed = {txid: where for where in blocks for txid in re.findall(r"/tx/([0-9a-f]{64})", browser.get(where).text)}
    assert paid["deposit"] in listed and paid["payout"] in listed
    shown = browser.get(f"/chains/btc/tx/{paid['payout']}").text
    assert f'href="/orders/whir/{paid["id"]}"' in shown
    assert "payout, whir" in shown
    assert all(address in shown for address in paid["to"])
    deposit = browser.get(f"/chains/btc/tx/{paid['deposit']}").text
    assert "deposit, whir" in deposit and paid["address"] in deposit


def test_an_output_says_what_spends_it_also_while_that_waits(lab: Lab, browser: httpx.Client) -> None:
    address = lab.address()
    first = lab.pay("btc", address, "1", blocks=0)
    shown = browser.get(f"/chains/btc/tx/{first}").text
    assert "waits in the mempool" in shown
    source = re.search(r'/chains/btc/tx/([0-9a-f]{64})" aria-label="The transaction that made it', shown)
    assert source is not None
    assert f"{first}" in browser.get(f"/chains/btc/tx/{source[1]}").text
    assert ", which waits" in browser.get(f"/chains/btc/tx/{source[1]}").text
    assert first in browser.get(f"/chains/btc/address/{address}").text
    lab.lab("chains/btc/mine", blocks=1)
    mined = browser.get(f"/chains/btc/tx/{first}").text
    assert "1 confirmation" in mined
    assert ", which waits" not in browser.get(f"/chains/btc/tx/{source[1]}").text
    assert "<dd>1 BTC</dd>" in browser.get(f"/chains/btc/address/{address}").text


def test_a_reorganisation_takes_an_address_back(lab: Lab, browser: httpx.Client) -> None:
    address = lab.address()
    txid = lab.pay("btc", address, "2")
    page = browser.get(f"/chains/btc/tx/{txid}").text
    block = re.search(r'href="(/chains/btc/block/[0-9a-f]{64})"', page)
    assert block is not None and "<dd>2 BTC</dd>" in browser.get(f"/chains/btc/address/{address}").text
    lab.lab("chains/btc/reorg", depth=1)
    assert "<dd>2 BTC</dd>" not in browser.get(f"/chains/btc/address/{address}").text
    assert "took this block out of the chain" in browser.get(block[1]).text
    lab.lab("chains/btc/mine", blocks=1)
    assert "<dd>2 BTC</dd>" in browser.get(f"/chains/btc/address/{address}").text


def test_an_address_shows_whose_it_is_and_what_it_was_in(browser: httpx.Client, paid: dict[str, Any]) -> None:
    shown = browser.get(f"/chains/btc/address/{paid['address']}").text
    assert "deposit, whir" in shown and paid["deposit"] in shown
    assert "nobody's that" in browser.get(f"/chains/btc/address/{paid['to'][0]}").text


def test_ethereum_has_accounts(lab: Lab, browser: httpx.Client) -> None:
    address = lab.address("eth")
    txid = lab.pay("eth", address, "1.5")
    assert "<h1>Account</h1>" in browser.get(f"/chains/eth/address/{address}").text
    assert txid in browser.get(f"/chains/eth/address/{address}").text
    assert "1.5 ETH" in browser.get(f"/chains/eth/tx/{txid}").text


def test_monero_shows_an_observer_nothing_and_beside_it_what_view_keys_tell(lab: Lab, browser: httpx.Client) -> None:
    foreign = lab.address("xmr")
    txid = lab.pay("xmr", foreign, "1.5")
    shown = browser.get(f"/chains/xmr/tx/{txid}").text
    assert "Nothing: no output of it belongs to a service." in shown
    assert "1.5" not in shown and foreign not in shown
    assert "does not show what an address received" in browser.get(f"/chains/xmr/address/{foreign}").text
    with lab.client("xmrto") as client:
        body = {"btc_dest_address": lab.address(), "amount": "0.01", "amount_currency": "BTC"}
        name = client.post("/api/v3/xmr2btc/order_create/", json=body).json()["uuid"]
        order = client.post("/api/v3/xmr2btc/order_status_query/", json={"uuid": name}).json()
    to, amount = order["receiving_subaddress"], order["incoming_amount_total"]
    deposit = lab.pay("xmr", to, amount)
    shown = browser.get(f"/chains/xmr/tx/{deposit}").text
    assert to in shown and f"{amount} XMR" in shown and "deposit, XMR.to" in shown


def test_addresses_that_were_spent_together_are_a_cluster(lab: Lab, browser: httpx.Client) -> None:
    with lab.client("coinjoin") as client:
        for _ in range(4):
            body = {"delay": "24", "payouts": {lab.address(): "0.5"}}
            order = client.post("/api/createTransaction", json=body).json()
            lab.pay("btc", order["depositAddress"], order["depositAmount"])
    lab.lab("clock/advance", seconds=7 * 3600)
    lab.lab("chains/btc/mine", blocks=1)
    shown = browser.get(f"/chains/btc/address/{order['depositAddress']}").text
    where = re.search(r'href="(/chains/btc/cluster/\d+)"', shown)
    assert where is not None
    cluster = browser.get(where[1]).text
    assert "of CoinJoin" in cluster and "the observer is right" in cluster


@pytest.mark.parametrize(
    "where", ["block/nothing", "block/999999999", "tx/zz", "address/x", "cluster/7x", "tx/" + "0" * 64]
)
def test_what_is_not_there_is_a_page_that_says_so(where: str, browser: httpx.Client) -> None:
    answer = browser.get(f"/chains/btc/{where}")
    assert answer.status_code in (400, 404)
    assert "<main" in answer.text


def test_a_chain_that_does_not_run_is_named(browser: httpx.Client) -> None:
    answer = browser.get("/chains/doge")
    assert answer.status_code == 404
    assert "there are btc, bch, ltc, eth, xmr" in answer.text


def test_blocks_come_a_page_at_a_time(browser: httpx.Client) -> None:
    seen: list[int] = []
    where = "/chains/btc"
    while where:
        text = browser.get(where).text
        seen += [int(height) for height in re.findall(r'href="/chains/btc/block/(\d+)"', text)]
        older = re.search(r'href="\?from=(\d+)#blocks">Older', text)
        where = f"/chains/btc?from={older[1]}" if older else ""
    assert seen == list(range(seen[0], -1, -1))


# -- search -----------------------------------------------------------------------------------------------------------


def test_a_single_hit_is_gone_to(browser: httpx.Client, paid: dict[str, Any]) -> None:
    for asked, where in [
        (paid["id"], f"/orders/whir/{paid['id']}"),
        (f"  {paid['id']} ", f"/orders/whir/{paid['id']}"),
        (paid["deposit"], f"/chains/btc/tx/{paid['deposit']}"),
        (paid["deposit"].upper(), f"/chains/btc/tx/{paid['deposit']}"),
        (paid["address"], f"/chains/btc/address/{paid['address']}"),
    ]:
        answer = browser.get("/search", params={"q": asked})
        assert (answer.status_code, answer.headers["location"]) == (303, where)


def test_the_hash_of_a_block_is_found(browser: httpx.Client) -> None:
    shown = browser.get("/chains/btc/block/3").text
    block_hash = re.search(r'<dd class="mono">([0-9a-f]{64})<', shown)
    assert block_hash is not None
    answer = browser.get("/search", params={"q": block_hash[1]})
    assert answer.headers["location"] == f"/chains/btc/block/{block_hash[1]}"


def test_several_hits_are_listed(browser: httpx.Client) -> None:
    shown = browser.get("/search", params={"q": "1"}).text
    assert all(f'href="/chains/{coin}/block/1"' in shown for coin in COINS)
    assert 'href="/ledger/1"' in shown


def test_a_lightning_payment_is_found_by_its_hash(lab: Lab, browser: httpx.Client) -> None:
    invoice = lab.lab("lightning/invoice", amount="0.001")["ln_invoice"]
    with lab.client("xmrto") as client:
        name = client.post("/api/v3/xmr2btc/order_create_ln/", json={"ln_invoice": invoice}).json()["uuid"]
        order = client.post("/api/v3/xmr2btc/order_status_query/", json={"uuid": name}).json()
    lab.pay("xmr", order["receiving_subaddress"], order["incoming_amount_total"])
    lab.lab("chains/xmr/mine", blocks=10)
    payout = lab.hub.get(f"/lab/v1/orders/xmrto/{name}").json()["payouts"][0]["outpoint"]
    answer = browser.get("/search", params={"q": payout.partition(":")[2]})
    assert answer.headers["location"] == f"/orders/xmrto/{name}"


def test_an_address_of_a_main_network_is_named_as_such(browser: httpx.Client) -> None:
    foreign = base58.b58encode_check(b"\x00" + bytes(20)).decode()
    assert "test networks only" in browser.get("/search", params={"q": foreign}).text


def test_a_search_for_nothing_says_what_can_be_searched(browser: httpx.Client) -> None:
    assert "What can be searched for" in browser.get("/search").text
    assert "What can be searched for" in browser.get("/search", params={"q": "  "}).text


@pytest.mark.parametrize("asked", HOSTILE)
def test_hostile_words_are_shown_as_text_and_harm_nothing(asked: str, browser: httpx.Client) -> None:
    answer = browser.get("/search", params={"q": asked})
    assert answer.status_code in (200, 303)
    assert "<script>alert" not in answer.text and "49" not in re.findall(r"<code>(.*?)</code>", answer.text)
    for where in ("", "btc/tx/", "btc/block/", "btc/address/", "btc/cluster/"):
        refused = browser.get(f"/chains/{where}{quote(asked, safe='')}")
        assert refused.status_code in (400, 404)
        assert "<script>alert" not in refused.text


def test_many_look_at_once_while_blocks_come(lab: Lab, browser: httpx.Client) -> None:
    wrong: list[object] = []

    def look() -> None:
        with httpx.Client(base_url=lab.urls["hub"], timeout=30) as client:
            for _ in range(15):
                answer = client.get("/chains/btc")
                if answer.status_code != 200:
                    wrong.append(answer.text)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        lab.lab("chains/btc/mine", blocks=2)
    for thread in threads:
        thread.join()
    assert not wrong
    wait_for("the index", lambda: "behind the chain" not in browser.get("/chains/btc").text)
