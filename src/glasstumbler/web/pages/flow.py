"""A picture of what flows where: boxes in columns, lines that run from left to right. Pure: no record, no template.

Each box stands left of all that it flows into. A line that passes a column goes through a gap that is kept for it, so
it crosses no box. What does not fit is counted: a column that is too full ends in a box "and n more", and whatever
lies further back than the picture goes stands in one box at its left edge.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

WIDTH: Final = 136
HEIGHT: Final = 46
GAP: Final = 14
STRIDE: Final = 170
"""From the left edge of a column to that of the next."""
_EDGE: Final = 6
_PASSAGE: Final = 8
"""Height of the gap that is kept for a line."""
_THIN, _THICK = 1.5, 9.0


class Node(NamedTuple):
    key: str
    kind: str
    """Class of the style sheet."""
    title: str
    note: str
    said: str
    """The whole of it in words."""
    path: tuple[str, ...] = ()
    """Of the page about it; empty: there is none."""
    more: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Other pages: their names and paths."""
    first: bool = False
    """Stays in the picture before others do."""
    weight: int = 0
    """The heavier, the sooner it stays."""
    least: int = 0
    """Columns that must be at its right."""


class Edge(NamedTuple):
    start: str
    end: str
    amount: str = ""
    part: float = 0.0
    """0 to 1: how wide the line is drawn (never part of a sum)."""


class Box(NamedTuple):
    node: Node
    column: int
    """From the left, 0 first."""
    x: float
    y: float
    into: tuple[str, ...]
    """Keys of the boxes that it flows into, from the top down."""
    out_of: tuple[str, ...]
    stands_for: int
    """Nodes of the graph: 1, or as many as a box "and n more" counts."""


class Line(NamedTuple):
    start: str
    end: str
    amount: str
    width: float
    points: tuple[tuple[float, float], ...]

    @property
    def path(self) -> str:
        """As SVG: a curve between columns, straight through a passage."""
        (x, y), *rest = self.points
        drawn = f"M{x:g} {y:g}"
        for place, (to_x, to_y) in enumerate(rest):
            bend = (to_x - x) / 2
            straight = place % 2 == 1
            drawn += f"H{to_x:g}" if straight else f"C{x + bend:g} {y:g} {to_x - bend:g} {to_y:g} {to_x:g} {to_y:g}"
            x, y = to_x, to_y
        return drawn


class Drawing(NamedTuple):
    width: float
    height: float
    boxes: tuple[Box, ...]
    """Column by column from the left, each from the top down."""
    lines: tuple[Line, ...]
    columns: int
    hidden: int
    """Nodes that are counted and not drawn."""

    def names(self, keys: Iterable[str]) -> str:
        """What boxes say, one after another."""
        said = {box.node.key: f"{box.node.title}, {box.node.note}" for box in self.boxes}
        return "; ".join(said[key] for key in keys)


Count = Callable[[Sequence[Node]], tuple[str, str]]
"""What a box "and n more" says of these: title, note."""


def draw(nodes: Sequence[Node], edges: Sequence[Edge], count: Count, rows: int = 8, columns: int = 4) -> Drawing:
    """`edges` name nodes at both ends and make no circle (ValueError). `rows`: boxes of a column; `columns`: of the
    picture, without the one for what lies further back."""
    rank = _ranks(nodes, edges)
    stands, groups = _folded(nodes, rank, count, rows, columns)
    shown = [group.node for group in groups]
    place = {group.node.key: group.rank for group in groups}
    lines = _merged(edges, stands)
    into, out_of = _ends(lines)
    levels, hops = _levels(shown, lines, place)
    _sort(levels, hops)
    tops = _heights(levels, hops)
    last = max(place.values(), default=0)
    left = {key: _EDGE + (last - level) * STRIDE for level, keys in enumerate(levels) for key in keys}
    boxes = tuple(
        Box(
            group.node, last - group.rank, left[group.node.key], tops[group.node.key],
            _from_top(into[group.node.key], tops), _from_top(out_of[group.node.key], tops), group.many,
        )
        for group in sorted(groups, key=lambda each: (-each.rank, tops[each.node.key]))
    )  # fmt: skip
    bottom = max((tops[key] + _tall(key) for key in tops), default=0.0)
    return Drawing(
        2 * _EDGE + last * STRIDE + WIDTH,
        bottom + _EDGE,
        boxes,
        tuple(_lines(lines, hops, left, tops)),
        last + 1,
        sum(group.many for group in groups if group.folded),
    )


