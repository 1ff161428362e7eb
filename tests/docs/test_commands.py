"""Every command of the documentation is run, or stands in a table here with the reason why not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from glasstumbler.services import SERVICES
from tests.docs.runner import ROOT, Reader, blocks, page
from tests.web.server import NO_LIMITS, Lab, laboratory, run

ELSEWHERE = {
    "start": "tests/docs/test_guides.py",
    "teachers": "tests/docs/test_guides.py",
    "researchers": "tests/docs/test_guides.py",
    "tutorial": "tests/lab/test_tutorial.py",
    "client": "tests/client/test_guide.py",
    "integrators": "tests/web/test_integrators.py",
}
"""Pages that a test of their own reads from beginning to end."""

_POSTGRES = "needs a PostgreSQL with a database; tests/test_cli_postgres.py does the same on a server of its own"
_LONG = "runs for long, and is a test itself"
_SETS_UP = "sets a checkout up, which has been done when tests run"
_NODES = "starts real nodes; tests/nodes does, where they are installed"
NOT_RUN = {
    "README": {"make demo": _SETS_UP, "make serve": _SETS_UP},
    "configuration": {"createdb": _POSTGRES},
    "nodes": {"make nodes": _SETS_UP, "--nodes real": _NODES},
    "operations": {
        "createdb": _POSTGRES,
        "postgresql://USER@HOST": _POSTGRES,
        "python -m build": "brings every dependency anew; a test of its own builds the wheel and installs it",
        "docker": "needs a container engine, which no machine of these tests has",
    },
    "scale": {"pip install": "brings Spark, hundreds of megabytes; tests/lab/test_spark.py scores on it"},
    "scores": {"my_module": "takes minutes; tests/lab/test_score.py does it", "class Nearest": "the same"},
    "security": {"pip-audit": "asks a service on the network"},
    "terminal": {
        "jq": "needs jq; tests/test_cli_json.py reads the same lines",
        "completion": "goes into two shells' start files; tests/test_cli_json.py has bash complete",
    },
    "testing": {"make ": _LONG, "pytest": _LONG, "tests.nodes.differ": _NODES},
}
"""By page, a part of the block's text and why it is not run."""

SHORTER = {
    "report": {"score DATASET": "score DATASET --task T2 --method demixing"},
    "results": {
        "--orders 4000": "--orders 40",
        "--orders 1000": "--orders 40",
        "--orders 400 ": "--orders 40 ",
        "-scores\n": "-scores --task T2 --method demixing\n",
    },
    "terminal": {"watch --for 60": "watch --for 1"},
    "testing": {"torture --seed 17 ": "torture --seed 17 --steps 20 "},
}
"""What is left out of a command so that it ends soon. The page means the whole."""

NEEDS_LAB = ("127.0.0.1:87", "FOLDER", "glasstumbler orders")
"""What a page's commands say if a laboratory runs meanwhile."""

RUN = ("sh", "console", "python")
PAGES = ["README", *sorted(path.stem for path in (ROOT / "docs").glob("*.md"))]


def why_not(name: str, text: str) -> str | None:
    return next((why for part, why in NOT_RUN.get(name, {}).items() if part in text), None)


def shortened(name: str, text: str) -> str:
    for whole, part in SHORTER.get(name, {}).items():
        text = text.replace(whole, part)
    return text


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with laboratory(tmp_path_factory.mktemp("lab") / "lab", extra=NO_LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset") / "DATASET"
    code, _, wrong = run("simulate", "quiet-day", "--orders", "40", "--mode", "fast", "--out", folder)
    assert code == 0, wrong
    return folder


@pytest.mark.parametrize("name", [name for name in PAGES if name not in ELSEWHERE])
def test_the_commands_of_a_page(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    ours = [block for block in blocks(name) if block.kind in RUN and not why_not(name, block.text)]
    if not ours:
        return
    whole = "".join(block.text for block in ours)
    lab = request.getfixturevalue("lab") if any(sign in whole for sign in NEEDS_LAB) else None
    given: dict[str, str] = {}
    if lab and (slug := name.removeprefix("api-")) in SERVICES:
        given["KEY"] = lab.keys[slug]
    reader = Reader(tmp_path, lab, given)
    if "DATASET" in whole:
        (tmp_path / "DATASET").symlink_to(request.getfixturevalue("dataset"))
    if lab:
        for name_of_it in ("FOLDER", "glasstumbler-data"):
            (tmp_path / name_of_it).symlink_to(lab.folder)
    for block in ours:
        reader.read(block._replace(text=shortened(name, block.text)))


def test_the_tables_name_what_there_is() -> None:
    for name, parts in NOT_RUN.items():
        there = [block.text for block in blocks(name) if block.kind in RUN]
        assert [part for part in parts if not any(part in text for text in there)] == [], name
    for name, test in ELSEWHERE.items():
        assert page(name).exists()
        assert (ROOT / test).exists(), test


@pytest.mark.parametrize("name", PAGES)
def test_a_command_is_in_a_block_that_says_so(name: str) -> None:
    """What looks like a command and stands in a block of no kind would never be run."""
    text = page(name).read_text()
    unmarked = re.findall(r"^```\n(.*?)^```$", re.sub(r"^```\w+\n.*?^```$", "", text, flags=re.M | re.S), re.M | re.S)
    assert [text for text in unmarked if re.match(r"\s*(glasstumbler|curl|make|python|\$) ", text)] == []
