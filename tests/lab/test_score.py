"""`glasstumbler score` on a small simulated dataset: what is scored is what the answer key says, the truth scores 1,
saying nothing scores as chance, and what goes wrong with one method is named and stops no other."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from glasstumbler.errors import MethodError
from glasstumbler.lab import results, scenario, tasks
from glasstumbler.lab.methods.base import ANSWERS
from glasstumbler.lab.results import Results, Row
from glasstumbler.lab.scoring import card, cast, shown, tainting, wall
from glasstumbler.lab.scoring.checked import Columns, checked
from glasstumbler.lab.scoring.judge import Judge, Who
from glasstumbler.lab.scoring.judge_addresses import ClusterJudge, RoleJudge
from glasstumbler.lab.scoring.judge_links import LinkJudge
from glasstumbler.lab.scoring.judge_transactions import MappingJudge, TaintJudge
from glasstumbler.lab.scoring.linking import NOT_SCORED
from glasstumbler.lab.scoring.run import score
from glasstumbler.lab.scoring.scene import Scene
from glasstumbler.lab.simulate import simulate
from glasstumbler.lab.tasks import Dataset
from tests.lab.conftest import rows_of

SCENARIO = """
about = "a test"
chains = ["btc", "xmr"]
volumes = [200, 2000]
[services]
whir = 1
btcmix = 1
xmrto = 1
[economy]
people = 20
payments_a_day = 50
coinjoins_a_day = 20
exchanges = 1
payroll_people = 3
[funding]
one = 85
several = 15
late = 0
short = 0
excess = 0
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("simulated")
    (place / "small.toml").write_text(SCENARIO)
    simulate("small", scenario.load(str(place / "small.toml")), 60, 3, place / "dataset")
    return place / "dataset"


@pytest.fixture(scope="module")
def scene(small: Path) -> Scene:
    dataset = Dataset(small)
    return Scene(dataset, tasks.by_period(dataset))


# -- the tables of simulations ----------------------------------------------------------------------------------------


def test_the_earlier_orders_of_every_volume_teach(small: Path, scene: Scene) -> None:
    split = {(row["service"], row["order_id"]): row for row in rows_of(small, "answers/split")}
    orders = rows_of(small, "answers/order")
    mine = [split[order["service"], order["order_id"]] for order in orders]
    assert scene.split.training.tolist() == [row["period"] == "train" for row in mine]
    assert scene.volume_of.tolist() == [row["volume"] for row in mine]
    assert [scene.services[one] for one in scene.service_of] == [order["service"] for order in orders]


def test_addresses_belong_to_services_and_to_people(small: Path, scene: Scene) -> None:
    owners = {(row["coin"], row["address"]): row["owner"] for row in rows_of(small, "answers/owner")}
    names = {row["name"]: row["address"] for row in rows_of(small, "observer/address") if row["coin"] == "btc"}
    wallets = {
        names[row["address"]]: row["service"]
        for row in rows_of(small, "answers/wallet_truth")
        if row["address"] in names
    }
    found = tasks.truth(scene.dataset, "T4").to_pylist()
    assert len(found) == len({**{("btc", address): 0 for address in wallets}, **owners})
    clusters = defaultdict(set)
    for row in found:
        clusters[row["cluster"]].add(wallets.get(row["address"], owners.get((row["coin"], row["address"]))))
    assert all(len(whose) == 1 for whose in clusters.values())
    assert len({next(iter(whose)) for whose in clusters.values()}) == len(clusters)


def test_the_feed_is_the_observers(small: Path, scene: Scene) -> None:
    feed = tasks.told(scene.dataset, "T6", scene.split).prices
    assert feed is not None
    assert feed.to_pylist() == rows_of(small, "observer/price")


