"""Forms as tables: which fields each service's form has, how they become the body of its documented request, and
beside which field an error of the API belongs. Pure: no house, no socket.

What a browser sent stays text, however wrong: it is the API that judges it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import zip_longest
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from glasstumbler.dialects import wire
from glasstumbler.dialects.base import Request
from glasstumbler.errors import BadAddress, BadDelay, GlassTumblerError, Malformed, Rejection

PEER: Final = "pages"
"""Where requests of the pages come from, as the documented rate limits count them."""
GENERAL: Final = "form"
"""Where an error stands that names no field."""
ROWS: Final = "rows"
"""Where an error stands that is about all outputs together."""
Row = dict[str, str]
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,20})(?:\.[0-9]{1,20})?")
_INDEXED = re.compile(r"[a-z]+\[([0-9]{1,4})\](?:\.([a-z]+))?")


class Form(NamedTuple):
    """A form as it stands in the browser."""

    way: str
    fields: dict[str, str]
    rows: list[Row]
    """One for each output."""


class Object(list[tuple[str, Any]]):
    """A JSON object as pairs, so that a name may stand in it twice, as the customer wrote it."""


class Way(NamedTuple):
    """One documented request that opens an order, and the form for it."""

    name: str
    label: str
    hint: str
    path: str
    fields: Mapping[str, str]
    """The form's single fields, with what stands in them at first."""
    rows: Sequence[Row]
    """The outputs at first; their names are the fields of an output."""
    body: Callable[[Form, str], Object]
    """Of a form and an API key."""
    place: Callable[[Form, Rejection], str]
    """The form's field that an error of the API belongs to: "fee", "address-1", or ROWS, GENERAL."""
    bearer: bool = False
    """The key goes into a header."""

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.rows[0]) if self.rows else ()


# -- bodies -----------------------------------------------------------------------------------------------------------


def number(text: str) -> Decimal | str:
    """A number as JSON has it; else the text, which the API refuses."""
    return Decimal(text) if _NUMBER.fullmatch(text) else text


def _given(**optional: str) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in optional.items() if value]


def _codes(part: str) -> Callable[[Form, str], Object]:
    def body(form: Form, key: str) -> Object:
        fields = form.fields
        outputs = [
            Object(
                [("address", row["address"]), (part, number(row[part])), ("delay", number(row["delay"]))]
            )
            for row in form.rows
        ]  # fmt: skip
        return Object(
            [
                ("api_key", key),
                *_given(bm_code=fields["bm_code"]),
                ("coin", fields["coin"]),
                ("fee", number(fields["fee"])),
                ("output", outputs),
            ]
        )

    return body


def _mapped(form: Form, key: str) -> Object:
    payouts = Object([(row["address"], row["amount"]) for row in form.rows])
    return Object([("delay", form.fields["delay"]), ("payouts", payouts), *_given(refCode=form.fields["refCode"])])


def _bare(form: Form, key: str) -> Object:
    payouts = [row["address"] for row in form.rows]
    return Object([("delay", form.fields["delay"]), ("payouts", payouts), *_given(refCode=form.fields["refCode"])])


def _on_chain(form: Form, key: str) -> Object:
    names = ("btc_dest_address", "amount", "amount_currency")
    return Object([(name, form.fields[name]) for name in names])


def _lightning(form: Form, key: str) -> Object:
    return Object([("ln_invoice", form.fields["ln_invoice"])])


def _payment_url(form: Form, key: str) -> Object:
    return Object([("pp_url", form.fields["pp_url"])])


# -- where errors belong ----------------------------------------------------------------------------------------------

_OF_OUTPUT: Final[Mapping[type[GlassTumblerError], str]] = {BadAddress: "address", BadDelay: "delay"}
"""An error that names an output as a whole belongs to this field of it, else to its share or amount."""


def _by_index(whole: str, part: str) -> Callable[[Form, Rejection], str]:
    def place(form: Form, error: Rejection) -> str:
        if error.field in form.fields:
            return error.field
        if (found := _INDEXED.fullmatch(error.field)) is not None and int(found[1]) < len(form.rows):
            return f"{found[2] or _OF_OUTPUT.get(type(error), part)}-{found[1]}"
        return ROWS if error.field == whole else GENERAL

    return place


