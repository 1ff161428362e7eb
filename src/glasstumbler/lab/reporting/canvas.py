"""A figure: drawn once by matplotlib, then had as SVG within the page, as an SVG file, or as PNG.

Same input, same bytes: no date, no random name. All figures are 360 points wide, which is a phone's width, so that
their letters are as large there as the text; on a wide page they stand side by side.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Sheet

from glasstumbler.lab.reporting.palette import figure_rules, light
from glasstumbler.log import printable

WIDTH: Final = 360
"""Points, of every figure."""
_PIXELS_A_POINT: Final = 3
_FONTS: Final = "'DejaVu Sans', Verdana, system-ui, sans-serif"
"""Verdana's letters are as wide as those of DejaVu Sans, by which the drawing was laid out."""
_LOOKS: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "glasstumbler",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 10.5,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": light("ink"),
    "axes.titlepad": 10,
    "axes.labelsize": 10.5,
    "axes.labelcolor": light("soft"),
    "axes.edgecolor": light("rule"),
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": False,
    "grid.color": light("grid"),
    "grid.linewidth": 1.0,
    "xtick.color": light("rule"),
    "ytick.color": light("rule"),
    "xtick.labelcolor": light("soft"),
    "ytick.labelcolor": light("soft"),
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "text.color": light("ink"),
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    "lines.linewidth": 1.8,
    "path.simplify": False,
}


class Figure(NamedTuple):
    name: str
    """Of its files: lower-case letters, digits and dashes."""
    title: str
    alt: str
    """What it shows, for whoever cannot see it."""
    height: int
    """Points."""
    paint: Callable[[Sheet], None]

    def inline(self) -> str:
        """SVG within a page, whose style sheet has palette.page_rules."""
        root = self._svg()
        for each in root.iter():
            each.tag = each.tag.rpartition("}")[2]
        del root.attrib["width"], root.attrib["height"]
        return ElementTree.tostring(root, encoding="unicode")

    def file(self) -> str:
        """SVG, whole in itself."""
        root = self._svg()
        style = ElementTree.Element(_named(root, "style"))
        style.text = figure_rules()
        root.insert(2, style)
        ElementTree.register_namespace("", root.tag[1:].partition("}")[0])
        return ElementTree.tostring(root, encoding="unicode") + "\n"

    def png(self) -> bytes:
        """On light paper."""
        out = io.BytesIO()
        self._draw(FigureCanvasAgg, out, format="png", dpi=72 * _PIXELS_A_POINT, metadata={"Software": None})
        return out.getvalue()

    def _draw(self, canvas: Callable[[Sheet], object], out: io.BytesIO, **kind: Any) -> None:
        looks: dict[Any, Any] = {**matplotlib.rcParamsDefault, "backend": "agg", **_LOOKS}
        with (
            matplotlib.rc_context(looks),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a name may have any letter
            sheet = Sheet(figsize=(WIDTH / 72, self.height / 72), dpi=72, facecolor=light("paper"))
            canvas(sheet)
            self.paint(sheet)
            sheet.savefig(out, facecolor=light("paper"), **kind)

    def _svg(self) -> ElementTree.Element:
        """Looks as attributes, so that a style sheet may change them; ids by the figure's name."""
        out = io.BytesIO()
        self._draw(FigureCanvasSVG, out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
        root = ElementTree.fromstring(out.getvalue())  # noqa: S314 - of our own making
        _plain(root)
        _inherit(root)
        _rename(root, self.name)
        about = [("title", self.title), ("desc", self.alt)]
        for place, (tag, text) in enumerate(about):
            element = ElementTree.Element(_named(root, tag), id=f"{self.name}-{tag}")
            element.text = printable(text)
            root.insert(place, element)
        root.attrib |= {"role": "img", "aria-labelledby": f"{self.name}-title {self.name}-desc"}
        return root


def _named(root: ElementTree.Element, tag: str) -> str:
    """With the namespace of the root."""
    return f"{root.tag.partition('}')[0]}}}{tag}"


def _plain(root: ElementTree.Element) -> None:
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag == _named(root, "style")]:
            parent.remove(child)
    for each in root.iter():
        for look in each.attrib.pop("style", "").split(";"):
            name, colon, value = look.partition(":")
            if colon:
                each.set(name.strip(), _FONTS if name.strip() == "font-family" else value.strip())
        if each.get("transform", "").startswith("rotate(-0 "):
            del each.attrib["transform"]
        if "d" in each.attrib:
            each.set("d", " ".join(each.attrib["d"].split()))
        each.text, each.tail = (each.text or "").strip("\n ") or None, None
    root.set("stroke-linejoin", "round")


def _inherit(root: ElementTree.Element) -> None:
    """Marks are drawn once and used often. A style sheet reaches the use but not what it copies, which therefore has no
    colours of its own."""
    marks = {f"#{mark.get('id')}": mark for defs in root.iter(_named(root, "defs")) for mark in defs}
    colors = {name: {what: mark.attrib.pop(what, "") for what in ("fill", "stroke")} for name, mark in marks.items()}
    for use in root.iter(_named(root, "use")):
        (name,) = (value for key, value in use.attrib.items() if key.endswith("}href"))
        for what, color in colors[name].items():
            if color and what not in use.attrib:
                use.set(what, color)


def _rename(root: ElementTree.Element, name: str) -> None:
    """Several figures stand in one page, so ids that are asked for get the figure's name; the others go."""
    asked: dict[str, str] = {}

    def renamed(old: str) -> str:
        return asked.setdefault(old, f"{name}-{len(asked)}")

    for each in root.iter():
        for link in [name for name in each.attrib if name.endswith("}href")]:
            each.set("href", "#" + renamed(each.attrib.pop(link).removeprefix("#")))
        if (clip := each.get("clip-path", "")).startswith("url(#"):
            each.set("clip-path", f"url(#{renamed(clip[5:-1])})")
    for each in root.iter():
        if (old := each.attrib.pop("id", None)) in asked and old is not None:
            each.set("id", asked[old])


def label(text: str, most: int = 20) -> str:
    """A name as it may stand in a drawing: one line, of `most` letters."""
    clean = printable(text)
    return clean if len(clean) <= most else f"{clean[: most - 1]}…"


def axes(sheet: Sheet, left: float, top: float, width: float, height: float) -> Axes:
    """Points, from the upper left corner of the sheet."""
    wide, high = sheet.get_size_inches() * 72
    return sheet.add_axes((left / wide, 1 - (top + height) / high, width / wide, height / high))


def heading(sheet: Sheet, text: str) -> None:
    """The figure's title, at its upper left."""
    high = sheet.get_size_inches()[1] * 72
    sheet.text(8 / WIDTH, 1 - 10 / high, text, va="top", fontsize=12, fontweight="bold")