# -- what is scored ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["T2", "T6", "T8"])
def test_the_key_of_links_is_the_answer_keys(small: Path, scene: Scene, task: str) -> None:
    own = tasks.own_orders(scene.dataset, each=2) if task == "T8" else np.zeros(0, np.int64)
    asked = scene.asked(task, own)
    wanted, value, deposits = defaultdict(set), defaultdict(lambda: defaultdict(float)), defaultdict(set)
    orders = {(row["service"], row["order_id"]): n for n, row in enumerate(rows_of(small, "answers/order"))}
    base = dict(zip(scene.coins, scene.first_output.tolist(), strict=False))
    for link in rows_of(small, "answers/link"):
        order = orders[link["service"], link["order_id"]]
        if link["payout_output"] is None or (link["deposit_coin"] == link["payout_coin"]) == (task == "T6"):
            continue
        if (order in own) if task == "T8" else scene.split.training[order]:
            assert asked.key.order_of[base[link["deposit_coin"]] + link["deposit_output"]] == NOT_SCORED
            continue
        payout = base[link["payout_coin"]] + link["payout_output"]
        wanted[order].add(payout)
        value[order][payout] += float(link["amount"])
        deposits[order].add(base[link["deposit_coin"]] + link["deposit_output"])
    assert asked.rows.tolist() == sorted(wanted)
    for place, order in enumerate(asked.rows.tolist()):
        mine = slice(asked.key.first[place], asked.key.first[place + 1])
        assert set(asked.key.payouts[mine].tolist()) == wanted[order]
        whole = sum(value[order].values())
        assert asked.key.share[mine] == pytest.approx([value[order][one] / whole for one in asked.key.payouts[mine]])
        assert set(np.flatnonzero(asked.key.order_of == place).tolist()) == deposits[order]
        assert asked.key.several[place] == (len(deposits[order]) > 1)


# -- the truth and nothing --------------------------------------------------------------------------------------------


def judge_of(scene: Scene, task: str) -> Judge:
    if task in ("T2", "T3", "T6", "T8"):
        return LinkJudge(scene, task, tasks.own_orders(scene.dataset, 2) if task == "T8" else np.zeros(0, np.int64))
    if task == "T5":
        return TaintJudge(scene, tainting.cases(scene.dataset))
    return {"T1": RoleJudge, "T4": ClusterJudge, "T7": MappingJudge}[task](scene)


def truth_of(scene: Scene, task: str) -> list[Columns]:
    """The answer key as an answer."""
    own = tasks.own_orders(scene.dataset, 2).tolist() if task == "T8" else []
    asked = tainting.cases(scene.dataset) if task == "T5" else [None]
    found = []
    for case in asked:
        table = pl.DataFrame(tasks.truth(scene.dataset, task, own if case is None else [case]))
        if task == "T5":
            table = table.filter(pl.col("custody") > 0).with_columns(tainted="custody")
        if "score" not in table.columns:
            table = table.with_columns(score=pl.lit(1.0))
        names = ANSWERS[task].names
        found.append(checked(table.select(names).unique().to_arrow(), task, scene.public, True))
    return found


TRUE = Who("truth", "method", True)
BEST = {
    "T1": {"PR-AUC": 1, "precision at 0.1% false": None, "precision at 1.0% false": None},
    "T2": {"hit@1": 1, "MRR": 1, "set F1": 1, "value recall": 1, "Brier": 0, "anonymity set": 1, "coverage": 1},
    "T3": {"precision": 1, "recall": 1, "F1": 1},
    "T4": {"B3 F1": 1, "pair precision": 1, "pair recall": 1, "ARI": 1, "over-merges": 0, "owners in one cluster": 1},
    "T5": {"value precision, custody": 1, "value recall, custody": 1, "flagged per true, custody": 1},
    "T6": {"precision": 1, "recall": 1, "F1": 1, "coverage": 1},
    "T7": {"AUC": 1, "deducible share": 1, "precision of the sure": 1, "Brier": 0},
    "T8": {"hit@1": 1, "set F1": 1},
}


