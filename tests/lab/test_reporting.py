"""The report of a dataset's scores: whole in itself, true to its file of scores, the same again, readable anywhere."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from glasstumbler.cli import main
from glasstumbler.lab import results as scores
from glasstumbler.lab.reporting import flow, make, orders, page, palette
from glasstumbler.lab.reporting.board import by_volume, number
from glasstumbler.lab.reporting.meanings import explained
from glasstumbler.lab.reporting.page import Content
from glasstumbler.lab.reporting.traced import Traced
from glasstumbler.lab.results import CAVEAT, Bootstrap, Curve, DatasetInfo, Failure, Results, Role, Row, Timing
from glasstumbler.lab.scoring import clustering, linking, tainting
from glasstumbler.lab.tasks import Dataset
from tests.lab import chromium
from tests.lab.conftest import rows_of

EVIL = "<script>alert(1)</script>"
NAMES = [
    *(EVIL, "\"><img src=x onerror=alert(1)>", "</style><script>alert(1)</script>", "$x^2$ \\frac{1}", "a\x00b\nc"),
    *("{{ 7 * 7 }}{% raw %}", "\u202egnp.exe", "name " * 60, "漢字🙂", "&lt;b&gt;"),
]  # fmt: skip
METHODS: list[tuple[str, str, Role]] = [
    *(("T2", "chance", "chance"), ("T2", "demixing", "method"), ("T2", "account-reveals", "method")),
    *(("T2", "ceiling", "ceiling"), ("T3", "demixing-joint", "method"), ("T3", "fifo-time", "method")),
    *(("T3", "ceiling", "ceiling"), ("T6", "swap-match", "method"), ("T4", "cospend", "method")),
]  # fmt: skip
SERVICES = ("bestmixer", "whir")
VOLUMES = (10, 100, 1000)


def rows(task: str, method: str, role: Role, place: int) -> Iterator[Row]:
    """Figures that are all different, so that none can stand for another."""
    value = 0.2 + place / 17
    for step, measure in enumerate(("hit@1", "MRR", "anonymity set")):
        at = value * (1 + step * 31 if step == 2 else 1 + step / 9)
        yield Row(task, method, role, measure, at, at * 0.9, at * 1.0625, 40 + place)
    for volume in VOLUMES:
        at = value / volume**0.2
        yield Row(task, method, role, "hit@1", at, at * 0.8, at * 1.03, volume, volume=volume)
    for step, service in enumerate(SERVICES):
        yield Row(task, method, role, "hit@1", value + step / 50, n=7, service=service)
        yield Row(task, method, role, "hit@1", value - step / 60, n=6, service=service, left_out=service)


def scored(folder: Path, *more: tuple[str, str, Role]) -> Results:
    digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    found = [row for place, of in enumerate([*METHODS, *more]) for row in rows(*of, place)]
    found.append(Row("T7", "link-entropy", "method", "AUC", None, n=0))
    steps = [step / 10 for step in range(11)]
    curves = [
        Curve(task, method, role, kind, steps, [1 - step * (place + 1) / 30 for step in steps], [place + 1] * 11)
        for place, (task, method, role) in enumerate([*METHODS, *more])
        for kind in ("precision-recall", "calibration")
    ]
    return Results(
        DatasetInfo("test", 1, "signed", 8, "train", digest),
        "time 0.5",
        Bootstrap(1000, 0.95, 7),
        found,
        curves,  # type: ignore[arg-type]
        [Failure("broken", "broken: it took more than 10 s")],
        [Timing("demixing", "T2", 1.25, 321.0)],
        ["taint after a custodial swap must fail"],
    )


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return Dataset(folder)


@pytest.fixture(scope="module")
def content(dataset: Dataset, folder: Path) -> Content:
    return make.gather(dataset, scored(folder, ("T2", "my_module:Mine", "own")))


@pytest.fixture(scope="module")
def html(content: Content) -> str:
    return page.render(content)


class Seen(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


# -- whole in itself --------------------------------------------------------------------------------------------------


def test_it_asks_for_nothing_and_runs_nothing(html: str) -> None:
    assert not re.findall(r"https?:|<script|<link|<img|<iframe|@import|url\((?!#)", html)
    for tag, attributes in Seen(html).tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "style", "xlink:href")], tag
        assert (attributes.get("href") or "#").startswith("#")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)
    assert policy.startswith("default-src 'none'") and "script" not in policy


def test_every_figure_stands_in_it_once_with_its_words(html: str, content: Content) -> None:
    names = [figure.name for figure in content.all_figures()]
    kinds = ("scores", "precision-recall", "calibration", "volumes", "services", "untaught")
    assert {f"t2-{kind}" for kind in kinds} <= set(names)
    assert {"delays", "fees", "traced", "t3-scores", "t4-scores", "t6-scores"} <= set(names)
    assert "t7-scores" not in names, "there is nothing to draw"
    assert Counter(re.findall(r'<figure id="figure-([^"]+)"', html)) == Counter(names)
    ids = Counter(str(attributes["id"]) for _, attributes in Seen(html).tags if "id" in attributes)
    assert ids.most_common(1)[0][1] == 1
    asked = re.findall(r'(?:href="#|url\(#|aria-labelledby=")([^")]+)', html)
    assert {part for each in asked for part in each.split()} <= set(ids)
    for figure in content.all_figures():
        assert len(figure.alt) > len(figure.title), figure.name


def test_every_table_has_a_name_of_its_own(html: str) -> None:
    """A reader who hears the page is told where a table scrolls, and which one it is."""
    regions = Counter(
        attributes.get("aria-label") for _, attributes in Seen(html).tags if attributes.get("role") == "region"
    )
    assert len(regions) > 8 and set(regions.values()) == {1}


def test_it_says_what_it_speaks_of(html: str, content: Content) -> None:
    text = unescape(re.sub(r"<[^>]+>", " ", html.partition("</style>")[2]))
    assert text.count(CAVEAT) == 2
    said = [content.results.dataset.manifest_sha256, "broken: it took more than 10 s", "321", "my_module:Mine"]
    said += ["taint after a custodial swap must fail", "xmr, lightning", "time 0.5", "1,000", "brought by the user"]
    assert [line for line in said if line not in text] == []


# -- true to the scores -----------------------------------------------------------------------------------------------


def test_every_figure_of_the_scores_is_shown_as_it_is(html: str, content: Content) -> None:
    shown = re.findall(r'<data value="([^"]+)">([^<]+)</data>', html)
    assert all(text == number(float(value)) for value, text in shown)
    wanted: Counter[float] = Counter()
    for row in content.results.rows:
        wanted.update(end for end in (row.value, row.low, row.high) if end is not None)
    assert Counter(float(value) for value, _ in shown) == wanted


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0.000"),
        (0.12345, "0.123"),
        (1.0, "1.000"),
        (12.34, "12.3"),
        (1234.5, "1,234"),
        (-2.5, "-2.500"),
    ],
)
def test_figures_are_written(value: float | None, text: str) -> None:
    assert number(value) == text


def test_dots_stand_where_the_figures_are(content: Content) -> None:
    """Of the volumes' figure: heights on the sheet fall as the values rise, in one proportion."""
    (section,) = [each for each in content.sections if each.board.task == "T2"]
    svg = ElementTree.fromstring(section.figures["volumes"].inline())
    tone = palette.LINES[0]
    places = [float(use.get("y", "")) for use in svg.iter("use") if use.get("stroke") == tone][: len(VOLUMES)]
    (part,) = [each for each in by_volume(content.results, section.board) if each.method == "demixing"]
    values = [row.value or 0 for row in part.rows]
    scale = (places[1] - places[0]) / (values[0] - values[1])
    assert (places[2] - places[0]) / (values[0] - values[2]) == pytest.approx(scale)
    assert scale > 0