def _by_address(form: Form, error: Rejection) -> str:
    """Payouts are named by their address; of two rows with the same one the second is at fault."""
    if error.field in form.fields:
        return error.field
    named = error.field.removeprefix("payouts.")
    rows = [index for index, row in enumerate(form.rows) if wire.clip(row["address"]) == named]
    if error.field == "payouts":
        return ROWS
    if not rows:
        return GENERAL
    of_address = isinstance(error, BadAddress) or (isinstance(error, Malformed) and not error.field.startswith("p"))
    return f"{'address' if of_address else 'amount'}-{rows[-1]}"


def _by_name(form: Form, error: Rejection) -> str:
    return error.field if error.field in form.fields else GENERAL


# -- the five services ------------------------------------------------------------------------------------------------

_CODES = MappingProxyType({"coin": "btc", "fee": "3", "bm_code": ""})
_BEARER = MappingProxyType({"delay": "0", "refCode": ""})
_AMOUNTS = Way(
    "amounts", "Exact amounts", "Each address gets what you say; the fee comes on top.", "/api/createTransaction",
    _BEARER, ({"address": "", "amount": "0.01"}, {"address": "", "amount": "0.02"}), _mapped, _by_address, bearer=True,
)  # fmt: skip
_EQUAL = Way(
    "equal", "Equal parts", "Bare addresses: each gets an equal part of whatever comes in, less the fee.",
    "/api/createTransaction", _BEARER, ({"address": ""}, {"address": ""}), _bare, _by_index("payouts", "address"),
    bearer=True,
)  # fmt: skip

WAYS: Final[Mapping[str, tuple[Way, ...]]] = {
    "bestmixer": (
        Way(
            "shares", "Shares", "Send what you like within the limits; each address gets its share of it.",
            "/api/ext/order/create", _CODES,
            ({"address": "", "percent": "60", "delay": "0"}, {"address": "", "percent": "40", "delay": "30"}),
            _codes("percent"), _by_index("output", "percent"),
        ),
        Way(
            "amounts", "Exact amounts", "Each address gets what you say; the fee comes on top.",
            "/api/ext/order/create_fixed", _CODES,
            ({"address": "", "amount": "0.1", "delay": "0"}, {"address": "", "amount": "0.2", "delay": "30"}),
            _codes("amount"), _by_index("output", "amount"),
        ),
    ),
    "btcmix": (_AMOUNTS,),
    "coinjoin": (_AMOUNTS, _EQUAL),
    "whir": (_AMOUNTS, _EQUAL),
    "xmrto": (
        Way(
            "address", "To an address", "Bitcoin on chain, from 0.001 BTC.", "/api/v3/xmr2btc/order_create/",
            MappingProxyType({"amount": "0.01", "amount_currency": "BTC", "btc_dest_address": ""}), (), _on_chain,
            _by_name,
        ),
        Way(
            "invoice", "To a Lightning invoice", "The invoice says the amount.", "/api/v3/xmr2btc/order_create_ln/",
            MappingProxyType({"ln_invoice": "", "invoice_amount": "0.001"}), (), _lightning, _by_name,
        ),
        Way(  # version 2, which has it in every laboratory: in version 3 a setting says so
            "url", "To a payment URL", "The payment request behind the URL (BIP 70) says address and amount.",
            "/api/v2/xmr2btc/order_create_pp/", MappingProxyType({"pp_url": "", "request_amount": "0.01"}), (),
            _payment_url, _by_name,
        ),
    ),
}  # fmt: skip
"""By service; the first is the form that one meets."""


def way(slug: str, name: str) -> Way:
    """The way of this name, or the first."""
    return next((each for each in WAYS[slug] if each.name == name), WAYS[slug][0])


# -- from and to the browser ------------------------------------------------------------------------------------------


def first(slug: str, name: str = "") -> Form:
    """A form that nobody has touched."""
    chosen = way(slug, name)
    return Form(chosen.name, dict(chosen.fields), [dict(row) for row in chosen.rows])