@pytest.mark.parametrize("task", BEST)
def test_the_truth_scores_best(scene: Scene, task: str) -> None:
    verdict = judge_of(scene, task).judge(TRUE, truth_of(scene, task))
    whole = {row.measure: row for row in verdict.rows if not row.service and not row.volume}
    for measure, value in BEST[task].items():
        assert value is None or whole[measure].value == pytest.approx(value), measure
    assert all(row.n > 0 for row in verdict.rows)
    if task not in ("T1", "T4", "T7"):
        assert {row.volume for row in verdict.rows} == {0, 200, 2000}
    assert not verdict.examples or task == "T5"  # of T5 the worst case is shown, however good it is


def test_beneficial_truth_is_found_by_who_knows_it(scene: Scene) -> None:
    judge, found = TaintJudge(scene, tainting.cases(scene.dataset)), []
    for case in judge.cases:
        table = pl.DataFrame(tasks.truth(scene.dataset, "T5", [case])).filter(pl.col("beneficial") > 0)
        table = table.select("coin", "output", tainted="beneficial")
        found.append(checked(table.to_arrow(), "T5", scene.public, True))
    rows = {row.measure: row.value for row in judge.judge(TRUE, found).rows if not row.service and not row.volume}
    assert rows["value precision, beneficial"] == rows["value recall, beneficial"] == pytest.approx(1)


@pytest.mark.parametrize("task", BEST)
def test_saying_nothing_finds_nothing(scene: Scene, task: str) -> None:
    judge = judge_of(scene, task)
    nothing = checked(ANSWERS[task].empty_table(), task, scene.public, True)
    verdict = judge.judge(TRUE, [nothing] * len(truth_of(scene, task)))
    whole = {row.measure: row.value for row in verdict.rows if not row.service and not row.volume}
    wanted = {
        "T1": {"PR-AUC": whole.get("precision at 1.0% false")},
        "T4": {"B3 precision": 1, "pair recall": 0, "ARI": 0, "pair precision": None},
        "T5": {"value recall, custody": 0, "value precision, custody": None},
        "T7": {"AUC": 0.5, "deducible share": 0},
        "T2": {"hit@20": 0, "coverage": 0, "anonymity set": None},
        "T8": {"hit@20": 0, "coverage": 0},
    }.get(task, {"recall": 0, "F1": 0, "precision": None})
    assert {measure: whole[measure] for measure in wanted} == pytest.approx(wanted)


def test_tags_are_given_away_and_not_scored(scene: Scene) -> None:
    tags = pl.DataFrame(scene.public.tags).select("coin", "address").unique()
    judge = judge_of(scene, "T1")
    row = judge.judge(TRUE, truth_of(scene, "T1")).rows[0]
    assert len(tags) and row.n == int(scene.first_address[-1]) - len(tags)


# -- the command ------------------------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "scores.md"
MINE = """
from glasstumbler.lab.methods.base import About


class Mine(Nearest):
    about = About("none", "<b>the nearest</b> amount", "the chain", "square", "often")


class Broken(Nearest):
    name = "broken"

    def predict(self, public):
        return super().predict(public).slice(0, 1).append_column("why", pa.array([1]))
"""
"""What the page shows as a method of one's own comes before it."""
METHODS = ("demixing", "fifo-time", "cospend", "taint-fifo", "swap-match", "link-entropy", "own-orders")
needs_wall = pytest.mark.skipif(bool(wall.lacking()), reason="no wall can be built here: " + wall.lacking())


