"""PHP itself checks what the bearer services sign: live replies, and the expression that documents 2 to 4 print."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from http.client import HTTPConnection
from typing import Any, NamedTuple

import pytest

from tests.web.server import NO_LIMITS, Lab, laboratory

PHP = shutil.which("php")
BEARERS = ("btcmix", "coinjoin", "whir")
ORDERS = 700
"""For each service."""
PAID = 15
AT_ONCE = 12
SETTINGS = "".join(
    f"[{slug}]\nfee_ppm = {ppm}\n[{slug}.coins.btc]\nmin_payout = 600\nper_output = {part}\nmin_deposit = 1\n"
    for slug, ppm, part in (("btcmix", 20_000, 7), ("coinjoin", 1, 0), ("whir", 30_000, 1_234))
)
"""Payouts and fees of a few hundred satoshis: numbers that PHP writes with an exponent."""
CHECK = r"""
$checked = 0;
while (($line = fgets(STDIN)) !== false) {
    $entry = json_decode($line, true);
    $transaction_details = json_decode($entry['body'], true);
    $secret_key = $entry['secret'];
    $given = $transaction_details['signature'];
    unset($transaction_details['signature']);
$signature = base64_encode(
  hash_hmac(
    'sha256',
    implode('|', array_map(function($a){ return is_array($a) ? implode(',', array_keys($a)).','.implode(',', $a) : $a; }, array_values($transaction_details))),
    $secret_key,
    true
  )
);
    $checked++;
    if ($signature !== $given) echo $entry['body'], "\n";
}
echo $checked, "\n";
"""  # noqa: E501
"""The expression stands as document 2 prints it."""


class Reply(NamedTuple):
    slug: str
    body: str


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One with small amounts."""
    folder = tmp_path_factory.mktemp("small")
    config = folder / "small.toml"
    config.write_text(SETTINGS)
    with laboratory(folder / "data", "--config", str(config), extra=NO_LIMITS) as running:
        yield running


def php_disagrees(replies: list[Reply], secrets: dict[str, str]) -> list[str]:
    """Bodies whose signature PHP computes otherwise."""
    if PHP is None:
        pytest.skip("NO php-cli HERE: live signatures were NOT compared with PHP's own (apt-get install php-cli)")
    lines = "\n".join(json.dumps({"body": reply.body, "secret": secrets[reply.slug]}) for reply in replies)
    done = subprocess.run([PHP, "-n", "-r", CHECK], input=lines, capture_output=True, text=True, timeout=60, check=True)
    *wrong, checked = done.stdout.splitlines()
    assert int(checked) == len(replies)
    return wrong


def request(chance: random.Random, addresses: list[str]) -> dict[str, Any]:
    chosen = chance.sample(addresses, chance.randrange(1, 5))
    amounts = [chance.choice((chance.randrange(600, 20_000), chance.randrange(600, 10**8))) for _ in chosen]
    payouts = {
        address: f"{Decimal(sat).scaleb(-8):f}" for address, sat in zip(chosen, amounts, strict=True)
    }  # trailing zeros and all
    body: dict[str, Any] = {"delay": chance.choice(("0", "1", 72)), "payouts": payouts}
    if chance.random() < 0.5:
        body["refCode"] = chance.choice(("qljncygz", "a|b,c", "0", "é", "0.10", "1e-5"))
    return body


def drive(lab: Lab, slug: str, chance: random.Random, addresses: list[str]) -> list[Reply]:
    """Replies of creation and of the detail, order by order. With the standard library: thousands of requests."""
    port = int(lab.urls[slug].rpartition(":")[2])
    headers = {"authorization": f"Bearer {lab.keys[slug]}", "content-type": "application/json"}
    bodies = [json.dumps(request(chance, addresses)).encode() for _ in range(ORDERS)]

    def some(mine: list[bytes]) -> list[Reply]:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        found: list[Reply] = []
        for body in mine:
            connection.request("POST", "/api/createTransaction", body, headers)
            created = connection.getresponse().read().decode()
            connection.request("GET", f"/api/transaction/{json.loads(created)['id']}", headers=headers)
            found += (Reply(slug, created), Reply(slug, connection.getresponse().read().decode()))
        connection.close()
        return found

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [reply for part in pool.map(some, (bodies[i::AT_ONCE] for i in range(AT_ONCE))) for reply in part]


def paid(lab: Lab, created: dict[str, list[Reply]]) -> list[Reply]:
    """Details of some of the orders in every later state."""
    orders = [(slug, json.loads(reply.body)) for slug, mine in created.items() for reply in mine[: 2 * PAID : 2]]
    clients = {slug: lab.client(slug) for slug in created}
    found: list[Reply] = []

    def look() -> set[str]:
        new = [(slug, clients[slug].get(f"/api/transaction/{order['id']}")) for slug, order in orders]
        found.extend(Reply(slug, reply.text) for slug, reply in new)
        return {reply.json()["status"] for _, reply in new}

    for _, order in orders:
        lab.pay("btc", order["depositAddress"], f"{Decimal(str(order['depositAmount'])):f}", blocks=0)
    assert look() == {"confirming"}
    lab.lab("chains/btc/mine", blocks=1)
    look()
    lab.lab("clock/advance", seconds=72 * 3600)
    assert look() == {"processing"}
    lab.lab("chains/btc/mine", blocks=1)
    assert look() == {"complete"}
    for client in clients.values():
        client.close()
    return found


def test_live_replies_are_signed_as_php_signs_them(lab: Lab) -> None:
    chance = random.Random(2022)
    addresses = [lab.address() for _ in range(12)]
    created: dict[str, list[Reply]] = {}
    for slug in BEARERS:
        created[slug] = drive(lab, slug, chance, addresses)
    replies = [reply for mine in created.values() for reply in mine]
    replies += paid(lab, created)
    parsed = [json.loads(reply.body) for reply in replies]
    assert len({each["id"] for each in parsed}) == len(BEARERS) * ORDERS
    small = [each for each in parsed if 0 < each["fee"] < 0.0001]
    quoted = [each for each in parsed if isinstance(each["depositAmount"], float) and each["depositAmount"] < 0.0001]
    assert len(small) > 1000 and len(quoted) > 100  # else the exponent form was not put to the test
    assert php_disagrees(replies, lab.secrets) == []


def test_php_notices_a_changed_reply(lab: Lab) -> None:
    with lab.client("btcmix") as client:
        body = {"delay": 0, "payouts": {lab.address(): "0.001"}}
        created = client.post("/api/createTransaction", json=body)
    changed = created.json() | {"fee": 0.5}
    assert php_disagrees([Reply("btcmix", json.dumps(changed))], lab.secrets) == [json.dumps(changed)]
    assert php_disagrees([Reply("btcmix", created.text)], {"btcmix": "another"}) == [created.text]
