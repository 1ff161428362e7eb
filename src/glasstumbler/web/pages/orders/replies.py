"""Replies of the services as pages show them: the note beside a field, the order's name in a success. Pure."""

from __future__ import annotations

import json
from decimal import Decimal
from http import HTTPStatus
from typing import Any, NamedTuple

from glasstumbler.dialects.base import Response
from glasstumbler.errors import Rejection
from glasstumbler.service import Refusal
from glasstumbler.web.pages.orders.forms import GENERAL, Form, Object, Way, written


class Note(NamedTuple):
    """What the API says is wrong."""

    place: str
    """The form's field."""
    text: str
    code: str
    """As the API names the error: "400", "XMRTO-ERROR-002 malformed bitcoin address"; "" where it has no code."""
    empty: bool
    """The field was not filled in yet: nothing to shout about."""


class Shown(NamedTuple):
    """A reply as an integrator would see it."""

    status: int
    phrase: str
    body: str


def note(chosen: Way, form: Form, refusal: Refusal) -> Note:
    error = refusal.error
    if not isinstance(error, Rejection):
        return Note(GENERAL, str(error), code(refusal.response), False)
    place = chosen.place(form, error)
    text = str(error) if place == GENERAL else error.text
    return Note(place, text, code(refusal.response), value(form, place) == "")


def value(form: Form, place: str) -> str | None:
    """What stands in a field; None where the place is none."""
    name, _, index = place.partition("-")
    if index:
        return form.rows[int(index)].get(name)
    return form.fields.get(name)


def code(response: Response) -> str:
    said = read(response)
    if "error_msg" in said:
        return f"{said['error']} {said['error_msg']}"
    return str(said.get("code", ""))


def message(response: Response) -> str:
    """The text of a refusal."""
    said = read(response)
    return str(
        said.get("error_msg") or said.get("description") or said.get("error") or HTTPStatus(response.status).phrase
    )


def order_name(response: Response) -> str | None:
    """The name of the order that was opened; None if none was."""
    said = read(response)
    data = said.get("data")
    made = data if isinstance(data, dict) else said
    if said.get("error") or response.status >= 400:
        return None
    return next((str(made[name]) for name in ("order_id", "id", "uuid") if name in made), None)


def read(response: Response) -> dict[str, Any]:
    try:
        said = json.loads(response.body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def shown(response: Response) -> Shown:
    phrase = HTTPStatus(response.status).phrase
    try:
        said = json.loads(response.body, parse_float=Decimal, object_pairs_hook=Object)
    except ValueError:
        return Shown(response.status, phrase, response.body.decode(errors="replace"))
    return Shown(response.status, phrase, written(said))
