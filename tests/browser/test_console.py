"""The console by clicks: every operation of every service; on a phone, in the dark, without scripts, hostile text."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from glasstumbler.web.pages.contracts import operations
from tests.browser.conftest import PHONE, Open
from tests.test_security_pages import HOSTILE

SLUGS = ["bestmixer", "btcmix", "coinjoin", "whir", "xmrto"]


def names(slug: str) -> list[str]:
    """Operations that make an order first."""
    found = [each.name for each in operations(slug)]
    return sorted(found, key=lambda name: "create" not in name.lower())


def send(page: Page, name: str) -> Page:
    page.locator(f"#{name} > summary").click()
    page.locator(f"#{name} form.call button").click()
    expect(page.locator(f"#result-{name} .answer")).to_be_visible()
    return page


@pytest.mark.parametrize("slug", SLUGS)
def test_every_operation_is_sent_by_clicks(slug: str, browse: Open) -> None:
    page = browse(f"/console/{slug}")
    creating = [name for name in names(slug) if "create" in name.lower()]
    for name in creating:
        send(page, name)
    page.reload()  # now the others are filled in with the order that was made
    for name in names(slug):
        if name in creating:
            continue
        status = send(page, name).locator(f"#result-{name} .answer .state")
        expect(status).to_have_text("400" if "partial" in name else "200")


@pytest.mark.parametrize("slug", ["whir", "bestmixer"])
def test_what_is_signed_is_said_to_hold(slug: str, browse: Open) -> None:
    name = "createTransaction" if slug == "whir" else "orderCreate"
    page = send(browse(f"/console/{slug}", PHONE, dark=True), name)
    expect(page.locator(f"#result-{name} .notice.good")).to_contain_text("The signature holds.")


def test_without_scripts_the_answer_is_a_page(browse: Open) -> None:
    page = browse("/console/whir", scripts=False)
    page.locator("#createTransaction > summary").click()
    page.get_by_role("button", name="Send createTransaction").click()
    expect(page.locator(".answer .state")).to_have_text("200")
    expect(page.get_by_text("The signature holds.")).to_be_visible()
    page.goto("/console/requests")
    expect(page.locator(".log li").first).to_contain_text("createTransaction")


@pytest.mark.parametrize("evil", HOSTILE)
def test_hostile_text_stays_text(evil: str, browse: Open) -> None:
    page = browse("/console/whir")
    page.on("dialog", lambda dialog: pytest.fail("a script ran"))
    page.locator("#createTransaction > summary").click()
    page.locator("#createTransaction-body").fill(f'{{"delay": "{evil}", "payouts": {{}}}}')
    page.locator("#createTransaction form.call button").click()
    expect(page.locator("#result-createTransaction .answer .state")).to_have_text("400")
    page.goto("/console/requests?service=whir")
    page.locator(".log a").first.click()
    expect(page.get_by_role("heading", name="Request").first).to_be_visible()


def test_the_log_is_live(browse: Open) -> None:
    log, other = browse("/console/requests?service=coinjoin"), browse("/console/coinjoin")
    before = log.locator("#requests").get_attribute("data-live")
    send(other, "status")
    expect(log.locator("#requests")).not_to_have_attribute("data-live", before or "")


def test_time_passes_and_blocks_are_mined_by_clicks(browse: Open) -> None:
    page = browse("/console/lab", PHONE)
    page.get_by_role("button", name="Mine").click()
    expect(page.get_by_role("status")).to_contain_text("The blocks are mined")
    page.get_by_label("Let pass").fill("2")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("status")).to_contain_text("Time has passed")
    page.get_by_label("Depth").fill("0")
    page.get_by_role("button", name="Reorganise").click()
    expect(page.get_by_role("alert")).to_contain_text("depth")


def test_a_webhook_is_added_tested_and_deleted_by_clicks(browse: Open) -> None:
    page = browse("/console/webhooks", PHONE, dark=True)
    page.get_by_label("URL").fill("http://example.com/hook")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("alert")).to_contain_text("the laboratory never calls out")
    page.get_by_label("URL").fill("http://127.0.0.1:9/hook")
    page.get_by_label("order.completed").check()
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status")).to_contain_text("told of everything")
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_role("alert")).to_contain_text("did not arrive")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("None yet.").first).to_be_visible()
