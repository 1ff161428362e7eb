"""Draws the documentation's drawings: python scripts/drawings.py. Text stays text; they follow the reader's theme."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

OUT: Final = Path(__file__).parents[1] / "docs" / "pictures"
WIDTH: Final = 540
STYLE: Final = """
.page { fill: #fbfcfc; stroke: #c3ced3 } .box { fill: #f0f4f5; stroke: #7b9099 } .own { fill: #d7f0f3; stroke: #0b6a7c }
text { font: 15px system-ui, sans-serif; fill: #17242b; text-anchor: middle } .soft { font-size: 12.5px; fill: #4f5e66 }
.left { text-anchor: start } .name { font-weight: 600 }
.way { fill: none; stroke: #4f5e66; stroke-width: 1.5 } .tip { fill: #4f5e66 }
@media (prefers-color-scheme: dark) {
.page { fill: #12191d; stroke: #3a4a52 } .box { fill: #1a2429; stroke: #6d858f } .own { fill: #12363d; stroke: #5fd0e0 }
text { fill: #e4ecef } .soft { fill: #a7b7bf } .way { stroke: #a7b7bf } .tip { fill: #a7b7bf } }
""".strip()

ROOMS: Final = [
    ("cli", "the command: from settings to a running laboratory"),
    ("web, web/pages", "HTTP: services, lab API, pages"),
    ("torture, audit, backup", "disasters; the record recomputed; copies"),
    ("lab", "datasets, methods, scores; reads, never writes"),
    ("house, service", "the laboratory and its turn; requests to orders"),
    ("watch, pay", "chain to orders; orders to chain"),
    ("dialects", "requests read, replies written"),
    ("store", "the record: SQLite, PostgreSQL"),
    ("chains, nodes", "the guard; chains in the process; real nodes"),
    ("engine", "no I/O: order, ledger, plan, policy, desk"),
    ("money, clock, errors, settings", "the ground floor"),
]
"""From the top down; a room imports from its own floor and from those below."""

STATIONS: Final = [
    ("client", 20, "Client", "asks, pays"),
    ("dialect", 105, "Dialect", "reads, writes"),
    ("desk", 190, "Desk", "plans the order"),
    ("watch", 275, "Watch", "sees its coins"),
    ("pay", 360, "Pay", "claims, signs, sends"),
]
_LEFT, _MIDDLE, _RIGHT = (15, 105), (190, 350), (435, 525)
_HIGH, _FOOT = 50, 470


def box(x: float, y: float, width: float, height: float, name: str, soft: str = "", kind: str = "box") -> str:
    middle, down = x + width / 2, y + height / 2
    lines = [f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="7"/>']
    lines.append(f'<text class="name" x="{middle}" y="{down + (-2 if soft else 5)}">{escape(name)}</text>')
    if soft:
        lines.append(f'<text class="soft" x="{middle}" y="{down + 16}">{escape(soft)}</text>')
    return "\n".join(lines)


def arrow(x: float, y: float, to_x: float, to_y: float, label: str = "", beside: bool = False) -> str:
    at, over = ((x + to_x) / 2, (y + to_y) / 2) if label else (0.0, 0.0)
    lines = [f'<path class="way" marker-end="url(#tip)" d="M{x} {y}L{to_x} {to_y}"/>']
    if label and beside:
        lines.append(f'<text class="soft left" x="{at + 8}" y="{over + 4}">{escape(label)}</text>')
    elif label:
        lines.append(f'<text class="soft" x="{at}" y="{over - 6}">{escape(label)}</text>')
    return "\n".join(lines)


def picture(title: str, height: int, parts: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img">\n<title>{escape(title)}</title>\n<style>\n{STYLE}\n</style>\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>\n'
        f'<rect class="page" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>'
    )
    return "\n".join([head, *parts, "</svg>\n"])


def way_of_an_order() -> str:
    """The services' side in the middle, the chains on its left, the record on its right, the lab below."""
    (left, left_end), (middle, end), (right, right_end) = _LEFT, _MIDDLE, _RIGHT
    wide, centre = end - middle, (middle + end) / 2
    row = {name: y + _HIGH / 2 for name, y, _, _ in STATIONS}
    parts = [box(middle, y, wide, _HIGH, name, soft) for _, y, name, soft in STATIONS]
    parts += [
        box(left, 105, left_end - left, 305, "Chains", "test only"),
        box(right, 105, right_end - right, 305, "Record", "every link", "own"),
        arrow(centre, 70, centre, 103, "1 request", beside=True),
        arrow(centre, 155, centre, 188, "2 call", beside=True),
        arrow(end, row["desk"], right - 2, row["desk"], "3 order"),
        arrow(middle, 45, (left + left_end) / 2, 103),
        '<text class="soft left" x="30" y="62">4 deposit</text>',
        arrow(left_end, row["watch"], middle - 2, row["watch"], "5 blocks"),
        arrow(end, row["watch"], right - 2, row["watch"], "6 events"),
        arrow(right, row["pay"] - 8, end + 2, row["pay"] - 8, "7 due"),
        arrow(end, row["pay"] + 14, right - 2, row["pay"] + 14, "8 signed"),
        arrow(middle, row["pay"], left_end + 2, row["pay"], "9 sent"),
        box(middle - 30, _FOOT, wide + 60, _HIGH, "Lab", "dataset, method, score, glass"),
        arrow((left + left_end) / 2, 410, middle - 32, _FOOT + 20),
        arrow((right + right_end) / 2, 410, end + 32, _FOOT + 20),
        f'<text class="soft" x="88" y="{_FOOT + 40}">what anyone sees</text>',
        f'<text class="soft" x="462" y="{_FOOT + 40}">the answer key</text>',
    ]
    return picture("An order's way: client, dialect, desk, watch, pay; the chains, the record, the lab", 535, parts)


def rooms() -> str:
    high, gap = 46, 8
    parts = [
        box(15, 15 + at * (high + gap), WIDTH - 70, high, name, soft, "own" if name == "engine" else "box")
        for at, (name, soft) in enumerate(ROOMS)
    ]
    foot = 15 + len(ROOMS) * (high + gap) - gap
    parts.append(arrow(WIDTH - 35, 20, WIDTH - 35, foot - 4))
    middle = foot / 2
    parts.append(
        f'<text class="soft" transform="translate({WIDTH - 16} {middle}) rotate(90)">imports run downward only</text>'
    )
    return picture("The rooms, from the command down to the ground floor", foot + 15, parts)


DRAWINGS: Final = {"order.svg": way_of_an_order, "rooms.svg": rooms}

if __name__ == "__main__":
    for name, draw in DRAWINGS.items():
        (OUT / name).write_text(draw(), encoding="utf-8")
