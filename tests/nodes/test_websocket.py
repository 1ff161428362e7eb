"""The WebSocket that btcd is spoken to through: whole messages, and the guard at each connection."""

import json
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from glasstumbler.chains.guard import NODES
from glasstumbler.errors import NodeAway, RefusedNode
from glasstumbler.nodes.core_node import CoreNode
from glasstumbler.nodes.endpoint import Endpoint

GENESIS = str(NODES["btc"][0]["genesis"])
TIP, ELSEWHERE = "22" * 32, "11" * 32
Write = Callable[[socket.socket, bytes], None]


def frame(kind: int, data: bytes, last: bool = True) -> bytes:
    size = len(data)
    if size < 126:
        head = bytes((size,))
    else:
        head = b"\x7e" + struct.pack("!H", size) if size < 1 << 16 else b"\x7f" + struct.pack("!Q", size)
    return bytes(((0x80 if last else 0) | kind,)) + head + data


def whole(line: socket.socket, data: bytes) -> None:
    line.sendall(frame(1, data))


def in_pieces(line: socket.socket, data: bytes) -> None:
    """With a ping between, whose pong must come back."""
    line.sendall(frame(1, data[:5], last=False) + frame(9, b"are you there") + frame(0, data[5:]))
    kind, said = read(line)
    assert (kind, said) == (0xA, b"are you there")


def broken_off(line: socket.socket, data: bytes) -> None:
    line.sendall(frame(1, data)[:-3])
    line.close()


def read(line: socket.socket) -> tuple[int, bytes]:
    """A masked frame of the client's."""
    first, size = line.recv(2, socket.MSG_WAITALL)
    size &= 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", line.recv(2, socket.MSG_WAITALL))
    elif size == 127:
        (size,) = struct.unpack("!Q", line.recv(8, socket.MSG_WAITALL))
    mask = line.recv(4, socket.MSG_WAITALL)
    data = line.recv(size, socket.MSG_WAITALL) if size else b""
    return first & 0xF, bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


class Node:
    """Says of itself that it is btcd. `status` answers whoever wants a WebSocket."""

    def __init__(self) -> None:
        self.status = b"101 Switching Protocols"
        self.write: Write = whole
        self.most = 0
        """Answers after which it closes a connection; 0: never."""
        self.asked: list[str] = []
        self.said: dict[str, Any] = {
            "getblockhash": GENESIS,
            "version": {"btcdjsonrpcapi": {"versionstring": "1.3.0"}},
            "getblockchaininfo": {"blocks": 7, "headers": 7},
            "getbestblockhash": TIP,
            "getrawmempool": ["33" * 32] * 2_000,
        }

    def serve(self, line: socket.socket) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += line.recv(1)
        line.sendall(b"HTTP/1.1 " + self.status + b"\r\n\r\n")
        given = 0
        while given != self.most or not self.most:
            kind, body = read(line)
            if kind != 1:
                return
            questions = json.loads(body)
            found = [self.reply(each) for each in (questions if isinstance(questions, list) else [questions])]
            self.write(line, json.dumps(found if isinstance(questions, list) else found[0]).encode())
            given += 1
        line.sendall(frame(8, b""))

    def reply(self, question: Any) -> dict[str, Any]:
        method = question["method"]
        self.asked.append(method)
        if method not in self.said:
            return {"id": question["id"], "result": None, "error": {"code": -32601, "message": "unknown"}}
        return {"id": question["id"], "result": self.said[method], "error": None}


@contextmanager
def standing(node: Node) -> Iterator[CoreNode]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(ValueError, OSError):  # hung up on
                node.serve(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        asked = CoreNode("btc", Endpoint("btcd", f"http://127.0.0.1:{server.server_address[1]}/"))
        try:
            yield asked
        finally:
            asked.close()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("write", [whole, in_pieces], ids=["whole", "in pieces"])
def test_messages_of_every_length_come_whole(write: Write) -> None:
    node = Node()
    node.write = write
    with standing(node) as asked:
        assert asked.tip() == TIP
        assert asked.look() == (TIP, node.said["getrawmempool"])
        assert asked.version == "btcd 1.3.0"
        for size in (1, 200, 70_000):
            assert asked.submit([b"\xab" * size]) == ["unknown"], "as long a question, too"


def test_the_right_name_and_the_wrong_first_block() -> None:
    node = Node()
    node.said["getblockhash"] = ELSEWHERE
    with standing(node) as asked, pytest.raises(RefusedNode, match=f"genesis '{ELSEWHERE}'"):
        asked.tip()
    assert node.asked == ["getblockhash"]


def test_another_one_at_the_next_connection() -> None:
    node = Node()
    node.most = 5  # four for the look, and one
    with standing(node) as asked:
        assert asked.tip() == TIP
        node.said["getblockhash"] = ELSEWHERE
        for _ in range(2):
            with pytest.raises(RefusedNode):
                asked.send({ELSEWHERE: b"a transaction"})
    assert "sendrawtransaction" not in node.asked


def test_a_connection_that_was_closed_is_made_again_with_a_look() -> None:
    node = Node()
    node.most = 5
    with standing(node) as asked:
        assert [asked.tip() for _ in range(3)] == [TIP] * 3
    assert node.asked.count("getblockhash") == 3


def test_a_message_that_is_broken_off_is_a_node_away() -> None:
    node = Node()
    node.write = broken_off
    with standing(node) as asked, pytest.raises(NodeAway, match="closed the connection"):
        asked.tip()


@pytest.mark.parametrize(("status", "says"), [(b"401 No", "user and password"), (b"404 No", "HTTP 404, and no JSON")])
def test_who_gives_no_websocket(status: bytes, says: str) -> None:
    node = Node()
    node.status = status
    with standing(node) as asked, pytest.raises(NodeAway, match=says):
        asked.tip()


def test_what_is_no_http_at_all() -> None:
    node = Node()
    node.status = b"\r\n\r\n"
    with standing(node) as asked, pytest.raises(NodeAway):
        asked.tip()
