"""Orders and links on the terminal: the record of a folder as `orders`, `order`, `links` and `watch` show it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rich.console import Console

from glasstumbler import cli_watch, services
from glasstumbler.engine.ledger import Entry
from glasstumbler.engine.order import Order, State
from glasstumbler.lab.truth import order_truth
from glasstumbler.store.records import Records
from tests.laboratory import Laboratory
from tests.terminals import on_terminal, plain
from tests.test_cli import Command, refused
from tests.web.server import COMMAND, ONE_CHAIN, environment, laboratory, run, wait_for

HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202eevil[bold red]\x7f"
"""A referral code that clears the screen, names the window, turns the text round and looks like markup."""
HOUR = 3600


class Kept(NamedTuple):
    """A folder that nobody serves, and what is in it."""

    folder: Path
    orders: list[Order]
    """By number."""
    truth: dict[str, Any]
    """Of the first order, which is paid out."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    folder = tmp_path_factory.mktemp("lab") / "data"
    folder.mkdir()
    (folder / "secret").write_bytes(b"x" * 32)
    (folder / "secret").chmod(0o600)
    lab = Laboratory("btc", folder=folder)
    paid = lab.bearer("coinjoin", [320_000_000, 240_000_000])
    lab.fund(paid)
    lab.settle()
    also = lab.codes("btc", shares=(600, 400))
    lab.fund(also, 50_000_000)
    lab.house.clock.advance(HOUR)
    lab.house.turn()
    lab.settle()
    unpaid = lab.bearer("btcmix", [20_000_000], ref="harmless")
    lab.bearer("whir", 1)
    lab.house.store.write(partial(spoil, unpaid))
    truth = lab.house.store.read(lambda records: order_truth(records, lab.now(paid)))
    orders = lab.orders()
    lab.close()
    yield Kept(folder, orders, truth)


def spoil(order: Order, records: Records) -> None:
    """The services refuse such a code; a record may come from elsewhere."""
    order.ref = HOSTILE
    records.save_order(order)
    records.append(Entry("spoilt", order.updated, order.service, order.number))


