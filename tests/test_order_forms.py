"""Forms of the order pages: they become documented requests, and an error of the API finds the field that it names."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasstumbler.engine.desk import Draft
from glasstumbler.service import Refusal
from glasstumbler.web.pages.orders import forms, replies
from glasstumbler.web.pages.orders.forms import GENERAL, ROWS, Form, Object
from glasstumbler.web.pages.orders.quote import quote
from tests.laboratory import Laboratory
from tests.test_security_pages import HOSTILE

WAYS = [(slug, way.name) for slug, ways in forms.WAYS.items() for way in ways]
ADDRESS = "bcrt1qpshndaszceaf2z8y04vzdtxjhy8qadqdqsugve"
OTHER = "bcrt1qk06mfqpdeju8u77sw77xx8ueslfhw37qqcc2gl"
NAMELESS = ("given twice",)
"""Errors of the API that name no field that a form has: an address that is empty, twice."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Laboratory]:
    with closing(Laboratory("btc", "xmr", "lightning")) as lab:
        yield lab


def ask(lab: Laboratory, slug: str, form: Form) -> Draft | Refusal:
    return asyncio.run(lab.house.services[slug].rehearse(request(lab, slug, form)))


def request(lab: Laboratory, slug: str, form: Form) -> forms.Request:
    return forms.request(forms.way(slug, form.way), form, lab.house.vault.first_key(slug))


def filled(lab: Laboratory, slug: str, way: str) -> Form:
    """The first form with a test address wherever one is wanted."""
    form = forms.first(slug, way)
    fields = {**form.fields}
    if "btc_dest_address" in fields:
        fields["btc_dest_address"] = lab.address("btc")
    if "ln_invoice" in fields:
        assert lab.house.lightning is not None
        fields["ln_invoice"] = lab.house.lightning.invoice(100_000_000)
    if "pp_url" in fields:
        fields["pp_url"] = f"http://127.0.0.1/lab/v1/bip70?address={lab.address('btc')}&amount=0.01"
    return form._replace(fields=fields, rows=[{**row, "address": lab.address("btc")} for row in form.rows])


# -- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slug", "way"), WAYS)
def test_the_form_that_one_meets_needs_an_address_and_no_more(lab: Laboratory, slug: str, way: str) -> None:
    refused = ask(lab, slug, forms.first(slug, way))
    assert isinstance(refused, Refusal)
    noted = replies.note(forms.way(slug, way), forms.first(slug, way), refused)
    assert noted.empty or noted.place == GENERAL, noted
    assert isinstance(ask(lab, slug, filled(lab, slug, way)), Draft)


@pytest.mark.parametrize(("slug", "way"), WAYS)
def test_a_rehearsal_says_what_the_order_then_is(lab: Laboratory, slug: str, way: str) -> None:
    form, service = filled(lab, slug, way), lab.house.services[slug]
    head = lab.house.store.read(lambda records: records.head())
    draft = ask(lab, slug, form)
    assert isinstance(draft, Draft)
    assert lab.house.store.read(lambda records: records.head()) == head
    answer = asyncio.run(service.handle(request(lab, slug, form)))
    name = replies.order_name(answer)
    assert name is not None, answer.body
    order = lab.order(slug, name)
    assert order.terms.quote == draft.terms.quote
    assert order.terms.minimum <= draft.terms.minimum, "a rehearsal tells the most"
    assert [each.address for each in order.outputs] == [each.address for each in draft.outputs]
    shown = quote(draft, service.policy.fee_rule)
    assert len(shown.parts) == len(order.outputs)


def test_an_invoice_that_an_order_has_is_refused_in_the_rehearsal_too(lab: Laboratory) -> None:
    form = filled(lab, "xmrto", "invoice")
    asyncio.run(lab.house.services["xmrto"].handle(request(lab, "xmrto", form)))
    refused = ask(lab, "xmrto", form)
    assert isinstance(refused, Refusal)
    assert replies.code(refused.response) == "XMRTO-ERROR-019 invoice preimage already known"


def test_a_rehearsal_uses_up_no_chance(lab: Laboratory) -> None:
    service, form = lab.house.services["bestmixer"], filled(lab, "bestmixer", "shares")
    before = service._opener.chance.getstate()
    asyncio.run(service.rehearse(request(lab, "bestmixer", form)))
    assert service._opener.chance.getstate() == before