def test_delays_and_fees_are_those_of_the_answer_key(dataset: Dataset, folder: Path) -> None:
    links = {
        (row["service"], row["order_id"], row["place"]): row["delay_passed"] for row in rows_of(folder, "answers/link")
    }
    found = [(spread.service, value) for spread in orders.delays(dataset) for value in spread.values]
    assert sorted(found) == sorted((key[0], delay / 3600) for key, delay in links.items())
    paid = {key[1] for key in links}
    fees = [
        (row["service"], float(row["fee"]) / float(row["credited"]) * 100)
        for row in rows_of(folder, "answers/order")
        if row["order_id"] in paid and row["price"] is None
    ]
    found = [(spread.service, value) for spread in orders.fees(dataset) for value in spread.values]
    assert [service for service, _ in sorted(found)] == [service for service, _ in sorted(fees)]
    assert [value for _, value in sorted(found)] == pytest.approx([value for _, value in sorted(fees)])
    assert "xmrto" not in {service for service, _ in found}


def test_the_traced_order_is_told_as_it_was(content: Content, folder: Path) -> None:
    traced = content.traced
    assert isinstance(traced, Traced)
    links = [row for row in rows_of(folder, "answers/link") if row["order_id"] == traced.order_id]
    true = {(row["payout_coin"], row["payout_output"]) for row in links}
    assert {payout[:2] for payout in traced.payouts} == true
    assert {deposit[:2] for deposit in traced.deposits} == {(r["deposit_coin"], r["deposit_output"]) for r in links}
    named = [each for saying in traced.sayings for each in saying.named]
    assert named and all(each.right == (each.payout[:2] in true) for each in named)
    assert all(each.whose == "this order's" for each in named if each.right)
    assert all(len(saying.named) <= len(true) for saying in traced.sayings)
    assert any("my_module:Mine" in line for line in traced.missing)
    outputs = {(row["coin"], row["output"]): row["amount"] for row in rows_of(folder, "observer/output")}
    assert all(payout.amount == int(outputs[payout[:2]]) for payout in traced.payouts if payout.coin != "eth")


