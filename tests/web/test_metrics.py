"""What is seen from outside: /metrics, /healthz, /readyz, /lab/v1/status, `glasstumbler status`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.laboratory import SERVICES, Laboratory
from tests.web.edge import Edge, edge
from tests.web.server import NO_LIMITS, ONE_CHAIN, laboratory, run

LABEL = re.compile(r"[A-Za-z0-9_/]{1,30}|-|\+Inf|[0-9.]+")


@pytest.fixture(scope="module")
def lab() -> Iterator[Edge]:
    made = Laboratory("btc", "xmr")
    order = made.bearer("btcmix", [1_000_000])
    made.pay(order)
    made.mine("btc")
    made.mine("btc")
    made.bearer("whir", [1_000_000])
    with edge(made) as running:
        yield running
    made.close()


def scraped(lab: Edge) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """By name and labels."""
    reply = httpx.get(f"{lab.serving.url('hub')}/metrics")
    assert reply.status_code == 200 and reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(reply.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_orders_are_counted_by_service_and_state(lab: Edge) -> None:
    orders = scraped(lab)["glasstumbler_orders"]
    assert orders == {
        (("service", "btcmix"), ("state", "completed")): 1,
        (("service", "whir"), ("state", "awaiting")): 1,
    }


def test_requests_are_counted_by_endpoint(lab: Edge) -> None:
    for slug in SERVICES:
        assert lab.ask(slug).status_code == 200
    assert httpx.get(f"{lab.serving.url('btcmix')}/api/transaction/nonsense").status_code == 401
    assert httpx.get(f"{lab.serving.url('btcmix')}/no/such/{'x' * 50}").status_code == 404
    counts = scraped(lab)["glasstumbler_request_seconds_count"]
    for slug in ("btcmix", "coinjoin", "whir"):
        assert counts[("endpoint", "status"), ("service", slug), ("status", "2xx")] >= 1
    assert counts[("endpoint", "-"), ("service", "btcmix"), ("status", "4xx")] >= 1


def test_everything_that_is_promised_is_there(lab: Edge) -> None:
    found = scraped(lab)
    for name in (
        "glasstumbler_due_lag_seconds",
        "glasstumbler_chain_height",
        "glasstumbler_chain_lag_blocks",
        "glasstumbler_since_turn_seconds",
        "glasstumbler_store_queue",
        "glasstumbler_commit_units_bucket",
        "glasstumbler_turn_seconds_count",
        "glasstumbler_connections",
        "glasstumbler_requests_in_flight",
        "glasstumbler_record_entries",
        "glasstumbler_uptime_seconds",
        "process_resident_memory_bytes",
    ):
        assert found[name], name
    assert set(found["glasstumbler_chain_lag_blocks"].values()) == {0}


def test_labels_are_few_and_tell_no_secret(lab: Edge) -> None:
    order = lab.order().json()
    for path in ("/api/transaction/" + order["id"], "/api/validateAddress/" + order["depositAddress"]):
        headers = {"authorization": f"Bearer {lab.house.vault.first_key('btcmix')}"}
        assert httpx.get(lab.serving.url("btcmix") + path, headers=headers).status_code == 200
    text = httpx.get(f"{lab.serving.url('hub')}/metrics").text
    vault = lab.house.vault
    for secret in (order["id"], order["depositAddress"], vault.lab_token, vault.first_key("btcmix")):
        assert secret not in text
    values = set(re.findall(r'="([^"]*)"', text))
    assert all(LABEL.fullmatch(value) for value in values), values
    assert len(values) < 100


def test_from_elsewhere_the_lab_token_is_wanted(lab: Edge) -> None:
    url, elsewhere = lab.serving.url("hub"), {"host": "elsewhere.example"}
    for path in ("/metrics", "/lab/v1/status"):
        assert httpx.get(url + path, headers=elsewhere).status_code == 401
        token = {"authorization": f"Bearer {lab.house.vault.lab_token}"}
        assert httpx.get(url + path, headers=elsewhere | token).status_code == 200
    assert httpx.get(f"{url}/healthz", headers=elsewhere).status_code == 200  # says nothing but that


def test_ready(lab: Edge) -> None:
    reply = httpx.get(f"{lab.serving.url('hub')}/readyz")
    assert (reply.status_code, reply.json()) == (200, {"ready": True, "not_ready": []})


def test_a_services_own_port_answers_its_documented_calls_only(lab: Edge) -> None:
    for slug in SERVICES:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert httpx.get(lab.serving.url(slug) + path).status_code == 404


def test_status_of_a_running_and_of_a_stopped_laboratory(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with laboratory(folder, extra=ONE_CHAIN | NO_LIMITS) as lab:
        with lab.client("btcmix") as client:
            client.post("/api/createTransaction", json={"delay": 0, "payouts": {lab.address(): "0.01"}})
        code, out, err = run("status", "--data", folder)
        assert (code, err) == (0, "")
        first, *others = out.splitlines()
        assert first.startswith("running, ready: Glass Tumbler ") and lab.urls["hub"] in first
        assert "orders    btcmix: 1 awaiting" in others
        code, out, _ = run("status", "--url", lab.urls["hub"], "--json")
        told = json.loads(out)
        assert code == 0 and told["running"] and told["orders"] == {"btcmix": {"awaiting": 1}}
    code, out, err = run("status", "--data", folder)
    assert (code, err) == (3, "")
    first, *others = out.splitlines()
    assert first == f"not running: nothing serves {folder}; its record stands as follows"
    assert "orders    btcmix: 1 awaiting" in others
    code, out, _ = run("status", "--data", folder, "--json")
    assert code == 3 and json.loads(out)["orders"] == {"btcmix": {"awaiting": 1}}


def test_status_where_nothing_is(tmp_path: Path) -> None:
    code, out, err = run("status", "--data", tmp_path / "absent")
    assert (code, out, err.count("\n")) == (1, "", 1) and str(tmp_path / "absent") in err
    code, out, err = run("status", "--url", "http://127.0.0.1:9")
    assert (code, out, err.count("\n")) == (1, "", 1) and "nothing answers on http://127.0.0.1:9" in err