@pytest.mark.parametrize(("slug", "way"), WAYS)
@pytest.mark.parametrize("evil", [*HOSTILE, "it's", "a\nb", "\\", "$(id)", "`id`", "é", "\u202e"])
def test_the_curl_line_is_the_request_whatever_stands_in_it(slug: str, way: str, evil: str) -> None:
    form = forms.first(slug, way)
    form = form._replace(
        fields=dict.fromkeys(form.fields, evil), rows=[dict.fromkeys(row, evil) for row in form.rows[:1]]
    )
    asked = forms.request(forms.way(slug, way), form, "KEY")
    words = shlex.split(forms.curl(asked, "http://127.0.0.1:1/x"))
    assert words[:3] == ["curl", "-s", f"http://127.0.0.1:1/x{asked.path}"]
    assert [each for each in pairwise(words) if each[0] == "-H"] == [
        ("-H", f"{name}: {value}") for name, value in asked.headers.items()
    ]
    assert words[-2:] == ["-d", asked.body.decode()]
    assert json.loads(asked.body)


def test_json_is_written_as_it_was_meant() -> None:
    twice = Object([("a", "1"), ("a", forms.number("1.50")), ("b", []), ("c", Object())])
    assert forms.written(twice) == '{\n  "a": "1",\n  "a": 1.50,\n  "b": [],\n  "c": {}\n}'


@pytest.mark.parametrize("text", ["1", "0.5", "-3", "100.0"])
def test_a_number_is_sent_as_one(text: str) -> None:
    assert forms.written(forms.number(text)) == text


@pytest.mark.parametrize("text", ["", "1e9", "NaN", "01", "1.", ".5", " 1", "1" * 40, "١"])
def test_what_json_does_not_call_a_number_is_sent_as_text(text: str) -> None:
    assert forms.written(forms.number(text)) == json.dumps(text, ensure_ascii=False)


# -- what the browser sends -------------------------------------------------------------------------------------------


def test_missing_repeated_and_foreign_fields() -> None:
    items = [
        ("way", "shares"),
        ("fee", "1"),
        ("fee", "2"),
        ("address", "a"),
        ("address", "b"),
        ("percent", "60"),
        ("x", "y"),
    ]
    form = forms.sent("bestmixer", items)
    assert form.fields == {"coin": "", "fee": "2", "bm_code": ""}
    assert form.rows == [
        {"address": "a", "percent": "60", "delay": ""},
        {"address": "b", "percent": "", "delay": ""},
    ]
    assert forms.sent("bestmixer", [("way", "nothing")]).way == "shares"


@pytest.mark.parametrize("count", range(1, 60))
def test_equal_shares_are_tenths_and_add_to_all(count: int) -> None:
    parts = [round(float(each) * 10) for each in forms.equal_tenths(count)]
    assert sum(parts) == 1000
    assert max(parts) - min(parts) <= 1


def test_outputs_come_and_go() -> None:
    way = forms.way("bestmixer", "shares")
    three = forms.added(forms.first("bestmixer"), way)
    assert [row["percent"] for row in three.rows] == ["33.4", "33.3", "33.3"]
    assert three.rows[-1]["address"] == ""
    one = forms.removed(forms.removed(three, 0), 0)
    assert [row["percent"] for row in one.rows] == ["100"]
    assert forms.removed(one, 0) == one
    assert forms.removed(three, 99).rows == three.rows


# -- errors find their field ------------------------------------------------------------------------------------------

