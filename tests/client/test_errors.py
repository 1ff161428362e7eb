"""Every documented error reaches its exception, with the service's own code, message, field and time to wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from glasstumbler.client import (
    AccessDenied,
    BadLetter,
    BearerMixer,
    CodeMixer,
    Exact,
    InvalidRequest,
    Lab,
    NotFound,
    RateLimited,
    Refused,
    Share,
    SwapV3,
    Unavailable,
    Unreachable,
)
from glasstumbler.client.codes import REFUSALS as TEXTS
from glasstumbler.client.xmrto import REFUSALS as CODES
from glasstumbler.dialects.bearer import FORCED
from glasstumbler.dialects.xmrto import CATALOGUE
from glasstumbler.errors import SettingsError
from glasstumbler.testing import Laboratory, running
from glasstumbler.web.serving import Serving, run
from tests.client.faces import Face

KINDS = {
    400: InvalidRequest,
    401: AccessDenied,
    403: AccessDenied,
    404: NotFound,
    405: InvalidRequest,
    503: Unavailable,
}


# -- told to answer so ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", FORCED)
@pytest.mark.parametrize("slug", ["btcmix", "coinjoin", "whir"])
def test_every_error_of_the_bearer_mixers(slug: Any, status: int, face: Face, laboratory: Laboratory) -> None:
    service = laboratory.service(slug)
    laboratory.behave(slug, answer=status)
    mixer = face.BearerMixer(service.url, service.key, service.secret)
    with pytest.raises(KINDS[status]) as caught:
        mixer.transactions()
    error = caught.value
    assert (error.status, error.code, error.message) == (status, str(status), FORCED[status])
    assert mixer.transactions().total_transactions == 0


@pytest.mark.parametrize("number", CATALOGUE)
@pytest.mark.parametrize("version", ["SwapV2", "SwapV3"])
def test_every_error_of_the_swap(version: str, number: str, face: Face, laboratory: Laboratory) -> None:
    status, message = CATALOGUE[number]
    swap = getattr(face, version)(laboratory.service("xmrto").url)
    laboratory.behave("xmrto", answer=f"XMRTO-ERROR-{number}")
    with pytest.raises(CODES[f"XMRTO-ERROR-{number}"]) as caught:
        swap.order_parameter_query()
    error = caught.value
    assert (error.status, error.code, error.message) == (status, f"XMRTO-ERROR-{number}", message)
    assert f"XMRTO-ERROR-{number}: {message}" in str(error)


def test_no_code_of_the_swap_is_missing() -> None:
    assert set(CODES) == {f"XMRTO-ERROR-{number}" for number in CATALOGUE}


@pytest.mark.parametrize("text", [*TEXTS, "Order limit reached", "output[1].percent: out of any range"])
def test_every_error_of_the_code_mixer(text: str, face: Face, laboratory: Laboratory) -> None:
    service = laboratory.service("bestmixer")
    laboratory.behave("bestmixer", answer=text)
    with pytest.raises(TEXTS.get(text, InvalidRequest)) as caught:
        face.CodeMixer(service.url, service.key).fee_info()
    assert (caught.value.status, caught.value.code, caught.value.message) == (200, "", text)
    assert caught.value.field == ("output[1].percent" if text.startswith("output") else "")


@pytest.mark.parametrize("slug", ["bestmixer", "btcmix", "whir", "xmrto"])
def test_maintenance(slug: Any, laboratory: Laboratory) -> None:
    client: Any = laboratory.service(slug).client
    ask = {"bestmixer": "fee_info", "xmrto": "order_parameter_query"}.get(slug, "status")
    laboratory.behave(slug, maintenance=True)
    with pytest.raises(Unavailable):
        getattr(client, ask)()
    laboratory.behave(slug)
    assert getattr(client, ask)()


# -- really wrong -----------------------------------------------------------------------------------------------------


def test_the_bearer_mixers_name_the_field(laboratory: Laboratory) -> None:
    service, to = laboratory.service("btcmix"), laboratory.address()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"payouts": {to: "0.000000001"}}, f"payouts.{to}"),
        ({"payouts": {"nowhere": "1"}}, "payouts.nowhere"),
        ({"payouts": {to: "1"}, "delay": 1000}, "delay"),
        ({"payouts": {to: "1"}, "ref_code": "x" * 65}, "refCode"),
        ({"payouts": [to]}, "payouts"),
    ]
    for asked, field in cases:
        with pytest.raises(InvalidRequest) as caught:
            service.client.create_transaction(**asked)
        assert (caught.value.field, caught.value.code) == (field, "400"), str(caught.value)
    with pytest.raises(NotFound, match="Transaction not found"):
        service.client.transaction("AAAAAAAAAAAAAAAA")
    with pytest.raises(AccessDenied), BearerMixer(service.url, "another", "key") as nobody:
        nobody.transactions()


def test_the_code_mixer_names_the_field(laboratory: Laboratory) -> None:
    service, to = laboratory.service("bestmixer"), laboratory.address()
    cases: list[tuple[tuple[Any, ...], str]] = [
        (("btc", "0.5", [Share(to, 100)]), "fee"),
        (("doge", 2, [Share(to, 100)]), "coin"),
        (("btc", 2, [Share(to, 100, 4321)]), "output[0].delay"),
        (("btc", 2, [Share(to, "99.99")]), "output[0].percent"),
        (("btc", 2, [Share(to, 100)], "XXXXXXXXXX"), "bm_code"),
    ]
    for asked, field in cases:
        with pytest.raises(InvalidRequest) as caught:
            service.client.order_create(*asked)
        assert caught.value.field == field, str(caught.value)
    with pytest.raises(NotFound):
        service.client.order_info("AAAAAAAAAA")
    with pytest.raises(AccessDenied), CodeMixer(service.url, "AAAAAAAAAA") as nobody:
        nobody.fee_info()
    with pytest.raises(BadLetter, match="another key"), CodeMixer(service.url, service.key, bytes(32)) as distrustful:
        distrustful.order_create_fixed("btc", 2, [Exact(to, "0.1")])


def test_the_swap_says_what_was_wrong_beside_its_fixed_text(laboratory: Laboratory) -> None:
    client, to = laboratory.service("xmrto").client, laboratory.address()
    cases: list[tuple[Any, str, str]] = [
        (lambda: client.order_create("nowhere", "0.1"), "002", "btc_dest_address"),
        (lambda: client.order_create(to, "0.000000001"), "003", "amount"),
        (lambda: client.order_create(to, 1000), "004", "amount"),
        (lambda: client.order_create(to, "0.0000000000001", "XMR"), "015", "amount"),
        (lambda: client.order_check_price(1, "DOGE"), "016", "amount_currency"),  # type: ignore[arg-type]
        (lambda: client.order_create_pp("nothing"), "011", "pp_url"),
        (lambda: client.order_create_ln("nothing"), "017", "ln_invoice"),
        (lambda: client.order_status_query("xmrto-AAAAAA"), "006", ""),
    ]
    for ask, number, field in cases:
        with pytest.raises(CODES[f"XMRTO-ERROR-{number}"]) as caught:
            ask()
        assert (caught.value.code[-3:], caught.value.message) == (number, CATALOGUE[number][1])
        assert caught.value.field == field and caught.value.reason in str(caught.value), str(caught.value)


def test_a_main_network_address_is_refused_by_the_service(laboratory: Laboratory) -> None:
    """The one in document 5."""
    with pytest.raises(InvalidRequest, match="test networks only") as caught:
        laboratory.service("xmrto").client.order_create("1FhnVJi2V1k4MqXm2nHoEbY5LV7FPai7bb", "0.1")
    assert caught.value.code == "XMRTO-ERROR-002"


@pytest.mark.parametrize(
    ("ask", "kind", "code", "field"),
    [
        (lambda lab: lab.pay("nowhere", 1), InvalidRequest, "BadAddress", "address"),
        (lambda lab: lab.pay(lab.address(), 0), InvalidRequest, "BadAmount", "amount"),
        (lambda lab: lab.pay(lab.address(), 10**9), Refused, "NoFunds", ""),
        (lambda lab: lab.mine("doge"), NotFound, "UnknownEndpoint", ""),
        (lambda lab: lab.mine(blocks=0), InvalidRequest, "Malformed", "blocks"),
        (lambda lab: lab.reorg(depth=100_000), InvalidRequest, "Malformed", "depth"),
        (lambda lab: lab.behave("btcmix", answer="999"), InvalidRequest, "Malformed", "answer"),
        (lambda lab: lab.order("btcmix", "none"), NotFound, "UnknownOrder", "order"),
    ],
)
def test_the_laboratory_names_its_error(ask: Any, kind: Any, code: str, field: str, laboratory: Laboratory) -> None:
    with pytest.raises(kind) as caught:
        ask(laboratory)
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.field) == (code, field), str(caught.value)


# -- waiting ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def limited() -> Iterator[Laboratory]:
    with running({"lab": {"rate_limits": "documented", "chains": ["btc", "xmr"]}}) as found:
        yield found


def test_rate_limits_say_how_long_to_wait(face: Face, limited: Laboratory) -> None:
    limited.advance(60)
    swap = face.SwapV3(limited.service("xmrto").url)
    swap.order_check_price("0.1")
    with pytest.raises(RateLimited) as caught:
        swap.order_check_price("0.1")
    assert (caught.value.status, caught.value.code) == (403, "XMRTO-ERROR-012")
    assert caught.value.retry_after == 3
    limited.advance(caught.value.retry_after)
    assert swap.order_check_price("0.1").btc_amount == Decimal("0.1")


def test_a_service_that_starts_says_how_long_to_wait(face: Face) -> None:
    going_on = threading.Event()

    def open_house() -> Any:
        going_on.wait(60)
        raise SettingsError("it was not to be opened")

    serving = Serving(open_house, "127.0.0.1", 0)
    ended: list[Exception] = []

    def serve() -> None:
        try:
            run(serving)
        except SettingsError as error:
            ended.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        clients = [
            (face.BearerMixer(serving.url("btcmix"), "k", "s").status, "503", 503),
            (face.CodeMixer(serving.url("bestmixer"), "k").fee_info, "", 503),
            (face.SwapV2(serving.url("xmrto")).order_parameter_query, "XMRTO-ERROR-001", 503),
        ]
        for ask, code, status in clients:
            with pytest.raises(Unavailable) as caught:
                ask()
            assert (caught.value.code, caught.value.status, caught.value.retry_after) == (code, status, 5)
    finally:
        going_on.set()
        thread.join()
    assert ended


def test_nobody_there(face: Face) -> None:
    listening = Serving(lambda: None, "127.0.0.1", 0)  # type: ignore[arg-type,return-value]
    url = listening.url("xmrto")
    listening.close()
    with pytest.raises(Unreachable, match="POST /api/v3/xmr2btc/order_status_query/"):
        face.SwapV3(url).order_status_query("xmrto-AAAAAA")


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://127.0.0.1", "http://", "http://127.0.0.1:99999"])
def test_what_is_no_url(url: str, face: Face) -> None:
    with pytest.raises(ValueError, match="not the URL of a service"):
        face.Lab(url)


def test_what_cannot_stand_in_a_header_is_not_sent(face: Face, laboratory: Laboratory) -> None:
    for key in ("é", "a\r\nx: y"):
        with pytest.raises((Unreachable, AccessDenied)):
            face.BearerMixer(laboratory.service("btcmix").url, key, "s").transactions()


def test_clients_close() -> None:
    with SwapV3("http://127.0.0.1:9") as swap, Lab("http://127.0.0.1:9") as lab:
        pass
    for ask in (swap.order_parameter_query, lab.chains):
        with pytest.raises(RuntimeError, match="closed"):
            ask()
