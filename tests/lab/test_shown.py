"""Scores on a terminal: names and numbers stay whole, whatever its width."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from glasstumbler.lab.scoring.shown import Sheet, laid

NAMES = ["null (chance)", "account-reveals", "a-method-of-ones-own (own)"]
MEASURES = [*(f"measure{number}" for number in range(8)), "precision at 0.1% false"]
SHEET = Sheet("T2: Link", NAMES, [(name, [f"{n}.123\n{n}.456 to {n}.789" for n in range(3)]) for name in MEASURES])


def printed(width: int, sheet: Sheet = SHEET) -> list[str]:
    console = Console(width=width, file=StringIO())
    for table in laid(sheet, width):
        console.print(table)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [50, 80, 132, 250])
def test_all_of_it_is_there_once_and_whole(width: int) -> None:
    lines = printed(width)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    tables = text.count("━┓")
    assert [text.count(name) for name in NAMES] == [tables] * 3
    assert [text.count(name) for name in MEASURES[:8]] == [1] * 8
    for number in range(3):
        assert [text.count(f"{number}.{end}") for end in ("123", "456", "789")] == [9] * 3
    assert "…" not in text
    assert text.count("T2: Link (continued)") == tables - 1


def test_what_fits_is_one_table_with_each_interval_on_a_line() -> None:
    text = "\n".join(printed(250))
    assert text.count("━┓") == 1
    assert text.count("2.456 to 2.789") == 9


def test_a_name_wider_than_the_terminal_still_gets_its_figures() -> None:
    found = [table.columns[1].header for table in laid(SHEET, 10)]
    assert found == MEASURES