WRONG = [
    ("bestmixer", "shares", {"fee": "9"}, {}, "fee"),
    ("bestmixer", "shares", {"coin": "doge"}, {}, "coin"),
    ("bestmixer", "shares", {"bm_code": "?"}, {}, "bm_code"),
    ("bestmixer", "shares", {"bm_code": "ABCDEFGHIJ"}, {}, "bm_code"),
    ("bestmixer", "shares", {}, {"address": "x"}, "address-1"),
    ("bestmixer", "shares", {}, {"percent": "0"}, "percent-1"),
    ("bestmixer", "shares", {}, {"percent": "1.23"}, "percent-1"),
    ("bestmixer", "shares", {}, {"percent": "39"}, ROWS),
    ("bestmixer", "shares", {}, {"delay": "4321"}, "delay-1"),
    ("bestmixer", "amounts", {}, {"amount": "0.000001"}, "amount-1"),
    ("bestmixer", "amounts", {}, {"amount": "-1"}, "amount-1"),
    ("btcmix", "amounts", {"delay": "73"}, {}, "delay"),
    ("btcmix", "amounts", {"delay": ""}, {}, "delay"),
    ("btcmix", "amounts", {"refCode": "x" * 65}, {}, "refCode"),
    ("btcmix", "amounts", {}, {"address": "mine"}, "address-1"),
    ("btcmix", "amounts", {}, {"address": "x" * 90}, "address-1"),
    ("btcmix", "amounts", {}, {"amount": "0.0000001"}, "amount-1"),
    ("btcmix", "amounts", {}, {"amount": "lots"}, "amount-1"),
    ("whir", "equal", {}, {"address": "nowhere"}, "address-1"),
    ("xmrto", "address", {"amount": "21"}, {}, "amount"),
    ("xmrto", "address", {"amount": "x"}, {}, "amount"),
    ("xmrto", "address", {"amount_currency": "EUR"}, {}, "amount_currency"),
    ("xmrto", "address", {"btc_dest_address": ADDRESS[:-1]}, {}, "btc_dest_address"),
    ("xmrto", "invoice", {"ln_invoice": "lnbcrt1"}, {}, "ln_invoice"),
    ("xmrto", "url", {"pp_url": "https://bitpay.com/invoice?id=1"}, {}, "pp_url"),
]


@pytest.mark.parametrize(("slug", "way", "fields", "row", "place"), WRONG)
def test_an_error_stands_beside_its_field(
    lab: Laboratory, slug: str, way: str, fields: dict[str, str], row: dict[str, str], place: str
) -> None:
    form = filled(lab, slug, way)
    rows = [*form.rows[:-1], {**form.rows[-1], **row}] if form.rows else []
    form = form._replace(fields=form.fields | fields, rows=rows)
    refused = ask(lab, slug, form)
    assert isinstance(refused, Refusal)
    assert replies.note(forms.way(slug, way), form, refused).place == place, refused.error


@pytest.mark.parametrize("slug", ["bestmixer", "btcmix", "coinjoin"])
def test_the_second_of_two_like_addresses_is_at_fault(lab: Laboratory, slug: str) -> None:
    form = filled(lab, slug, "")
    form = form._replace(rows=[{**row, "address": ADDRESS} for row in form.rows])
    refused = ask(lab, slug, form)
    assert isinstance(refused, Refusal)
    assert replies.note(forms.way(slug, ""), form, refused).place == "address-1"


TEXTS = st.one_of(
    st.sampled_from(
        ["", "0", "1", "10", "40", "60", "100", "0.01", "0.5", "3", "-1", "1e3", "btc", "BTC", "XMR", "eth"]
    ),
    st.sampled_from([ADDRESS, OTHER, *HOSTILE]),
    st.text(max_size=60),
)


@st.composite
def states(draw: st.DrawFn) -> tuple[str, Form]:
    slug, way = draw(st.sampled_from(WAYS))
    chosen = forms.way(slug, way)
    items = [("way", way)]
    for name, first in chosen.fields.items():
        items.append((name, draw(st.just(first) | TEXTS)))
    for first_row in draw(st.lists(st.sampled_from(chosen.rows), max_size=12)) if chosen.rows else []:
        items += [(name, draw(st.just(first) | TEXTS)) for name, first in first_row.items()]
    return slug, forms.sent(slug, items)


@settings(max_examples=300)
@given(state=states())
def test_any_form_is_a_draft_or_an_error_with_a_place_and_the_api_says_the_same(
    lab: Laboratory, state: tuple[str, Form]
) -> None:
    slug, form = state
    asked, chosen = request(lab, slug, form), forms.way(slug, form.way)
    asked.body.decode()
    said = ask(lab, slug, form)
    if isinstance(said, Draft):
        assert quote(said, lab.house.policies[slug].fee_rule).send
        return
    assert asyncio.run(lab.house.services[slug].handle(asked._replace(peer=str(id(state))))) == said.response
    noted = replies.note(chosen, form, said)
    assert noted.text
    if noted.place == GENERAL:
        assert any(text in noted.text for text in NAMELESS), noted
    elif noted.place != ROWS:
        assert replies.value(form, noted.place) is not None, noted
