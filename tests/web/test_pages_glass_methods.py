"""The methods asked about one order, over HTTP and without scripts: a form, a page that refreshes, the answers."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.web.server import NO_LIMITS, ONE_CHAIN, Lab, laboratory
from tests.web.test_pages_glass import completed

pytestmark = pytest.mark.timeout(600)
PATIENCE = 500
"""Seconds; most are spent compiling, where nothing of it is kept from an earlier run."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with laboratory(tmp_path_factory.mktemp("small") / "data", extra={**NO_LIMITS, **ONE_CHAIN}) as running:
        yield running


def family(process: str) -> list[str]:
    """Processes that it began, and theirs."""
    begun = [each for task in Path(f"/proc/{process}/task").glob("*/children") for each in task.read_text().split()]
    return [*begun, *(each for child in begun for each in family(child))]


def test_answers_stand_beside_the_truth(small: Lab) -> None:
    name = completed(small)
    with httpx.Client(base_url=small.urls["hub"], timeout=60) as browser:
        glass = f"/glass/whir/{name}"
        asked = browser.post(f"{glass}/methods")
        assert (asked.status_code, asked.headers["location"]) == (303, f"{glass}#methods")
        end = time.monotonic() + PATIENCE
        while 'http-equiv="refresh"' in (page := browser.get(glass).text):
            assert time.monotonic() < end
            time.sleep(1)
        methods = browser.get("/docs/methods").text
    rows = re.findall(r'<a class="mono" href="/docs/methods#([a-z-]+)">\1</a>', page)
    assert all(f'<h3 id="{name}">' in methods for name in rows), "each has a place of its own there"
    assert {"cospend", "taint-poison", "taint-haircut", "coinjoin-rule"} <= set(rows), page
    assert "These answers speak of this service's policy" in page
    assert "Methods that were not asked, and why" in page


def test_a_server_that_stops_leaves_nothing_asking(tmp_path: Path) -> None:
    with laboratory(tmp_path / "data", extra={**NO_LIMITS, **ONE_CHAIN}) as running:
        name = completed(running)
        httpx.post(f"{running.urls['hub']}/glass/whir/{name}/methods", timeout=60)
        end = time.monotonic() + 60
        while len(asking := family(str(running.process.pid))) < 2:  # who asks, and the method that is asked
            assert time.monotonic() < end
            time.sleep(0.1)
    assert not [each for each in asking if Path(f"/proc/{each}").exists()]
