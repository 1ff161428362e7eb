"""Arguments that several commands have, and what is wrong with them in one line that says what to do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from cyclopts import Parameter, Token

from glasstumbler.errors import SettingsError

DATA = Path("glasstumbler-data")
_ALIKE = 0.7
"""Of 1: how much a name must be like another one for it to be meant."""
Folder = Annotated[Path, Parameter(help="Folder of the record, the chains and the secret.")]
Record = Annotated[
    str | None,
    Parameter(help="sqlite:///PATH or postgresql://USER@HOST/DATABASE in place of the folder's own record."),
]
AsJson = Annotated[bool, Parameter(name="--json", negative="", help="For a program: JSON, and nothing else.")]
AlwaysJson = Annotated[
    bool, Parameter(name="--json", negative="", help="As they print it in any case.", show_default=False)
]


def _as_it_is(kind: Any, tokens: Sequence[Token]) -> str:
    """The choices are there for the help and for the shell; what is none of them is told by `check_service`."""
    return tokens[0].value


_Slug = Literal["bestmixer", "btcmix", "coinjoin", "whir", "xmrto"]
_Keyed = Literal["bestmixer", "btcmix", "coinjoin", "whir"]
_Open = Literal["awaiting", "underpaid", "confirming", "waiting", "paying"]
_Ended = Literal["completed", "expired", "rejected", "failed"]
_State = Literal[_Open, _Ended]
Slug = Annotated[_Keyed, Parameter(help="A service with keys.", converter=_as_it_is)]
Service = Annotated[_Slug, Parameter(converter=_as_it_is)]
OfService = Annotated[_Slug | None, Parameter(name="--service", help="Of this one alone.", converter=_as_it_is)]
InState = Annotated[_State | None, Parameter(name="--state", help="In this one alone.", converter=_as_it_is)]


def check_service(slug: str) -> None:
    """SettingsError unless there is such a service."""
    if slug not in get_args(_Slug):
        _unknown("service", slug, get_args(_Slug))


def check_keyed(slug: str) -> None:
    """SettingsError unless there is such a service, and it has keys."""
    check_service(slug)
    if slug not in get_args(_Keyed):
        raise SettingsError(f"{slug} has no keys; these have: {', '.join(get_args(_Keyed))}")


def check_state(state: str) -> None:
    if state not in get_args(_State):
        _unknown("state", state, get_args(_State))


def _unknown(what: str, name: str, known: Collection[str]) -> None:
    near = get_close_matches(name, known, 1, _ALIKE)
    meant = f" (did you mean {near[0]}?)" if near else ""
    raise SettingsError(f"no {what} is called {name!r}{meant}; these are: {', '.join(known)}")