def lines_of(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


# -- orders -----------------------------------------------------------------------------------------------------------


def test_orders_newest_first(here: Command, kept: Kept) -> None:
    code, out, err = here("orders", "--data", kept.folder, "--json")
    assert (code, err) == (0, "")
    assert [line["order"] for line in lines_of(out)] == [order.id for order in reversed(kept.orders)]
    assert lines_of(out)[-1] | {"state": "completed", "quote": "5.7121", "seen": "5.7121"} == lines_of(out)[-1]
    code, out, _ = here("orders", "--data", kept.folder)
    rows = out.splitlines()
    assert code == 0 and rows[0].split()[:4] == ["No.", "Service", "Order", "State"]
    assert [row.split()[2] for row in rows[1:]] == [order.id for order in reversed(kept.orders)]


def test_pages_of_orders_join(here: Command, kept: Kept) -> None:
    seen: list[int] = []
    before: tuple[str, ...] = ()
    while page := lines_of(here("orders", "--data", kept.folder, "--limit", "3", "--json", *before)[1]):
        seen += [line["number"] for line in page]
        before = ("--before", str(seen[-1]))
    assert seen == [order.number for order in reversed(kept.orders)]
    _, out, _ = here("orders", "--data", kept.folder, "--limit", "3")
    assert out.splitlines()[-1] == f"older ones: --before {seen[2]}"
    assert here("orders", "--data", kept.folder, "--before", "1")[1] == "no older orders\n"


@pytest.mark.parametrize(
    ("filters", "services_"),
    [
        (["--service", "btcmix"], ["btcmix"]),
        (["--state", "awaiting"], ["whir", "btcmix"]),
        (["--state", "completed"], ["bestmixer", "coinjoin"]),
        (["--service", "whir", "--state", "completed"], []),
    ],
)
def test_orders_by_service_and_state(here: Command, kept: Kept, filters: list[str], services_: list[str]) -> None:
    _, out, _ = here("orders", "--data", kept.folder, "--json", *filters)
    assert [line["service"] for line in lines_of(out)] == services_
    if not services_:
        assert "without --service and --state" in here("orders", "--data", kept.folder, *filters)[1]


def test_choices_are_those_that_there_are() -> None:
    """They stand in the help and in the completion, and are written out for it."""
    help_ = run("orders", "--help", extra={"COLUMNS": "300"})[1]
    for name in (*services.SERVICES, *(state for state in State if state is not State.CREATED)):
        assert name in help_


# -- one order --------------------------------------------------------------------------------------------------------


def test_an_order_with_both_truths(here: Command, kept: Kept) -> None:
    order = kept.orders[0]
    code, out, err = here("order", order.service, order.id, "--data", kept.folder, "--json")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert {name: told[name] for name in kept.truth} == json.loads(json.dumps(kept.truth))
    assert (told["quote"], told["number"]) == ("5.7121", 1)
    _, out, _ = here("order", order.service, order.id, "--data", kept.folder)
    for payout in kept.truth["payouts"]:
        assert payout["outpoint"] in out and payout["address"] in out
    assert kept.truth["deposits"][0]["outpoint"] in out
    assert out.count("3.2 btc from deposit 1") == 1
    assert "1 transaction back to 1 origin; its own deposit: after 1" in out
    assert f"deposit of order {order.id}, 5.7121 btc" in out


def test_what_a_client_wrote_does_not_drive_the_terminal(here: Command, kept: Kept) -> None:
    order = kept.orders[2]
    assert order.ref == HOSTILE
    for arguments in (("order", order.service, order.id), ("order", order.service, order.id, "--json")):
        code, out, _ = here(*arguments, "--data", kept.folder)
        assert code == 0
        assert not [char for char in out if not char.isprintable() and char != "\n"]
        assert "evil[bold red]" in out
    assert json.loads(out)["referral"] == HOSTILE
    said = refused("order", "whir", HOSTILE, "--data", kept.folder, by=here)
    assert said.isprintable()


def test_an_order_that_is_not_there(here: Command, kept: Kept) -> None:
    order, other = kept.orders[0], kept.orders[3]
    for wrong, said in (
        (("whir", order.id), f"but {order.service} has: `glasstumbler order {order.service} {order.id}`"),
        ((other.service, other.id[:-1] + "-"), f"near it: {other.id}"),
        ((other.service, other.id.lower()), f"near it: {other.id}"),
        ((other.service, other.id[:5]), f"near it: {other.id}"),
        (("whir", "nothing like it"), "`glasstumbler orders --service whir` lists"),
        (("wir", other.id), "did you mean whir?"),
    ):
        assert said in refused("order", *wrong, "--data", kept.folder, by=here)


# -- links ------------------------------------------------------------------------------------------------------------


def test_links_are_the_payouts_with_their_deposits(here: Command, kept: Kept) -> None:
    code, out, err = here("links", "--data", kept.folder, "--json")
    rows = lines_of(out)
    assert (code, err) == (0, "")
    assert [row["service"] for row in rows] == ["bestmixer"] * 2 + ["coinjoin"] * 2
    truth = kept.truth["payouts"]
    assert [row["payout"]["outpoint"] for row in rows[2:]] == [payout["outpoint"] for payout in truth]
    assert [row["deposits"] for row in rows[2:]] == [
        [
            {"outpoint": part["deposit"], "gives": {"amount": part["amount"], "coin": "btc"}}
            for part in each["beneficial"]
        ]
        for each in truth
    ]
    assert [row["hops"] for row in rows[2:]] == [each["custody"]["hops_between"] for each in truth]
    _, out, _ = here("links", "--data", kept.folder, "--limit", "1")
    assert [line.split()[1] for line in out.splitlines()[1:-1]] == ["bestmixer"] * 2
    assert out.splitlines()[-1] == "older ones: --before 2"
    _, out, _ = here("links", "--data", kept.folder, "--limit", "1", "--before", "2", "--json")
    assert lines_of(out) == rows[2:]


# -- the terminal -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["orders", "links"])
@pytest.mark.parametrize("columns", [80, 100, 200])
def test_tables_fit_the_terminal(kept: Kept, command: str, columns: int) -> None:
    code, seen = on_terminal(command, "--data", kept.folder, columns=columns)
    rows = plain(seen)
    assert code == 0 and max(map(len, rows)) <= columns
    assert len([row for row in rows if row]) == 5, rows  # a heading and four lines: none is broken in two


def test_colours_are_left_out_where_they_are_not_wanted(kept: Kept) -> None:
    _, coloured = on_terminal("orders", "--data", kept.folder)
    assert "\x1b[32mcompleted" in coloured
    _, grey = on_terminal("orders", "--data", kept.folder, extra={"NO_COLOR": "1"})
    assert "\x1b[32m" not in grey and plain(grey) == plain(coloured)
    assert "\x1b" not in run("orders", "--data", kept.folder)[1]


def test_a_reader_that_goes_away_is_no_error(kept: Kept) -> None:
    command = [*COMMAND, "watch", "--data", str(kept.folder)]
    reading, writing = os.pipe()
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE, env=environment()) as process:
        os.close(writing)
        os.close(reading)
        assert process.wait(60) == 141
        assert process.stderr is not None and process.stderr.read() == b""


