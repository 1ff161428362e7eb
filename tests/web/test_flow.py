"""The layout of the pictures: whatever the graph, nothing lies over anything and nothing is left out uncounted."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.web.pages import flow
from glasstumbler.web.pages.flow import Drawing, Edge, Node

ROWS, COLUMNS = 4, 3


def node(number: int, first: bool = False, weight: int = 0, least: int = 0) -> Node:
    return Node(f"n{number}", "tx", f"title {number}", "note", f"said {number}", (), (), first, weight, least)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Node], list[Edge]]:
    """Without circles: each edge goes from a higher number to a lower."""
    size = draw(st.integers(1, 30))
    flags = st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 2))
    nodes = [node(number, *draw(flags)) for number in range(size)]
    pairs = st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)).filter(lambda pair: pair[0] > pair[1])
    chosen = draw(st.sets(pairs, max_size=40)) if size > 1 else set()
    part = st.floats(0, 1)
    return nodes, [Edge(f"n{start}", f"n{end}", "1 BTC", draw(part)) for start, end in sorted(chosen)]


def drawn(nodes: list[Node], edges: list[Edge]) -> Drawing:
    return flow.draw(nodes, edges, lambda folded: (f"{len(folded)} more", "coins"), ROWS, COLUMNS)


@given(graphs())
def test_boxes_do_not_overlap_and_lie_in_the_picture(graph: tuple[list[Node], list[Edge]]) -> None:
    picture = drawn(*graph)
    for place, one in enumerate(picture.boxes):
        assert 0 <= one.x <= picture.width - flow.WIDTH
        assert 0 <= one.y <= picture.height - flow.HEIGHT
        for other in picture.boxes[place + 1 :]:
            apart = abs(one.x - other.x) >= flow.WIDTH or abs(one.y - other.y) >= flow.HEIGHT
            assert apart, (one, other)


@given(graphs())
def test_lines_go_from_box_to_box_and_rightwards(graph: tuple[list[Node], list[Edge]]) -> None:
    picture = drawn(*graph)
    boxes = {box.node.key: box for box in picture.boxes}
    for line in picture.lines:
        start, end = boxes[line.start], boxes[line.end]
        assert line.points[0][0] == start.x + flow.WIDTH
        assert start.y < line.points[0][1] < start.y + flow.HEIGHT
        assert line.points[-1][0] == end.x
        assert end.y < line.points[-1][1] < end.y + flow.HEIGHT
        assert all(before[0] < after[0] for before, after in pairwise(line.points))
        assert line.end in start.into
        assert line.start in end.out_of
    assert sum(len(box.into) for box in picture.boxes) == len(picture.lines)


@given(graphs())
def test_no_line_goes_through_a_box(graph: tuple[list[Node], list[Edge]]) -> None:
    picture = drawn(*graph)
    for line in picture.lines:
        for (left, height), (right, _) in zip(line.points[1::2], line.points[2::2], strict=False):
            for box in picture.boxes:
                beside = box.x >= right or box.x + flow.WIDTH <= left
                assert beside or not box.y < height < box.y + flow.HEIGHT


@given(graphs())
def test_what_is_not_drawn_is_counted(graph: tuple[list[Node], list[Edge]]) -> None:
    nodes, edges = graph
    picture = drawn(nodes, edges)
    assert sum(box.stands_for for box in picture.boxes) == len(nodes)
    shown = {box.node.key for box in picture.boxes}
    assert picture.hidden == sum(each.key not in shown for each in nodes)
    lines = {(line.start, line.end) for line in picture.lines}
    assert {(e.start, e.end) for e in edges if e.start in shown and e.end in shown} <= lines
    columns = [[box for box in picture.boxes if box.column == place] for place in range(picture.columns)]
    assert all(len(column) <= ROWS for column in columns)
    assert picture.columns <= COLUMNS + 1


def test_what_matters_most_stays() -> None:
    nodes = [node(number, weight=number) for number in range(9)] + [node(9, first=True)]
    shown = {box.node.key for box in drawn(nodes, []).boxes}
    assert shown == {"n9", "n8", "n7", "more:0"}


def test_a_line_is_as_wide_as_its_part() -> None:
    edges = [Edge("n2", "n0", "", 0.0), Edge("n2", "n1", "", 1.0)]
    thin, thick = drawn([node(0), node(1), node(2)], edges).lines
    assert thin.width < thick.width


def test_a_circle_is_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        drawn([node(0), node(1)], [Edge("n0", "n1"), Edge("n1", "n0")])


def test_a_path_is_a_curve_between_columns_and_straight_beside_boxes() -> None:
    edges = [Edge("n2", "n1"), Edge("n1", "n0"), Edge("n2", "n0")]
    lines = {(line.start, line.end): line.path for line in drawn([node(0), node(1), node(2)], edges).lines}
    assert lines["n1", "n0"].count("C") == 1
    assert "H" not in lines["n1", "n0"]
    assert lines["n2", "n0"].count("C") == 2
    assert lines["n2", "n0"].count("H") == 1
