"""Connections to nodes: every one of them is looked at before it is used."""

from typing import Any

import pytest

from glasstumbler.errors import NodeAway, RefusedNode
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.rpc import Ask, Rpc
from tests.nodes.liar import served

TRUE, FALSE = "private", "main"


class Node:
    """Answers `who` with what it is, and counts what else it is asked."""

    def __init__(self) -> None:
        self.who, self.asked = TRUE, 0

    def __call__(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if body["method"] == "who":
            return 200, {"id": body["id"], "result": self.who}
        self.asked += 1
        return 200, {"id": body["id"], "result": self.asked}


def check(ask: Ask) -> None:
    if (said := ask("who")) != TRUE:
        raise RefusedNode("node", said, TRUE)


def test_a_node_that_was_exchanged_is_refused_at_the_next_connection() -> None:
    node = Node()
    with served(node) as url:
        rpc = Rpc(Endpoint("test", url), check)
        assert [rpc.call("count"), rpc.call("count")] == [1, 2]
        node.who = FALSE
        rpc.close()
        for _ in range(2):
            with pytest.raises(RefusedNode, match="main"):
                rpc.call("count")
        assert node.asked == 2, "nothing is asked of a node that was refused"
        node.who = TRUE
        assert rpc.call("count") == 3
        rpc.close()


def test_a_connection_that_the_node_closed_is_not_opened_again_without_a_look() -> None:
    node = Node()
    with served(node, answers=2) as url:
        rpc = Rpc(Endpoint("test", url), check)
        assert rpc.call("count") == 1
        node.who = FALSE
        with pytest.raises(RefusedNode):
            rpc.call("count")
        rpc.close()


def test_a_node_that_closes_every_connection_at_once_cannot_be_looked_at_and_asked() -> None:
    with served(Node(), answers=1) as url:
        rpc = Rpc(Endpoint("test", url), check)
        with pytest.raises(NodeAway, match="closes the connection after each answer"):
            rpc.call("count")


def test_nobody_there_is_a_node_away() -> None:
    with served(Node()) as url:
        pass
    rpc = Rpc(Endpoint("test", url), check)
    with pytest.raises(NodeAway, match="nobody listens there"):
        rpc.call("count")