# -- watch ------------------------------------------------------------------------------------------------------------


def test_a_watch_of_a_folder_that_nobody_serves(here: Command, kept: Kept) -> None:
    code, out, err = here("watch", "--data", kept.folder, "--for", "0")
    assert (code, err) == (0, "")
    head, *rest = out.splitlines()
    assert head.startswith("record of ") and "served" not in head
    assert "coinjoin   1 completed" in rest
    assert [line for line in rest if line.endswith(f"{kept.orders[3].id}  btc  opened")]
    first, *events = lines_of(here("watch", "--data", kept.folder, "--for", "0", "--json")[1])
    assert first["orders"]["coinjoin"] == {"completed": 1} and first["hub"] is None
    assert [(e["event"], e["service"]) for e in events if e.get("order") == kept.orders[3].id] == [("opened", "whir")]


def test_a_watch_is_drawn_on_a_terminal_and_ended_by_ctrl_c(kept: Kept) -> None:
    code, seen = on_terminal("watch", "--data", kept.folder, until="opened")
    rows = plain(seen)
    assert code == 0 and max(map(len, rows)) <= 80
    assert "TEST NETWORKS ONLY" in rows[0]
    assert [row for row in rows if row.split() == ["completed", "1", "·", "1", "·", "·"]]
    assert "Traceback" not in seen and seen.rstrip().endswith("\x1b[?25h"), "the cursor is there again"


class Interrupted(StringIO):
    """A terminal at which Ctrl-C is pressed as soon as something of a picture stands on it."""

    def write(self, text: str) -> int:
        written = super().write(text)
        if "TEST NETWORKS" in text and self.getvalue().count("TEST NETWORKS") == 1:
            signal.raise_signal(signal.SIGINT)
        return written


