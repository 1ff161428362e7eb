"""The life of an order, row by row: the table of the code against a table for the eye."""

from __future__ import annotations

import pytest

from glasstumbler.engine.order import OPEN_STATES, TRANSITIONS, Event, State, after
from glasstumbler.errors import IllegalTransition

WORD = {
    **{"aw": "awaiting", "un": "underpaid", "co": "confirming", "wa": "waiting", "pa": "paying"},
    **{"do": "completed", "ex": "expired", "re": "rejected", "fa": "failed"},
}
TABLE = """
            opened refused empty short funded confirmed expire due settled unsettled fail
created       aw     re      -     -     -       -        -     -     -       -       -
awaiting      -      -       aw    un    co      wa       ex    -     -       -       -
underpaid     -      -       aw    un    co      wa       ex    -     -       -       -
confirming    -      -       aw    un    co      wa       -     -     -       -       -
waiting       -      -       aw    un    co      wa       -     pa    -       -       fa
paying        -      -       pa    pa    pa      pa       -     pa    do      pa      fa
completed     -      -       do    do    do      do       -     -     -       pa      -
expired       -      -       ex    ex    ex      ex       -     -     -       -       -
rejected      -      -       -     -     -       -        -     -     -       -       -
failed        -      -       fa    fa    fa      fa       -     -     -       fa      -
"""


def cells() -> list[tuple[str, str, str]]:
    head, *rows = TABLE.strip().splitlines()
    events = head.split()
    return [(row.split()[0], event, cell) for row in rows for event, cell in zip(events, row.split()[1:], strict=True)]


@pytest.mark.parametrize(("state", "event", "wanted"), cells())
def test_transition(state: str, event: str, wanted: str) -> None:
    if wanted == "-":
        with pytest.raises(IllegalTransition, match=f"{event} in state {state}"):
            after(State(state), Event(event))
    else:
        assert after(State(state), Event(event)) == WORD[wanted]


def test_the_table_for_the_eye_is_whole() -> None:
    assert {(state, event) for state, event, _ in cells()} == {(s.value, e.value) for s in State for e in Event}
    assert len(TRANSITIONS) == sum(1 for *_, wanted in cells() if wanted != "-")


def test_every_state_can_be_reached_and_only_these_are_open() -> None:
    reached = {State.CREATED}
    while more := {after for (before, _), after in TRANSITIONS.items() if before in reached} - reached:
        reached |= more
    assert reached == set(State)
    assert {"awaiting", "underpaid", "confirming", "waiting"} == OPEN_STATES


def test_what_has_begun_to_pay_is_never_open_again() -> None:
    """Promise 4: nothing that a deposit does leads from a payout back to a state that would pay anew."""
    begun = {State.PAYING, State.COMPLETED, State.FAILED}
    assert {after for (before, _), after in TRANSITIONS.items() if before in begun} <= begun