def test_who_named_what_is_drawn_on_it(content: Content) -> None:
    assert content.traced is not None
    ends = flow.targets(content.traced)
    letters = dict(flow.lettered(content.traced))
    for end in ends:
        by = {letter for letter, s in letters.items() if end.coin[:2] in {each.payout[:2] for each in s.named}}
        assert set(end.letters) == by
    assert [end for end in ends if end.right] == ends[: len(content.traced.payouts)]


def test_the_dark_page_reaches_every_colour(content: Content) -> None:
    """A style sheet does not reach into what a <use> copies, so colours stand at the <use>."""
    for figure in content.all_figures():
        root = ElementTree.fromstring(figure.inline())
        copied = [mark for defs in root.iter("defs") for mark in defs]
        assert copied or not list(root.iter("use"))
        assert not [mark.attrib for mark in copied if "fill" in mark.attrib or "stroke" in mark.attrib], figure.name
        colors = {each.get(what, "none") for each in root.iter() for what in ("fill", "stroke")}
        assert colors <= {"none", *(tone.light for tone in palette.TONES.values())}, figure.name


def test_every_measure_is_explained() -> None:
    measures = {*linking.RANKS, *linking.CLAIMS, *linking.MATCHES, *linking.BITS, *clustering.MEASURES}
    measures |= {f"{name}, {truth}" for name in tainting.MEASURES for truth in ("custody", "beneficial")}
    assert {name for name, _ in explained(measures)} == measures


# -- the same again, and text as text ---------------------------------------------------------------------------------


def test_the_same_input_gives_the_same_bytes(content: Content, folder: Path, html: str) -> None:
    again = make.gather(Dataset(folder), scored(folder, ("T2", "my_module:Mine", "own")))
    assert page.render(again) == html
    for one, other in list(zip(content.all_figures(), again.all_figures(), strict=True))[-2:]:
        assert (one.file(), one.png()) == (other.file(), other.png())


def test_text_from_outside_is_text(dataset: Dataset, folder: Path) -> None:
    found = scored(folder, *[("T2", name, "own") for name in NAMES])
    about = msgspec.structs.replace(found.dataset, scenario=EVIL, seed_is_for=EVIL, mode=EVIL)
    failures, rest = [Failure(name, name) for name in NAMES], {"remarks": NAMES, "split": EVIL}
    poisoned = msgspec.structs.replace(found, dataset=about, failures=failures, **rest)
    text = page.render(make.gather(dataset, poisoned))
    tags = Seen(text).tags
    assert not {tag for tag, _ in tags} & {"script", "img"}
    assert not [attributes for _, attributes in tags if any(name.startswith("on") for name in attributes)]
    assert text.count(EVIL) == 0 and text.count("&lt;script&gt;alert(1)") > 5
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(svg)


# -- files and errors -------------------------------------------------------------------------------------------------


def command(*arguments: object) -> int:
    sys.argv = ["glasstumbler", *map(str, arguments)]
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def argv() -> Iterator[None]:
    before = sys.argv
    yield
    sys.argv = before