def test_ctrl_c_in_the_middle_of_a_picture_waits_for_its_end(kept: Kept) -> None:
    def looks() -> Iterator[cli_watch.View]:
        yield cli_watch.look(kept.folder, None, None)
        raise AssertionError("it went on")

    drawn = Interrupted()
    with cli_watch.ended_gently() as ending:
        cli_watch.draw(Console(file=drawn, force_terminal=True, width=80, height=40), looks(), ending)
    rows = plain(drawn.getvalue())
    assert max(map(len, rows)) <= 80
    assert all(row.index("TEST NETWORKS") == 0 for row in rows if "TEST NETWORKS" in row)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_everything_beside_a_server(tmp_path: Path) -> None:
    """From an order over HTTP to its links, each command beside the server that works."""
    with laboratory(tmp_path / "data", extra=ONE_CHAIN) as lab:
        data = ("--data", lab.folder)
        command = [*COMMAND, "watch", *map(str, data), "--for", "60", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as watching:
            assert watching.stdout is not None
            assert json.loads(watching.stdout.readline())["hub"] == lab.urls["hub"]
            with lab.client("btcmix") as client:
                body = {"delay": 0, "payouts": {lab.address(): "0.02"}}
                order = client.post("/api/createTransaction", json=body).json()
            lab.pay("btc", order["depositAddress"], order["depositAmount"])
            wait_for("the payout", lambda: lines_of(run("orders", *data, "--state", "paying", "--json")[1]))
            lab.lab("chains/btc/mine", blocks=1)
            wait_for("the end", lambda: lines_of(run("orders", *data, "--state", "completed", "--json")[1]))
            events = []
            while "completed" not in events:
                line = json.loads(watching.stdout.readline())
                events += [line["event"]] if line.get("order") == order["id"] else []
            watching.terminate()
            assert watching.wait(20) == 0
        assert events[0] == "opened" and {"claimed", "broadcast", "settled"} <= set(events)
        (link,) = lines_of(run("links", *data, "--json")[1])
        truth = lab.hub.get(f"/lab/v1/orders/btcmix/{order['id']}").json()
        assert link["payout"]["outpoint"] == truth["payouts"][0]["outpoint"]
        told = json.loads(run("order", "btcmix", order["id"], *data, "--json")[1])
        assert {name: told[name] for name in truth} == truth
        assert f"served at {lab.urls['hub']}" in run("watch", *data, "--for", "0")[1]


# -- wrong commands ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["ordrs"], 2, 'Did you mean "orders"?'),
        (["orders", "--sevice", "whir"], 2, "Did you mean --service?"),
        (["orders", "--limit", "0"], 1, "--limit is at least 1"),
        (["orders", "--before", "0"], 1, "--before is the number of an order"),
        (["orders", "--state", "complete"], 1, "did you mean completed?"),
        (["links", "--service", "btcmx"], 1, "did you mean btcmix?"),
        (["watch", "--for", "-1"], 1, "--for is a number of seconds"),
        (["watch", "--for", "nan"], 1, "--for is a number of seconds"),
        (["orders", "--store", "mysql://x"], 1, "sqlite:///PATH"),
        (["orders", "--store", "sqlite:////nowhere/x.db"], 1, "begin one with `glasstumbler serve`"),
    ],
)
def test_wrong_commands_say_what_to_do(here: Command, kept: Kept, arguments: list[str], code: int, said: str) -> None:
    if "--store" not in arguments:
        arguments = [*arguments, "--data", str(kept.folder)]
    assert said in refused(*arguments, code=code, by=here)


@pytest.mark.parametrize("command", ["orders", "links", "watch", "audit", "status"])
def test_a_folder_that_is_not_there(here: Command, command: str, tmp_path: Path) -> None:
    said = refused(command, "--data", tmp_path / "absent", by=here)
    assert f"make one: `glasstumbler serve --data {tmp_path / 'absent'}`" in said


def test_a_folder_without_orders(here: Command, tmp_path: Path) -> None:
    here("keys", "add", "whir", "--data", tmp_path / "data")
    assert "`glasstumbler demo` makes some" in here("orders", "--data", tmp_path / "data")[1]
    assert here("orders", "--data", tmp_path / "data", "--json") == (0, "", "")
    assert here("links", "--data", tmp_path / "data")[0] == 0
    assert here("watch", "--data", tmp_path / "data", "--for", "0")[0] == 0
