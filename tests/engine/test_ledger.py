"""The ledger as tables: one operation and its postings per row; and the chain of entries."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.engine import desk, ledger
from glasstumbler.engine.desk import Deposit, DepositState
from glasstumbler.engine.ledger import Entry, Posting
from glasstumbler.engine.order import Order, OutputState, PlannedOutput, State, Swap, Terms
from glasstumbler.engine.policy import FeeRule
from glasstumbler.errors import IllegalTransition, RecordError
from tests.engine.orders import NOW, order, policy, shares, swap_order, wanted


def shown(postings: list[Posting]) -> str:
    return ", ".join(f"{posting.account} {posting.coin} {posting.amount:+d}" for posting in postings) or "nothing"


def balanced(postings: list[Posting]) -> list[Posting]:
    ledger.check(Entry("test", NOW, "any", postings=postings))
    return postings


def deposit(amount: int, account: str | None = None) -> Deposit:
    return Deposit("btc", "aa" * 32, 0, 7, "any", amount, NOW, account=account)


CREDITS = """
state       booked before     where 500 go       credited after  account after
awaiting    -                 order:7            500             order:7
underpaid   -                 order:7            500             order:7
confirming  -                 order:7            500             order:7
waiting     -                 order:7            500             order:7
paying      -                 unowed:repeat      0               unowed:repeat
completed   -                 unowed:repeat      0               unowed:repeat
expired     -                 unowed:late        0               unowed:late
rejected    -                 unowed:late        0               unowed:late
failed      -                 unowed:failed      0               unowed:failed
completed   loss:reorganised  loss:reorganised   0               loss:reorganised
waiting     order:7           order:7            500             order:7
"""


@pytest.mark.parametrize("row", CREDITS.strip().splitlines()[1:])
def test_credit(row: str) -> None:
    state, before, where, credited, account = row.split()
    came, mine = deposit(500, None if before == "-" else before), order(State(state))
    assert shown(balanced(desk.credit(mine, came))) == f"coins btc +500, {where} btc -500"
    assert (mine.credited, came.account, came.state) == (int(credited), account, DepositState.CREDITED)


UNCREDITS = """
state      booked before     from where         credited after  account after
waiting    order:7           order:7            -500            -
confirming order:7           order:7            -500            -
paying     order:7           loss:reorganised   0               loss:reorganised
completed  order:7           loss:reorganised   0               loss:reorganised
expired    order:7           loss:reorganised   0               loss:reorganised
failed     order:7           loss:reorganised   0               loss:reorganised
completed  loss:reorganised  loss:reorganised   0               loss:reorganised
expired    unowed:late       unowed:late        0               -
paying     unowed:repeat     unowed:repeat      0               -
"""


@pytest.mark.parametrize("row", UNCREDITS.strip().splitlines()[1:])
def test_uncredit(row: str) -> None:
    state, before, where, credited, account = row.split()
    went, mine = deposit(500, before), order(State(state))
    assert shown(balanced(desk.uncredit(mine, went))) == f"{where} btc +500, coins btc -500"
    assert (mine.credited, went.account or "-", went.state) == (int(credited), account, DepositState.SEEN)


@pytest.mark.parametrize("state", list(desk.CREDIT_TO))
@pytest.mark.parametrize("taken_back_in", [State.PAYING, State.COMPLETED])
def test_a_deposit_that_returns_after_a_reorganisation_makes_its_loss_good(state: State, taken_back_in: State) -> None:
    came, mine = deposit(500), order(State.CONFIRMING)
    postings = desk.credit(mine, came)
    mine.state = taken_back_in
    postings += desk.uncredit(mine, came)
    mine.state = state
    postings += desk.credit(mine, came)
    sums: dict[str, int] = {}
    for account, _, amount in balanced(postings):
        sums[account] = sums.get(account, 0) + amount
    assert sums == {"coins": 500, "order:7": -500, "loss:reorganised": 0}


def funded(outputs: list[PlannedOutput], **more: object) -> Order:
    for output in outputs:
        output.amount = output.amount if output.amount is not None else output.wanted
    return order(State.WAITING, outputs, funded=NOW, **more)


QUOTE = Terms(fee_ppm=20_000, per_output=5_000, quote=316_000, fee=16_000)
"""Document 1's sample: 0.003 in two payouts, 2 % and 5000 each."""


def quoted(credited: int = 316_000, **more: object) -> Order:
    return funded(wanted(200_000, 100_000), terms=QUOTE, credited=credited, fixed=True, **more)


def split(rule: FeeRule, received: int, terms: Terms, outputs: list[PlannedOutput], **more: object) -> Order:
    made = funded(outputs, terms=terms, credited=received, **more)
    for output, amount in zip(outputs, desk.plan.amounts(made, rule), strict=True):
        output.amount = amount
    return made