# -- columns ----------------------------------------------------------------------------------------------------------


def _ranks(nodes: Sequence[Node], edges: Sequence[Edge]) -> dict[str, int]:
    """Columns at the right of each node: one more than the most of what it flows into has."""
    waits: dict[str, int] = {node.key: 0 for node in nodes}
    behind: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        waits[edge.start] += 1
        behind[edge.end].append(edge.start)
    rank = {node.key: node.least for node in nodes}
    ready = [key for key, ends in waits.items() if not ends]
    done = 0
    while ready:
        key = ready.pop()
        done += 1
        for start in behind[key]:
            rank[start] = max(rank[start], rank[key] + 1)
            waits[start] -= 1
            if not waits[start]:
                ready.append(start)
    if done != len(waits):
        raise ValueError("what flows in a circle cannot be drawn in columns")
    return rank


# -- what does not fit ------------------------------------------------------------------------------------------------


class _Group(NamedTuple):
    node: Node
    rank: int
    many: int
    folded: bool


def _folded(
    nodes: Sequence[Node], rank: Mapping[str, int], count: Count, rows: int, columns: int
) -> tuple[dict[str, str], list[_Group]]:
    """Which box stands for each node, and the boxes."""
    by_rank: dict[int, list[Node]] = defaultdict(list)
    for node in nodes:
        by_rank[min(rank[node.key], columns)].append(node)
    stands: dict[str, str] = {}
    groups: list[_Group] = []
    for level, there in by_rank.items():
        most = 1 if level == columns else rows
        kept, folded = (there, []) if len(there) <= most else _fit(there, most)
        groups += [_Group(node, level, 1, False) for node in kept]
        stands |= {node.key: node.key for node in kept}
        if folded:
            title, note = count(folded)
            key = f"more:{level}"
            groups.append(_Group(Node(key, "more", title, note, f"{title}: {note}"), level, len(folded), True))
            stands |= {node.key: key for node in folded}
    return stands, groups


def _fit(there: list[Node], most: int) -> tuple[list[Node], list[Node]]:
    best = sorted(there, key=lambda node: (not node.first, -node.weight))
    keep = {node.key for node in best[: most - 1]}
    return [node for node in there if node.key in keep], [node for node in there if node.key not in keep]


def _merged(edges: Iterable[Edge], stands: Mapping[str, str]) -> list[Edge]:
    """One line between two boxes, as wide as the widest; what flows within a box is not drawn."""
    found: dict[tuple[str, str], Edge] = {}
    for edge in edges:
        start, end = stands[edge.start], stands[edge.end]
        if start == end:
            continue
        before = found.get((start, end))
        if before is None:
            found[start, end] = Edge(start, end, edge.amount, edge.part)
        else:
            found[start, end] = Edge(start, end, "", max(before.part, edge.part))
    return list(found.values())


