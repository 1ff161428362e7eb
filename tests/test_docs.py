"""The documentation keeps up with the program."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from glasstumbler.dialects.settings import BearerSettings, CodesSettings, XmrtoSettings
from glasstumbler.engine.policy import CodeTier, CoinPolicy, Policy, SwapPolicy, Tier
from glasstumbler.house import HouseSettings

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
CLASSES: list[type[msgspec.Struct]] = [
    *(Policy, CoinPolicy, SwapPolicy, Tier, CodeTier),
    *(HouseSettings, CodesSettings, BearerSettings, XmrtoSettings),
]


@pytest.mark.parametrize("settings", CLASSES, ids=lambda settings: settings.__name__)
def test_every_setting_is_documented(settings: type[msgspec.Struct]) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    groups = {"coins", "swap"}  # tables of their own
    assert [name for name in settings.__struct_fields__ if name not in groups and f"`{name}`" not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_says_test_networks_only_in_its_first_screen() -> None:
    first_screen = (ROOT / "README.md").read_text().splitlines()[:25]
    assert any("Test networks only" in line for line in first_screen)
