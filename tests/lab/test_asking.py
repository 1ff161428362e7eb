"""What methods say of one order: each is asked or says why not, and what is right is told from what is wrong."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from glasstumbler.errors import DatasetError
from glasstumbler.lab import asking
from glasstumbler.lab.asking import Case
from glasstumbler.lab.methods.base import ANSWERS
from glasstumbler.lab.methods.registry import METHODS
from glasstumbler.lab.tasks import Dataset
from tests.lab.conftest import exported, worked


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with closing(worked()) as lab:
        lab.house.advance(7200)
        lab.settle()
        yield exported(lab, tmp_path_factory.mktemp("asking")).parent


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return Dataset(folder)


def case(dataset: Dataset, service: str, coin: str = "btc") -> Case:
    orders = dataset.orders.filter(pl.col("service") == service, pl.col("payout_coin") == coin)
    return asking._case(dataset, service, str(orders["order_id"][0]))


LINK = pl.DataFrame(ANSWERS["T2"].empty_table()).schema


def linked(deposits: Iterable[tuple[str, int]], payouts: Sequence[tuple[str, int]]) -> pl.DataFrame:
    """An answer that names these payouts of each deposit, the first as the likeliest."""
    rows = [(*d, *p, 1.0 - place / 10) for d in sorted(deposits) for place, p in enumerate(payouts)]
    return pl.DataFrame(rows, schema=LINK, orient="row")


def test_every_method_is_asked_or_says_why_not(dataset: Dataset) -> None:
    for service in ("coinjoin", "bestmixer", "xmrto"):
        mine = case(dataset, service)
        asked = {name for name in METHODS if not asking._why_not(name, mine)}
        assert asked
        assert {METHODS[name].task for name in asked} <= set(asking._JUDGES)
    assert set(asking.NOT_ASKED) < set(METHODS)


def test_links_are_right_partly_wrong_or_silent(dataset: Dataset) -> None:
    mine = case(dataset, "bestmixer")
    own = sorted(mine.payouts)
    others = sorted(set(dataset.links.select("payout_coin", "payout_output").iter_rows()) - mine.payouts)
    assert len(own) == 3
    judge = asking._linked
    assert judge(mine, linked(mine.deposits, own))[0] == "right"
    verdict, said, _ = judge(mine, linked(mine.deposits, [own[0], *others]))
    assert verdict == "partly"
    assert "1 of this order" in said
    assert "one of order" in said
    assert judge(mine, linked(mine.deposits, others))[0] == "wrong"
    assert judge(mine, linked(mine.deposits, []))[0] == "silent"
    assert judge(mine, linked(mine.deposits, [*own, *others]))[0] == "right"  # as many as it has count


def test_taint_is_held_against_value_and_coins_stand_beside(dataset: Dataset) -> None:
    mine = case(dataset, "whir")  # paid from the float, not from its deposit
    columns = ["coin", "output", "tainted"]
    everything = dataset.links.select("payout_coin", "payout_output").unique()
    own = pl.DataFrame([(*each, 1.0) for each in mine.payouts], schema=columns, orient="row")
    verdict, _, truth = asking._tainted(mine, own)
    assert verdict == "right"
    assert "went into 0 of them" in truth
    whole = pl.DataFrame([(*each, 0.5) for each in everything.iter_rows()], schema=columns, orient="row")
    assert asking._tainted(mine, whole)[0] == "partly"
    assert asking._tainted(mine, whole.head(0))[0] == "silent"
    moved = asking._tainted(case(dataset, "coinjoin"), whole)[2]
    assert "went into 2 of them" in moved


def test_clusters_count_who_is_the_services(dataset: Dataset) -> None:
    mine = case(dataset, "coinjoin")
    ((coin, address),) = mine.addresses(mine.deposits)
    wallet = dataset.wallets.filter(pl.col("coin") == coin, pl.col("service") == "coinjoin")["address"].to_list()
    (stranger, *_) = sorted(number for _, number in mine.addresses(mine.payouts))

    def joined(addresses: list[int]) -> pl.DataFrame:
        return pl.DataFrame({"coin": coin, "address": addresses, "cluster": [7] * len(addresses)})

    assert asking._clustered(mine, joined(wallet))[0] == "right"
    assert asking._clustered(mine, joined([*wallet, stranger]))[0] == "partly"
    assert asking._clustered(mine, joined([address, stranger]))[0] == "wrong"
    assert asking._clustered(mine, joined([address]))[0] == "silent"


def test_a_detector_is_right_if_it_names_the_deposit_address_and_no_payout(dataset: Dataset) -> None:
    mine = case(dataset, "coinjoin")
    ((coin, address),) = mine.addresses(mine.deposits)
    (stranger, *_) = sorted(number for _, number in mine.addresses(mine.payouts))

    def ranked(addresses: list[int]) -> pl.DataFrame:
        return pl.DataFrame({"coin": coin, "address": addresses, "score": [1.0] * len(addresses)})

    verdict, said, _ = asking._roles(mine, ranked([address]))
    assert verdict == "right"
    assert "told to it, as a tag" in said
    assert asking._roles(mine, ranked([address, stranger]))[0] == "partly"
    assert asking._roles(mine, ranked([stranger]))[0] == "wrong"
    assert asking._roles(mine, ranked([address]).head(0))[0] == "silent"


def test_a_payment_that_is_called_a_coinjoin_is_none(dataset: Dataset) -> None:
    mine = case(dataset, "coinjoin")
    coin, output = min(mine.payouts)
    tx = int(dataset.public.graph(coin).tx_of_output[output])
    flagged = pl.DataFrame({"coin": [coin], "tx": [tx]})
    assert asking._unmixed(mine, flagged)[0] == "wrong"
    assert asking._unmixed(mine, flagged.head(0))[0] == "right"


def test_an_order_with_nothing_on_a_chain_is_not_asked_about(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="nothing to ask yet"):
        case(dataset, "xmrto", "msat")
    with pytest.raises(DatasetError, match="no order"):
        asking._case(dataset, "whir", "nothing")


def test_methods_answer_of_a_swap_behind_the_wall(folder: Path, dataset: Dataset) -> None:
    """The order with the fewest methods to ask; taint finds nothing, since no coin crosses chains."""
    order = str(dataset.orders.filter(pl.col("service") == "xmrto", pl.col("payout_coin") == "btc")["order_id"][0])
    told: list[str] = []
    answers = asking.ask(folder, "xmrto", order, lambda at, done, of: told.append(at))
    assert [answer.method for answer in answers] == list(METHODS)
    verdicts = {answer.method: answer.verdict for answer in answers}
    assert verdicts["taint-haircut"] == "silent"
    assert verdicts["cospend"] == verdicts["demixing"] == "not asked"
    assert set(told) == {name for name, verdict in verdicts.items() if verdict != "not asked"}
    assert not [answer for answer in answers if "failed" in answer.said]


def test_what_asks_gives_methods_only_what_their_task_grants() -> None:
    """Their process is started on the observer's folder; the truth is joined after they have answered."""
    source = inspect.getsource(asking.ask)
    assert '(folder / "observer")' in source
    assert source.index("worker.run") < source.index("_JUDGES")