ON_RECEIVED = Terms(fee_ppm=10_000, per_output=1_000, maximum=2_000_000)
PAYOUTS, RECEIVED = FeeRule.ON_PAYOUTS, FeeRule.ON_RECEIVED
CLOSINGS: list[tuple[str, FeeRule, Callable[[], Order], int, str]] = [
    (
        "a quote, to the unit",
        *(PAYOUTS, quoted, 0),
        "order:7 btc +16000, income:service btc -6000, income:network btc -10000",
    ),
    (
        "a quote, 84 too much",
        *(PAYOUTS, lambda: quoted(316_084), 0),
        "order:7 btc +16084, income:service btc -6000, income:network btc -10000, unowed:excess btc -84",
    ),
    (
        "a quote with a referral code, 10 %",
        *(PAYOUTS, lambda: quoted(ref="friend"), 100_000),
        "order:7 btc +16000, income:service btc -5400, referral:friend btc -600, income:network btc -10000",
    ),
    (
        "a referral share without a code",
        *(PAYOUTS, quoted, 100_000),
        "order:7 btc +16000, income:service btc -6000, income:network btc -10000",
    ),
    (
        "equal parts of 310000: 150000 each leave 3000 * 2 and the network's 4000",
        *(PAYOUTS, lambda: split(PAYOUTS, 310_000, Terms(fee_ppm=20_000, per_output=2_000), shares(1, 1)), 0),
        "order:7 btc +10000, income:service btc -6000, income:network btc -4000",
    ),
    (
        "equal parts that do not divide: the rest is the network's",
        *(PAYOUTS, lambda: split(PAYOUTS, 310_003, Terms(fee_ppm=20_000, per_output=2_000), shares(1, 1)), 0),
        "order:7 btc +10001, income:service btc -6000, income:network btc -4001",
    ),
    (
        "shares of 1000000 at 1 %: 990000, less 700 each",
        *(RECEIVED, lambda: split(RECEIVED, 1_000_000, ON_RECEIVED, shares(250, 750, network_fee=700)), 0),
        "order:7 btc +11400, income:service btc -10000, income:network btc -1400",
    ),
    (
        "shares of more than the limit",
        *(RECEIVED, lambda: split(RECEIVED, 2_000_500, ON_RECEIVED, shares(1000, network_fee=700)), 0),
        "order:7 btc +21200, income:service btc -20000, income:network btc -700, unowed:excess btc -500",
    ),
    (
        "no fee at all",
        *(PAYOUTS, lambda: funded(wanted(500), terms=Terms(quote=500, fee=0), credited=500), 0),
        "nothing",
    ),
]


@pytest.mark.parametrize(
    ("rule", "make", "referral", "postings"), [row[1:] for row in CLOSINGS], ids=[r[0] for r in CLOSINGS]
)
def test_closing_of_the_bargain(rule: FeeRule, make: Callable[[], Order], referral: int, postings: str) -> None:
    mine = make()
    owed = mine.credited
    closed = balanced(desk.close_bargain(mine, policy(rule, referral_ppm=referral), NOW + 5))
    assert shown(closed) == postings
    assert (mine.state, mine.updated) == (State.PAYING, NOW + 5)
    left = owed - sum(posting.amount for posting in closed if posting.account == "order:7")
    assert left == sum(output.amount or 0 for output in mine.outputs), "what stays owed is what is paid out"


XMR = 10**12
SWAPS: list[tuple[str, Callable[[], Order], str]] = [
    (
        "to the unit",
        lambda: swap_order(State.WAITING, credited=14 * XMR),
        "order:7 xmr +14000000000000, exchange xmr -14000000000000, exchange btc +10000000, order:7 btc -10000000",
    ),
    (
        "1 XMR too much",
        lambda: swap_order(State.WAITING, credited=15 * XMR),
        "order:7 xmr +15000000000000, exchange xmr -14000000000000, unowed:excess xmr -1000000000000, "
        "exchange btc +10000000, order:7 btc -10000000",
    ),
    (
        "by Lightning",
        lambda: swap_order(
            State.WAITING,
            credited=14 * XMR,
            payout_coin="msat",
            swap=Swap(price="0.00714285", amount=10_000_000, amount_msat=9_999_999_500),
        ),
        "order:7 xmr +14000000000000, exchange xmr -14000000000000, "
        "exchange msat +9999999500, order:7 msat -9999999500",
    ),
]


@pytest.mark.parametrize(("make", "postings"), [row[1:] for row in SWAPS], ids=[row[0] for row in SWAPS])
def test_swap(make: Callable[[], Order], postings: str) -> None:
    mine = make()
    mine.outputs[0].amount = desk.plan.amounts(mine, PAYOUTS)[0]
    assert shown(balanced(desk.close_bargain(mine, policy(), NOW))) == postings


def test_an_accepted_partial_swap_owes_what_was_bought() -> None:
    mine = swap_order(State.UNDERPAID, seen=7 * XMR, credited=7 * XMR)
    desk.accept_partial(mine, NOW + 1, PAYOUTS)
    assert (mine.state, mine.outputs[0].amount, mine.terms.quote) == (State.WAITING, 4_999_995, 7 * XMR)
    assert shown(balanced(desk.close_bargain(mine, policy(), NOW))) == (
        "order:7 xmr +7000000000000, exchange xmr -7000000000000, exchange btc +4999995, order:7 btc -4999995"
    )


