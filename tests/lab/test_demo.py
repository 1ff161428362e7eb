"""The demonstration over real sockets: every service, every link, the same bytes again; and what it does when a
service misbehaves."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from glasstumbler.clock import VirtualClock
from glasstumbler.demo import run_demo
from glasstumbler.house import House
from glasstumbler.lab import links
from glasstumbler.lab.customers import BearerCustomer, Check, Keys
from glasstumbler.lab.demo import Outcome, Written, demo, show, summary
from glasstumbler.lab.hub import Hub, UnexpectedReply
from glasstumbler.vault import Vault, key_row
from glasstumbler.web.background import served
from tests.laboratory import small_floats


def files(folder: Path) -> dict[str, str]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_demo(7, tmp_path / "one") == 0
    said = capsys.readouterr().out
    assert run_demo(7, tmp_path / "two", as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["holds"] and told["audit"]["clean"] and len(told["orders"]) == 18
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert len(files(tmp_path / "one")) == 13
    for service in ("bestmixer", "btcmix", "coinjoin", "whir", "xmrto"):
        assert f"ok   {service}" in said
    assert "FAIL" not in said
    assert len(re.findall(r"^(?:bestmixer|btcmix|coinjoin|whir|xmrto) .*(?:never|channel|\d) *$", said, re.M)) == 39


@pytest.fixture
def house() -> Iterator[House]:
    settings: dict[str, Any] = {**small_floats("btc", "bch", "ltc", "eth"), "lab": {"rate_limits": "off"}}
    with closing(House(None, Vault(b"x" * 32), VirtualClock(), 1, settings)) as opened:
        opened.start()
        yield opened


@pytest.fixture
def client(house: House) -> Iterator[httpx.Client]:
    with served(house, turning=False) as serving, httpx.Client(base_url=serving.url("hub"), trust_env=False) as made:
        yield made


def keys(house: House) -> dict[str, Keys]:
    first = {slug: house.vault.first_key(slug) for slug, service in house.services.items() if service.keyed}
    return {slug: Keys(key, house.vault.account(key_row(slug, key, 0)).secret) for slug, key in first.items()}


class Audited:
    def __init__(self, clean: bool) -> None:
        self.clean = clean

    def lines(self) -> list[str]:
        return ["audited"]

    def document(self) -> dict[str, Any]:
        return {"clean": self.clean}


@pytest.mark.parametrize("clean", [True, False])
def test_it_holds_only_if_the_audit_does(house: House, client: httpx.Client, clean: bool) -> None:
    seen: list[Outcome] = []

    def write(outcome: Outcome) -> Written:
        seen.append(outcome)
        return Written(Path("dataset"), Path("report"))

    out = StringIO()
    console = Console(file=out, width=80)
    ended = demo(client, keys(house), console, lambda: Audited(clean), write)
    show(console, ended)
    assert ended.holds is clean
    assert ended.document()["holds"] is clean
    (outcome,) = seen
    assert outcome.holds
    assert len(links.rows(outcome.truths)) == sum(len(truth["payouts"]) for truth in outcome.truths)
    assert max(len(line) for line in out.getvalue().splitlines()) <= 80
    assert "audited" in out.getvalue()


def test_a_signature_under_another_secret_is_noticed(house: House, client: httpx.Client) -> None:
    wrong = keys(house)["btcmix"]._replace(secret="another")
    customer = BearerCustomer(Hub(client), "btcmix", wrong, ("0.01", "0.02"))
    customer.place()
    assert [check.what for check in customer.checks if not check.holds] == ["HMAC of createTransaction"]
    assert summary(customer.checks)[1] == ("btcmix: 0 of 1 signatures hold; not: HMAC of createTransaction", False)


def test_a_service_that_answers_with_an_error_ends_the_demonstration(house: House, client: httpx.Client) -> None:
    hub = Hub(client)
    hub.post("/lab/v1/services/whir/behave", {"maintenance": True})
    customer = BearerCustomer(hub, "whir", keys(house)["whir"], ("0.01", "0.02"))
    with pytest.raises(UnexpectedReply, match=r"/whir/api/status answered 503, not 200"):
        customer.place()


def test_an_outcome_holds_only_if_all_of_it_does() -> None:
    good, bad = Check("whir", "HMAC of x", True), Check("whir", "HMAC of y", False)
    assert Outcome(True, [], [good], [], "", 1).holds
    assert not Outcome(True, [], [good, bad], [], "", 1).holds
    assert not Outcome(False, [], [good], [], "", 1).holds
