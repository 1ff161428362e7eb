"""The drawings are those that scripts/drawings.py draws, and say what is so."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from tests.docs.runner import ROOT, script
from tests.test_rooms import FLOORS

PICTURES = ROOT / "docs" / "pictures"
MOST_BYTES = 200_000


DRAWINGS = script("drawings")


@pytest.mark.parametrize("name", DRAWINGS.DRAWINGS)
def test_a_drawing_is_as_drawn(name: str) -> None:
    drawn = DRAWINGS.DRAWINGS[name]()
    assert (PICTURES / name).read_text() == drawn, "run: python scripts/drawings.py"
    assert ElementTree.fromstring(drawn).tag.endswith("svg")


def test_the_rooms_are_drawn_in_their_order() -> None:
    rows = [[re.split("[/_]", room)[0] for room in re.split(", ", names)] for names, _ in DRAWINGS.ROOMS]
    heights = [max(FLOORS[room] for room in row) for row in rows]
    assert heights == sorted(heights, reverse=True)


def test_no_picture_is_heavy_or_unused() -> None:
    text = "".join(path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    for picture in PICTURES.iterdir():
        assert picture.stat().st_size <= MOST_BYTES, picture.name
        assert f"pictures/{picture.name}" in text, picture.name