ENDS = """
operation  state       credited  paid     postings
expire     awaiting    0         -        nothing
expire     underpaid   300       -        order:7 btc +300, unowed:short btc -300
expire     underpaid   0         -        nothing
expire     confirming  300       -        IllegalTransition
expire     completed   300       -        IllegalTransition
fail       waiting     1000      -        order:7 btc +1000, unowed:failed btc -1000
fail       paying      1000      none     order:7 btc +900, unowed:failed btc -900
fail       paying      1000      first    order:7 btc +300, unowed:failed btc -300
fail       paying      1000      both     nothing
fail       completed   1000      both     IllegalTransition
fail       awaiting    0         -        IllegalTransition
"""


@pytest.mark.parametrize("row", ENDS.strip().splitlines()[1:])
def test_ends_of_an_order(row: str) -> None:
    operation, state, credited, paid, postings = row.split(None, 4)
    outputs = wanted(600, 300)
    for output, claimed in zip(outputs, {"first": (1, 0), "both": (1, 1)}.get(paid, (0, 0)), strict=True):
        output.amount = output.wanted
        output.state = OutputState.CLAIMED if claimed else OutputState.PENDING
    mine = order(State(state), outputs, credited=int(credited), terms=Terms(quote=1000))
    end = {"expire": desk.expire, "fail": desk.fail}[operation]
    if postings == "IllegalTransition":
        with pytest.raises(IllegalTransition):
            end(mine, NOW)
        assert [output.state for output in mine.outputs].count(OutputState.FAILED) == 0
    else:
        assert shown(balanced(end(mine, NOW + 9))) == postings
        assert mine.state == {"expire": "expired", "fail": "failed"}[operation]
        assert mine.updated == NOW + 9


def test_a_failed_lightning_payout_is_booked_in_the_payout_coin() -> None:
    mine = swap_order(State.PAYING, credited=14 * XMR, payout_coin="msat")
    mine.outputs[0].amount = 10**10
    assert shown(balanced(desk.fail(mine, NOW))) == "order:7 msat +10000000000, unowed:failed msat -10000000000"


# -- the chain of entries -----------------------------------------------------------------------------------------


def test_legs_of_nothing_are_left_out() -> None:
    assert ledger.move("btc", ("a", 0), ("b", 5), ("c", -5), ("d", 0)) == [("b", "btc", 5), ("c", "btc", -5)]


@pytest.mark.parametrize(
    ("postings", "text"),
    [
        ([("coins", "btc", 1)], "out of balance by 1 btc"),
        ([("coins", "btc", 5), ("order:1", "btc", -4)], "out of balance by 1 btc"),
        ([("coins", "btc", 5), ("order:1", "xmr", -5)], "out of balance by 5 btc"),
        ([("coins", "btc", 5), ("order:1", "btc", -5), ("x", "ltc", -1)], "out of balance by -1 ltc"),
    ],
)
def test_an_entry_out_of_balance_is_refused(postings: list[tuple[str, str, int]], text: str) -> None:
    with pytest.raises(RecordError, match=text):
        ledger.check(Entry("x", 0, "any", postings=[Posting(*posting) for posting in postings]))


ENTRIES = st.builds(
    Entry,
    kind=st.text(max_size=8),
    at=st.integers(0, 2**40),
    service=st.text(max_size=8),
    order=st.none() | st.integers(1, 10**9),
    postings=st.lists(
        st.builds(Posting, st.text(max_size=12), st.sampled_from(["btc", "xmr"]), st.integers(-(2**62), 2**62)),
        max_size=3,
    ),
    docs=st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5)), max_size=3),
    detail=st.none() | st.dictionaries(st.text(max_size=4), st.integers(0, 9), max_size=2),
)


@given(ENTRIES)
def test_an_entry_reads_as_it_was_written(entry: Entry) -> None:
    assert ledger.read(ledger.body(entry)) == entry
    assert ledger.body(ledger.read(ledger.body(entry))) == ledger.body(entry)


def test_an_entry_holds_more_than_64_bits() -> None:
    """Ether in wei: 10**20 is a hundred of them."""
    entry = Entry("x", 0, "any", postings=ledger.move("eth", ("coins", 10**20), ("order:1", -(10**20))))
    assert ledger.read(ledger.body(entry)) == entry


def test_the_link_covers_number_body_and_what_was_before() -> None:
    first = ledger.link(ledger.GENESIS_HASH, 1, b"body")
    assert first == hashlib.sha256(bytes(32) + bytes(7) + b"\x01" + b"body").digest()
    others = [
        ledger.link(ledger.GENESIS_HASH, 2, b"body"),
        ledger.link(ledger.GENESIS_HASH, 1, b"bodx"),
        ledger.link(first, 1, b"body"),
    ]
    assert len({first, *others}) == 4


def test_digests() -> None:
    assert ledger.digest(b"") == hashlib.blake2b(digest_size=16).hexdigest() != ledger.digest(b"a")