def sent(slug: str, items: Iterable[tuple[str, str]]) -> Form:
    """What a browser sent; fields that are missing are empty, fields that the form does not have are left out."""
    given: dict[str, list[str]] = {}
    for name, value in items:
        given.setdefault(name, []).append(value)
    chosen = way(slug, given.get("way", [""])[-1])
    fields = {name: given.get(name, [""])[-1] for name in chosen.fields}
    columns = [given.get(name, []) for name in chosen.columns]
    rows = [dict(zip(chosen.columns, values, strict=True)) for values in zip_longest(*columns, fillvalue="")]
    return Form(chosen.name, fields, rows)


def added(form: Form, chosen: Way) -> Form:
    """With one output more, like the last at first, and shares in equal parts."""
    if not chosen.rows:
        return form
    blank = {**(form.rows[-1] if form.rows else chosen.rows[-1]), "address": ""}
    return shared(form._replace(rows=[*form.rows, blank]))


def removed(form: Form, index: int) -> Form:
    if len(form.rows) <= 1:
        return form
    return shared(form._replace(rows=[row for place, row in enumerate(form.rows) if place != index]))


def shared(form: Form) -> Form:
    """With the shares, where there are any, in equal parts."""
    rows = form.rows
    if not rows or "percent" not in rows[0]:
        return form
    parts = equal_tenths(len(rows))
    return form._replace(rows=[{**row, "percent": part} for row, part in zip(rows, parts, strict=True)])


def equal_tenths(count: int) -> list[str]:
    """100 percent in `count` parts of whole tenths, as equal as can be: 33.4, 33.3, 33.3."""
    least, over = divmod(1000, count)
    return [f"{(least + (index < over)) / 10:g}" for index in range(count)]


# -- requests ---------------------------------------------------------------------------------------------------------


def request(chosen: Way, form: Form, key: str) -> Request:
    """The request that the form asks for, as a client would send it."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if chosen.bearer else {})
    return Request("POST", chosen.path, [], headers, written(chosen.body(form, key)).encode(), PEER)


def status_request(slug: str, name: str, key: str) -> Request:
    """The service's own question about an order."""
    return _STATUS[slug](name, key)


def _asked_by_post(path: str, body: Object) -> Request:
    return Request("POST", path, [], {"content-type": "application/json"}, written(body).encode(), PEER)


def _ask_bearer(name: str, key: str) -> Request:
    return Request("GET", f"/api/transaction/{name}", [], {"authorization": f"Bearer {key}"}, b"", PEER)


def _ask_codes(name: str, key: str) -> Request:
    return _asked_by_post("/api/ext/order/info", Object([("api_key", key), ("order_id", name)]))


def _ask_swap(name: str, key: str) -> Request:
    return _asked_by_post("/api/v3/xmr2btc/order_status_query/", Object([("uuid", name)]))


def partial_request(name: str) -> Request:
    """The customer of a swap is content with what an underpayment bought."""
    return _asked_by_post("/api/v3/xmr2btc/order_partial_payment/", Object([("uuid", name)]))


_STATUS: Final[Mapping[str, Callable[[str, str], Request]]] = {
    "bestmixer": _ask_codes,
    "btcmix": _ask_bearer,
    "coinjoin": _ask_bearer,
    "whir": _ask_bearer,
    "xmrto": _ask_swap,
}


def curl(asked: Request, base: str) -> str:
    """The request as a line for a shell; `base` is where the service stands."""
    parts = ["curl", "-s", f"{base}{asked.path}"]
    for name, value in asked.headers.items():
        parts += ["-H", f"{name}: {value}"]
    if asked.body:
        parts += ["-d", asked.body.decode()]
    return " ".join(shlex.quote(part) for part in parts)


def written(value: Any, depth: int = 0) -> str:
    """JSON, laid out to be read; numbers digit by digit."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Object):
        return _lines("{}", [f"{json.dumps(name, ensure_ascii=False)}: {written(inner, depth + 1)}"
                             for name, inner in value], depth)  # fmt: skip
    if isinstance(value, list):
        return _lines("[]", [written(inner, depth + 1) for inner in value], depth)
    return json.dumps(value, ensure_ascii=False)


def _lines(brackets: str, parts: Sequence[str], depth: int) -> str:
    if not parts:
        return brackets
    inner = ",\n".join("  " * (depth + 1) + part for part in parts)
    return f"{brackets[0]}\n{inner}\n{'  ' * depth}{brackets[1]}"
