"""docs/methods.md says what every registered method says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from glasstumbler.lab.methods.base import ANSWERS, Method
from glasstumbler.lab.methods.page import TASKS, page, section
from glasstumbler.lab.methods.registry import METHODS

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"


def test_the_page_is_what_the_methods_say() -> None:
    assert page(METHODS.values()) == PAGE.read_text(), "run: python -m glasstumbler.lab.methods.page > docs/methods.md"


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_method_stands_on_the_page_and_is_told_whole(method: type[Method]) -> None:
    assert section(method) in PAGE.read_text()
    about = method.about
    assert all(text.endswith(".") for text in (about.paper, about.rule, about.knows, about.cost, about.fails))
    assert method.task in ANSWERS


def test_what_was_reported_elsewhere_stands_by_its_method() -> None:
    told = {name for name, method in METHODS.items() if method.about.elsewhere}
    assert {"demixing", "mixing-patterns", "swap-match", "fifo-time", "coinjoin-rule", "cospend"} <= told
    assert "- **Reported elsewhere.** 99.14 %" in section(METHODS["demixing"])
    assert "Reported elsewhere" not in section(METHODS["null"])


def test_every_task_has_a_title() -> None:
    assert set(TASKS) == set(ANSWERS)
