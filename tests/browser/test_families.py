"""Every family of pages with an order behind it, on a phone in the dark: nothing for axe to find.

A file of its own: the laboratory must be made before a browser is here, whose event loop stays in this thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe

from glasstumbler.web.background import served
from tests.browser.conftest import PHONE, Open
from tests.browser.test_design import WCAG
from tests.lab.conftest import worked
from tests.laboratory import Laboratory
from tests.web.families import SAMPLES


@pytest.fixture(scope="module")
def shown() -> Iterator[dict[str, str]]:
    """A laboratory with an order of every kind: its hub, and the names that samples of pages want."""
    with closing(worked()) as lab, served(lab.house, turning=False) as serving, httpx.Client(timeout=60) as client:
        client.base_url = hub = serving.url("hub")
        asked = client.get("/xmrto/api/v3/xmr2btc/order_parameter_query/")
        assert asked.status_code == 200
        number, *_ = re.findall(r'href="/console/requests/([0-9]+)"', client.get("/console/requests").text)
        names = {order.service: order.id for order in lab.orders()}
        yield {"hub": hub, "asked": number, **names, **_on_chain(lab, client)}


def _on_chain(lab: Laboratory, client: httpx.Client) -> dict[str, str]:
    """A transaction of several inputs, with its block and an address."""
    chain = lab.house.chains["btc"]
    for height in range(chain.tip()[0], 0, -1):
        found = chain.block_hash(height)
        assert found is not None
        for tx in (each for each in chain.block(found).txs if len(each.inputs) > 1):
            page = client.get(f"/chains/btc/tx/{tx.txid}").text
            address, *_ = re.findall(r'href="/chains/btc/address/(\w+)"', page)
            return {"height": str(height), "txid": tx.txid, "address": address}
    raise AssertionError("every transaction has one input")


@pytest.mark.parametrize("sample", SAMPLES)
def test_axe_finds_nothing_in_any_family_on_a_phone_in_the_dark(
    sample: str, shown: dict[str, Any], browse: Open
) -> None:
    page = browse(sample.format(**shown), PHONE, dark=True, hub=shown["hub"])
    assert (page.get_by_role("heading", name="Not here", level=1).count() == 0) == (sample != "/nothing")
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": WCAG}})
    assert found.violations_count == 0, found.generate_report()
