"""docs/results.md is what scripts/results.py lays out."""

from __future__ import annotations

import pytest

from glasstumbler.lab.methods.base import ANSWERS
from glasstumbler.lab.methods.registry import METHODS
from glasstumbler.lab.results import CAVEAT, Bootstrap, DatasetInfo, Results, Row
from tests.docs.runner import ROOT, script

PAGE = ROOT / "docs" / "results.md"
SCRIPT = script("results")


@pytest.fixture
def results() -> Results:
    rows = [
        Row("T2", "null", "chance", "hit@1", 0.1, 0.05, 0.15, 40),
        Row("T2", "demixing", "method", "hit@1", 0.5, 0.4, 0.6, 40),
        Row("T2", "demixing", "method", "hit@1", 0.75, None, None, 20, volume=10),
        Row("T2", "demixing", "method", "hit@1", 0.25, None, None, 20, volume=1000),
        Row("T2", "demixing", "method", "hit@1", 0.2, None, None, 20, left_out="whir"),
        Row("T2", "ceiling", "ceiling", "hit@1", 0.9, 0.8, 1.0, 40),
    ]
    return Results(DatasetInfo("sweep", 9, "fast", 60, "test", "00"), "period train", Bootstrap(1000, 0.95, 1), rows)


def test_the_page_begins_and_ends_as_the_script_has_it() -> None:
    """The figures between are a run of minutes."""
    empty = SCRIPT.page([])
    lead, reported = empty.split("## Reported elsewhere")
    text = PAGE.read_text()
    assert text.startswith(lead.rstrip()) and text.endswith(reported)
    assert CAVEAT in text


def test_every_method_has_a_figure_on_the_page() -> None:
    text = PAGE.read_text()
    chance = {name for name in METHODS if name.startswith("null")}
    assert [name for name in METHODS.keys() - chance if f"| `{name}` | " not in text] == []
    assert [task for task in ANSWERS if f"### {task}: " not in text] == []


def test_figures_stand_beside_chance_and_ceiling(results: Results) -> None:
    text = SCRIPT.page([results])
    assert "## sweep: 60 orders, seed 9" in text
    whole, cuts = text.split("hit@1 by orders a day:")
    assert "| *chance* | 0.100 (0.050 to 0.150) |  |  |  |" in whole
    assert "| `demixing` | 0.500 (0.400 to 0.600) |  |  |  |" in whole
    assert "| *ceiling* | 0.900 (0.800 to 1.000) |  |  |  |" in whole
    assert "| Method | 10 | 1,000 |" in cuts and "| `demixing` | 0.750 | 0.250 |" in cuts
    assert "hit@1 of a service with none of its orders known:\n\n| Method | whir |" in cuts
