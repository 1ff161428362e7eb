"""The form that makes an order, at /services/SLUG/order. It is a client of the service's API: what is typed becomes the
documented request, and whatever is said of it is the API's own answer."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from glasstumbler.dialects.base import Request as Asked
from glasstumbler.dialects.base import Response as Answer
from glasstumbler.errors import BadAmount, Rejection, UnknownEndpoint
from glasstumbler.money import parse, text
from glasstumbler.payment_url import FIXTURE
from glasstumbler.service import Refusal, Service
from glasstumbler.web.pages.orders import forms, replies
from glasstumbler.web.pages.orders.forms import Form
from glasstumbler.web.pages.orders.quote import quote
from glasstumbler.web.pages.orders.replies import Note
from glasstumbler.web.pages.site import Site, form_items, path
from glasstumbler.web.pages.words import ticker

_INVOICE_SECONDS = 24 * 3600
_INVOICE_MOST = parse("1", "msat")
_REQUEST_MOST = parse("1000", "btc")


class Ordering:
    def __init__(self, site: Site) -> None:
        self._site, self._house = site, site.house

    def routes(self) -> list[BaseRoute]:
        return [
            self._site.route("/services/{slug}/order", self.order, "GET", "POST"),
            self._site.route("/services/{slug}/order/check", self.check, "POST"),
        ]

    async def order(self, request: Request) -> Response:
        """The form, and what its buttons do to it; the one that orders leads to the order."""
        service = self._service(request)
        if request.method != "POST":
            return self._page(request, service, forms.first(service.slug, request.query_params.get("way", "")))
        items = await form_items(request)
        form, (verb, _, argument) = forms.sent(service.slug, items), dict(items).get("do", "order").partition(":")
        if verb == "order":
            return await self._place(request, service, form)
        if verb == "way":
            return self._page(request, service, _carried(form, forms.first(service.slug, argument)))
        try:
            form = await self._edited(request, service, form, verb, argument)
        except Rejection as error:
            return self._page(request, service, form, Note(error.field or forms.GENERAL, error.text, "", False), 200)
        return self._page(request, service, form)

    async def check(self, request: Request) -> Response:
        """What the API would say to the form as it stands; no order is made."""
        service = self._service(request)
        form = forms.sent(service.slug, await form_items(request))
        asked = self._asked(service, form)
        draft = await service.rehearse(asked)
        values = self._values(request, service, form)
        if isinstance(draft, Refusal):
            noted = replies.note(values["chosen"], form, draft)
            values |= {"note": noted, "reply": replies.shown(draft.response)}
        else:
            values |= {"quote": quote(draft, service.policy.fee_rule)}
        return self._site.page(request, "order_check.html", **values)

    # -- the buttons --------------------------------------------------------------------------------------------------

    async def _place(self, request: Request, service: Service, form: Form) -> Response:
        asked, chosen = self._asked(service, form), forms.way(service.slug, form.way)
        draft = await service.rehearse(asked)
        if isinstance(draft, Refusal):
            noted = replies.note(chosen, form, draft)
            return self._page(request, service, form, noted, 422, draft.response)
        answer = await service.handle(asked)
        if (name := replies.order_name(answer)) is not None:
            return self._site.moved(path("orders", service.slug, name))
        # The form was right, and still the service does not take it: a rate limit, or what the lab told it to answer.
        noted = Note(forms.GENERAL, replies.message(answer), replies.code(answer), False)
        return self._page(request, service, form, noted, 422, answer)

    async def _edited(self, request: Request, service: Service, form: Form, verb: str, argument: str) -> Form:
        if verb == "add" and len(form.rows) < service.policy.max_outputs:
            return forms.added(form, forms.way(service.slug, form.way))
        if verb == "remove" and argument.isdecimal():
            return forms.removed(form, int(argument[:4]))
        if verb == "fresh":
            return await self._with_addresses(service, form, argument)
        if verb == "invoice":
            return await self._with_invoice(form)
        if verb == "request":
            return await self._with_request(request, form)
        return form

    async def _with_addresses(self, service: Service, form: Form, argument: str) -> Form:
        """A new address of the lab's own, which no service knows: in one output, or wherever none stands yet."""
        coin = "btc" if service.policy.swap else form.fields.get("coin", "btc")
        chain = self._house.chains.get(coin)
        if chain is None:
            raise UnknownEndpoint(f"no chain of {coin!r} runs here")
        if "btc_dest_address" in form.fields:
            address = await self._site.in_thread(chain.fresh_address)
            return form._replace(fields={**form.fields, "btc_dest_address": address})
        rows = []
        for index, row in enumerate(form.rows[: service.policy.max_outputs]):
            wanted = str(index) == argument if argument else not row["address"]
            address = await self._site.in_thread(chain.fresh_address) if wanted else row["address"]
            rows.append({**row, "address": address})
        return form._replace(rows=[*rows, *form.rows[len(rows) :]])

    async def _with_invoice(self, form: Form) -> Form:
        network = self._house.lightning
        if network is None:
            raise UnknownEndpoint("no Lightning network runs here")
        amount = _amount(form, "invoice_amount", "msat", _INVOICE_MOST)
        invoice = await self._site.in_thread(network.invoice, amount, _INVOICE_SECONDS)
        return form._replace(fields={**form.fields, "ln_invoice": invoice})

    async def _with_request(self, request: Request, form: Form) -> Form:
        """The lab's own payment request, to a fresh address."""
        chain = self._house.chains["btc"]
        amount = _amount(form, "request_amount", "btc", _REQUEST_MOST)
        query = {"address": await self._site.in_thread(chain.fresh_address), "amount": text(amount, "btc")}
        url = f"{request.url.scheme}://{request.url.netloc}{FIXTURE}?{urlencode(query)}"
        return form._replace(fields={**form.fields, "pp_url": url})

    # -- what the templates want --------------------------------------------------------------------------------------

    def _service(self, request: Request) -> Service:
        slug = request.path_params["slug"]
        if slug not in self._house.services:
            raise UnknownEndpoint(f"No service is called that; these are: {', '.join(self._house.services)}.")
        return self._house.services[slug]

    def _asked(self, service: Service, form: Form) -> Asked:
        return forms.request(forms.way(service.slug, form.way), form, self._house.vault.first_key(service.slug))

    def _page(
        self, request: Request, service: Service, form: Form, note: Note | None = None, status: int = 200,
        answer: Answer | None = None,
    ) -> Response:  # fmt: skip
        values = self._values(request, service, form)
        values |= {"note": note, "reply": replies.shown(answer) if answer is not None else None}
        return self._site.page(request, "order_form.html", status, section="services", **values)

    def _values(self, request: Request, service: Service, form: Form) -> dict[str, Any]:
        slug, policy = service.slug, service.policy
        chosen = forms.way(slug, form.way)
        coin = form.fields.get("coin", "xmr" if policy.swap else "btc")
        base = f"{request.url.scheme}://{request.url.netloc}/{slug}"
        return {
            "slug": slug,
            "form": form,
            "ways": forms.WAYS[slug],
            "chosen": chosen,
            "places": _places(form),
            "coins": dict(policy.coins) if policy.swap is None else {},
            "coin": coin,
            "unit": ticker(coin),
            "limits": policy.coins.get(coin),
            "policy": policy,
            "delay_most": policy.max_delay // (3600 if chosen.bearer else 60),
            "curl": forms.curl(self._asked(service, form), base),
            "note": None,
            "reply": None,
            "quote": None,
        }


def _places(form: Form) -> list[str]:
    """Every field that a note may stand beside."""
    rows = [f"{name}-{index}" for index, row in enumerate(form.rows) for name in row]
    return [*form.fields, *rows, *([forms.ROWS] if rows else []), forms.GENERAL]


def _carried(before: Form, after: Form) -> Form:
    """Another way to order, with what was typed already where it has the same fields."""
    fields = {name: before.fields.get(name, text) for name, text in after.fields.items()}
    if not before.rows or not after.rows:
        return after._replace(fields=fields)
    pattern = after.rows[-1]
    rows = [{name: row.get(name, text) for name, text in pattern.items()} for row in before.rows]
    return forms.shared(after._replace(fields=fields, rows=rows))


def _amount(form: Form, field: str, coin: str, most: int) -> int:
    """What the lab is asked to make an invoice or a payment request for. BadAmount names the field."""
    try:
        amount = parse(form.fields.get(field, ""), coin)
    except ValueError as error:
        raise BadAmount(str(error), field) from None
    if not 0 < amount <= most:
        raise BadAmount(f"more than 0 and at most {text(most, coin)} BTC is wanted", field)
    return amount