def _ends(edges: Iterable[Edge]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    into: dict[str, list[str]] = defaultdict(list)
    out_of: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        into[edge.start].append(edge.end)
        out_of[edge.end].append(edge.start)
    return into, out_of


# -- places -----------------------------------------------------------------------------------------------------------

_Hops = dict[tuple[str, str], list[str]]
"""Of each line: the boxes and passages that it goes through, from the left."""


def _levels(shown: Sequence[Node], edges: Sequence[Edge], rank: Mapping[str, int]) -> tuple[list[list[str]], _Hops]:
    """Boxes and passages of each column, from the right."""
    levels: list[list[str]] = [[] for _ in range(max(rank.values(), default=0) + 1)]
    for node in shown:
        levels[rank[node.key]].append(node.key)
    hops: _Hops = {}
    for edge in edges:
        between = range(rank[edge.start] - 1, rank[edge.end], -1)
        passages = [f"\0{edge.start}\0{edge.end}\0{level}" for level in between]
        for level, passage in zip(between, passages, strict=True):
            levels[level].append(passage)
        hops[edge.start, edge.end] = [edge.start, *passages, edge.end]
    return levels, hops


def _steps(hops: _Hops) -> Iterator[tuple[str, str]]:
    for keys in hops.values():
        yield from pairwise(keys)


def _sort(levels: list[list[str]], hops: _Hops) -> None:
    """Each column in the order of what it flows into, so that few lines cross."""
    into: dict[str, list[str]] = defaultdict(list)
    for start, end in _steps(hops):
        into[start].append(end)
    for level in range(1, len(levels)):
        place = {key: number for number, key in enumerate(levels[level - 1])}
        levels[level].sort(key=lambda key: _mean([place[end] for end in into[key]], float(len(place))))


def _heights(levels: list[list[str]], hops: _Hops) -> dict[str, float]:
    """Top of each: beside what it flows into, and never over its neighbour."""
    into: dict[str, list[str]] = defaultdict(list)
    for start, end in _steps(hops):
        into[start].append(end)
    tops: dict[str, float] = {}
    for keys in levels:
        wanted = [_mean([tops[end] + _tall(end) / 2 for end in into[key]], -1.0) - _tall(key) / 2 for key in keys]
        bottom = 0.0
        moved: list[float] = []
        for key, wish in zip(keys, wanted, strict=True):
            tops[key] = max(wish, bottom)
            bottom = tops[key] + _tall(key) + GAP
            if into[key]:
                moved.append(tops[key] - wish)
        back = _mean(moved, 0.0)
        for key in keys:
            tops[key] -= back
    lift = _EDGE - min(tops.values(), default=0.0)
    return {key: top + lift for key, top in tops.items()}


def _tall(key: str) -> int:
    return _PASSAGE if key.startswith("\0") else HEIGHT


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _from_top(keys: Iterable[str], tops: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(sorted(keys, key=lambda key: tops[key]))


# -- lines ------------------------------------------------------------------------------------------------------------


def _lines(edges: Sequence[Edge], hops: _Hops, left: Mapping[str, float], tops: Mapping[str, float]) -> Iterator[Line]:
    """They leave and enter a box one below the other, in the order of where they come from."""
    leaves: dict[str, list[tuple[str, str]]] = defaultdict(list)
    enters: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for way in hops:
        leaves[way[0]].append(way)
        enters[way[1]].append(way)
    for ways in leaves.values():
        ways.sort(key=lambda way: tops[hops[way][1]])
    for ways in enters.values():
        ways.sort(key=lambda way: tops[hops[way][-2]])
    for edge in edges:
        way = edge.start, edge.end
        start, *passages, end = hops[way]
        points = [(left[start] + WIDTH, _port(tops[start], leaves[start], way))]
        for passage in passages:
            middle = tops[passage] + _PASSAGE / 2
            points += [(left[passage], middle), (left[passage] + WIDTH, middle)]
        points.append((left[end], _port(tops[end], enters[end], way)))
        yield Line(edge.start, edge.end, edge.amount, _THIN + edge.part * (_THICK - _THIN), tuple(points))


def _port(top: float, ways: Sequence[tuple[str, str]], way: tuple[str, str]) -> float:
    return top + HEIGHT * (ways.index(way) + 1) / (len(ways) + 1)