@pytest.fixture(scope="module")
def done(small: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    place = tmp_path_factory.mktemp("score")
    (shown_on_page,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (place / "mine.py").write_text(shown_on_page + MINE)
    own = () if wall.lacking() else (f"{place}/mine.py:Mine", "mine:Broken")
    chosen = [part for name in (*METHODS, *own) for part in ("--method", name)]
    command = [sys.executable, "-m", "glasstumbler", "score", str(small), *chosen, "--out", str(place / "out")]
    return subprocess.run(command, capture_output=True, text=True, cwd=place), place / "out"


@pytest.fixture(scope="module")
def found(done: tuple[subprocess.CompletedProcess[str], Path]) -> Results:
    return results.read(done[1] / "results.json")


def of(found: Results, method: str, measure: str, **other: object) -> Row:
    wanted = {"service": "", "volume": 0, "left_out": "", **other}
    (row,) = (
        row
        for row in found.rows
        if (row.method, row.measure) == (method, measure) and all(getattr(row, n) == v for n, v in wanted.items())
    )
    return row


@needs_wall
def test_the_command_scores_all_and_names_what_failed(done: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    ran, _ = done
    assert ran.returncode == 1
    assert ran.stdout.splitlines()[-1].startswith("failed: broken: its answer has the columns deposit_coin, ")
    assert "Traceback" not in ran.stderr + ran.stdout
    assert ran.stdout.startswith("small, seed 3 (for train), 60 orders, signed; taught by: period train")
    assert results.CAVEAT in ran.stdout and "demixing" in ran.stdout and "nearest-amount (own)" in ran.stdout


def test_every_task_stands_beside_chance_and_ceiling(found: Results) -> None:
    roles = defaultdict(set)
    for row in found.rows:
        roles[row.task].add(row.role)
    assert set(roles) == {"T2", "T3", "T4", "T5", "T6", "T7", "T8"}
    assert all("chance" in each and "method" in each for each in roles.values())
    assert {task for task, each in roles.items() if "ceiling" in each} == {"T2", "T3", "T6", "T8"}
    assert found.dataset.seed_is_for == "train" and found.split == "period train"
    assert {timing.method for timing in found.timings} >= set(METHODS)
    assert any("after a swap to another chain" in remark for remark in found.remarks)


def test_scores_lie_between_chance_and_ceiling(found: Results) -> None:
    chance, method, ceiling = (of(found, name, "hit@1", task="T2") for name in ("null", "demixing", "ceiling"))
    assert chance.value is not None and method.value is not None and ceiling.value is not None
    assert chance.value < method.value <= ceiling.value + 0.05
    assert method.low is not None and method.high is not None and method.low <= method.value <= method.high
    assert of(found, "cospend", "B3 precision").value == 1
    gained = of(found, "own-orders", "bits gained").value
    assert gained is not None and gained > 0
    assert of(found, "fifo-time", "lift over T2").value is not None
    assert of(found, "taint-fifo", "value recall, beneficial", service="xmrto").value == 0


def test_a_left_out_service_teaches_nothing(found: Results) -> None:
    left = [row for row in found.rows if row.left_out and row.measure == "hit@1"]
    assert {(row.left_out, row.service) for row in left if row.method == "demixing"} == {
        ("whir", "whir"),
        ("btcmix", "btcmix"),
    }
    for row in left:
        assert row.n == of(found, "demixing", "hit@1", service=row.left_out, task="T2").n


@needs_wall
def test_a_method_of_ones_own_appears_beside_the_others(
    done: tuple[subprocess.CompletedProcess[str], Path], found: Results
) -> None:
    row = of(found, "nearest-amount", "hit@1", task="T2")
    assert row.role == "own" and row.value is not None and row.n == of(found, "demixing", "hit@1", task="T2").n
    page = (done[1] / "cards" / "t2-nearest-amount.html").read_text()
    assert "&lt;b&gt;the nearest&lt;/b&gt;" in page and "<b>" not in page
    assert "\\<b\\>the nearest" in (done[1] / "cards" / "t2-nearest-amount.md").read_text()


def test_cards_say_what_is_to_be_known(done: tuple[subprocess.CompletedProcess[str], Path], found: Results) -> None:
    cards = done[1] / "cards"
    taint, mixing = (cards / "t5-taint-fifo.md").read_text(), (cards / "t2-demixing.md").read_text()
    assert "it is right that it fails" in taint and "Against beneficial truth" in taint
    assert "Where it was most surely wrong" in taint and "Where it does worst (hit@1)" in mixing
    for path in cards.iterdir():
        assert results.CAVEAT in path.read_text()
        assert "http" not in path.read_text().replace("http-equiv", "")
    with (done[1] / "results.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(found.rows)


def test_curves_rise_to_the_right(found: Results) -> None:
    kinds = {(curve.method, curve.kind) for curve in found.curves}
    assert {("demixing", "calibration"), ("demixing", "precision-recall"), ("link-entropy", "calibration")} <= kinds
    for curve in found.curves:
        assert curve.x == sorted(curve.x) and max(curve.x, default=0) <= 1
        assert len(curve.x) == len(curve.y) == len(curve.n)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("DATASET/observer",), "is no dataset: it has no manifest.json"),
        (("DATASET", "--method", "magic"), "no method is called 'magic'; these are: hybrid-motifs, "),
        (("DATASET", "--task", "T9"), "no task is called 'T9'; these are: T1, "),
        (("DATASET", "--seconds", "0"), "--seconds and --memory are more than 0"),
        (("DATASET", "--out", "DATASET"), "is a dataset: scores go elsewhere"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    small: Path,
    arguments: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from glasstumbler import cli

    monkeypatch.setattr(
        sys, "argv", ["glasstumbler", "score", *(one.replace("DATASET", str(small)) for one in arguments)]
    )
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and said in err


def test_a_test_seed_says_so(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = Path(shutil.copytree(small, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "seed": 9, "seed_is_for": "test"}))
    found = score(copy, ["coinjoin-rule"])
    assert found.results.remarks[0].startswith("This is a test seed: it is scored once")
    shown.show(found.results)
    assert capsys.readouterr().out.startswith("small, seed 9 (for test), 60 orders")
    (page,) = (page for name, page in card.cards(found.results, found.judged) if name == "t7-coinjoin-rule")
    assert page.remarks == [found.results.remarks[0]]


def test_scores_do_not_depend_on_how_many_answer_side_by_side(small: Path, tmp_path: Path) -> None:
    chosen = ["mixing-patterns", "demixing", "demixing-joint", "fifo-time", "taint-fifo", "swap-match", "own-orders"]
    seen = []
    for processes in (1, 3):
        done = score(small, chosen, processes=processes)
        found = msgspec.structs.replace(done.results, timings=[])
        pages = [(name, page) for name, page in card.cards(found, done.judged)]
        seen.append((msgspec.json.encode(found), pages, [(one.task, one.method) for one in done.results.timings]))
    assert seen[0] == seen[1]
    assert len(seen[0][2]) > len(chosen)  # chance, too


@needs_wall
def test_of_a_method_that_fails_nothing_more_is_asked(small: Path, tmp_path: Path) -> None:
    """Though services left out were asked about beside it."""
    (shown_on_page,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "mine.py").write_text(shown_on_page + MINE)
    found = score(small, [f"{tmp_path}/mine.py:Broken", "null"], processes=2).results
    assert len(found.failures) == 1
    assert {row.method for row in found.rows if row.role != "ceiling"} == {"null"}


def test_without_cards_there_is_no_folder_of_them(small: Path, tmp_path: Path) -> None:
    found = score(small, ["coinjoin-rule"])
    assert card.write(found.results, [], tmp_path / "cards") == []
    assert not (tmp_path / "cards").exists()


def test_names_of_ones_own_methods_are_held_to_be_new(small: Path) -> None:
    with pytest.raises(MethodError, match="no method is called"):
        cast.check(["nothing"], [])
    found = score(small, ["numpy:ndarray"], ["T7"])
    (failure,) = found.results.failures
    assert failure.method == "numpy:ndarray"
    assert "its task is ''" in failure.what or "only where it cannot open the answer key" in failure.what
    assert not found.results.rows


def test_an_answer_is_a_table() -> None:
    """The interface that docs/scores.md tells of."""
    assert {task: schema.names for task, schema in ANSWERS.items()}["T5"] == ["coin", "output", "tainted"]
    assert all(isinstance(schema, pa.Schema) for schema in ANSWERS.values())