@pytest.mark.usefixtures("argv")
def test_the_command_writes_the_page_and_every_figure_twice(folder: Path, tmp_path: Path, html: str) -> None:
    few = scored(folder)
    few = msgspec.structs.replace(few, rows=[row for row in few.rows if row.task == "T2"], curves=[])
    written, _ = scores.write(few, folder.with_name(f"{folder.name}-scores"))
    out, drawn = tmp_path / "new" / "report.html", tmp_path / "figures"
    assert command("report", folder, "--out", out, "--figures", drawn) == 0
    written.unlink()
    names = re.findall(r'<figure id="figure-([^"]+)"', out.read_text())
    assert len(names) >= 6
    assert {path.name for path in drawn.iterdir()} == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}
    for name in names:
        root = ElementTree.fromstring((drawn / f"{name}.svg").read_text())
        assert root.tag.endswith("svg") and root[0].text and root[1].text, "its title and what it shows"
        assert (drawn / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("argv")
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dataset": DatasetInfo("other", 2, "signed", 8, "train", "ab" * 32)}, "of another dataset (other, seed 2"),
        ({"rows": [Row("../T2", "x", "method", "hit@1", 0.5)]}, "tasks that do not exist: ../T2"),
        ({"curves": [Curve("T2", "x", "method", "calibration", [0.5], [], [1])]}, "a curve of the scores"),
    ],
)
def test_scores_that_do_not_fit_are_one_clear_line(
    change: dict[str, Any], says: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written, _ = scores.write(msgspec.structs.replace(scored(folder), **change), tmp_path)
    assert command("report", folder, "--scores", written, "--out", tmp_path / "report.html") == 1
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


@pytest.mark.usefixtures("argv")
def test_files_that_are_not_there_are_one_clear_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written, _ = scores.write(scored(folder), tmp_path)
    (tmp_path / "broken.json").write_text("{")
    for arguments, says in [
        ((folder, "--scores", tmp_path / "none.json"), "there is no"),
        ((folder, "--scores", tmp_path / "broken.json"), "is no results.json"),
        ((tmp_path, "--scores", written), "is no dataset"),
        ((folder, "--scores", written, "--out", tmp_path / "broken.json" / "x.html"), "cannot write"),
    ]:
        assert command("report", *arguments) == 1
        err = capsys.readouterr().err
        assert says in err and err.count("\n") == 1


def test_other_commands_load_no_plotting() -> None:
    code = "import sys, glasstumbler.cli; print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


# -- readable ---------------------------------------------------------------------------------------------------------


def luminance(color: str) -> float:
    """Relative luminance as WCAG 2 has it."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


TEXTS = [
    ("ink", "paper"),
    ("ink", "panel"),
    ("soft", "paper"),
    ("soft", "panel"),
    ("right", "paper"),
    ("wrong", "paper"),
]
TEXTS += [("ink", "note-fill"), ("ink", "right-fill"), ("ink", "wrong-fill"), ("paper", "soft"), ("paper", "right")]
DRAWN = [(name, "paper") for name in palette.TONES if name.startswith("line-")]
DRAWN += [(name, "paper") for name in ("chance", "ceiling", "own", "wrong", "right", "note", "soft")]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_can_be_read(theme: int) -> None:
    def of(pair: tuple[str, str]) -> float:
        return contrast(palette.TONES[pair[0]][theme], palette.TONES[pair[1]][theme])

    assert [pair for pair in TEXTS if of(pair) < 4.5] == []
    assert [pair for pair in DRAWN if of(pair) < 3] == []
    assert len({tone.light for tone in palette.TONES.values()}) == len(palette.TONES)


OUTSIDE = """[...document.querySelectorAll('figure')].flatMap(figure => {
  const box = figure.querySelector('svg').getBoundingClientRect();
  return [...figure.querySelectorAll('text')].filter(text => {
    const at = text.getBoundingClientRect();
    return at.left < box.left - 1 || at.right > box.right + 1 || at.top < box.top - 1 || at.bottom > box.bottom + 1;
  }).map(text => figure.id + ': ' + text.textContent);
})"""
TOGETHER = """[...document.querySelectorAll('figure')].flatMap(figure => {
  const texts = [...figure.querySelectorAll('text')].map(text => [text, text.getBoundingClientRect()]);
  const shared = (a, b, low, high) => Math.min(a[high], b[high]) - Math.max(a[low], b[low]);
  return texts.flatMap(([one, a], place) => texts.slice(place + 1).filter(([other, b]) =>
    shared(a, b, 'left', 'right') > 2 && shared(a, b, 'top', 'bottom') > 4
  ).map(([other]) => figure.id + ': ' + one.textContent + ' / ' + other.textContent));
})"""
SMALLEST = """Math.min(...[...document.querySelectorAll('figure text')].map(text =>
  parseFloat(getComputedStyle(text).fontSize) * text.ownerSVGElement.getScreenCTM().a))"""
PAPER = "getComputedStyle(document.body).backgroundColor"
INK = f"""getComputedStyle(document.querySelector('figure text[fill="{palette.light("ink")}"]')).fill"""
UNNAMED = """[...document.querySelectorAll('table')].filter(table => !table.querySelector('caption') ||
  !table.querySelector('th[scope]')).length"""


@pytest.mark.skipif(chromium.COMMAND is None, reason="Chromium is not here")
def test_a_browser_shows_it_on_a_phone_and_in_the_dark(content: Content, html: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(html)
    seen = {}
    with chromium.browser(tmp_path / "profile") as browser:
        for width, theme in ((360, "light"), (360, "dark"), (1280, "light")):
            browser.show(file, width, theme)
            assert browser.value("document.documentElement.scrollWidth") <= width
            assert browser.value(OUTSIDE) == []
            assert browser.value(TOGETHER) == []
            assert browser.value(SMALLEST) >= 8
            assert browser.value(UNNAMED) == 0
            seen[theme] = browser.value(PAPER), browser.value(INK)
        assert browser.value("document.querySelectorAll('figure svg').length") == len(content.all_figures())
        assert browser.told == []
    assert seen["light"] == ("rgb(255, 255, 255)", "rgb(22, 35, 42)")
    assert seen["dark"] == ("rgb(17, 24, 28)", "rgb(230, 237, 240)")
