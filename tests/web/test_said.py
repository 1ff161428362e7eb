"""Asking the methods from the pages: nothing is loaded before, one order at a time, not of too large a record."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing

import pytest

from glasstumbler.errors import Overloaded
from glasstumbler.web.pages import said
from glasstumbler.web.pages.said import Said
from tests.laboratory import Laboratory


def test_the_pages_load_nothing_that_methods_need() -> None:
    heavy = ("numpy", "numba", "polars", "pyarrow", "sklearn")
    code = f"import sys, glasstumbler.web.pages.sections; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_one_order_is_asked_about_at_a_time_and_a_large_record_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Laboratory("btc")) as lab:
        asked = Said(lab.house, lambda: False)
        job = asked.begin("whir", "A")
        assert job is not None
        assert asked.begin("whir", "A") is None
        with pytest.raises(Overloaded):
            asked.begin("whir", "B")
        monkeypatch.setattr(said, "BLOCKS_MOST", 0)
        asked.work(job, "whir", "A")
        assert job.wrong == said.BOUND
        assert asked.begin("whir", "B") is not None
