"""A proxy between us and a node that speaks HTTP: it counts what is asked, and does whatever a bad line does."""

import http.client
import http.server
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec

from glasstumbler.nodes.endpoint import Endpoint


class Proxy:
    """`endpoint` is the node behind it. The faults last until they are set back."""

    def __init__(self, node: Endpoint, port: int) -> None:
        self.node, self.endpoint = node, node._replace(url=f"http://127.0.0.1:{port}/")
        self.away = False
        """Every connection is closed without an answer."""
        self.status = 0
        """HTTP status of every answer, with a body that is no JSON; 0: the node's own."""
        self.delay = 0.0
        """Seconds before each answer."""
        self.cut = ""
        """Method at which the connection is closed without an answer."""
        self.arrives = False
        """Whether what was cut reached the node."""
        self.posts = 0
        self.asked: Counter[str] = Counter()

    def answer(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes] | None:
        """None: hang up."""
        if self.away:
            return None
        self.posts += 1
        questions: Any = msgspec.json.decode(body)
        methods = [each["method"] for each in (questions if isinstance(questions, list) else [questions])]
        self.asked.update(methods)
        if self.delay:
            time.sleep(self.delay)
        if self.status:
            return self.status, b"<html>no node today</html>"
        cut = self.cut in methods
        found = None if cut and not self.arrives else self._forward(body, headers)
        return None if cut else found

    def _forward(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes] | None:
        where = urlsplit(self.node.url)
        line = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
        try:
            line.request("POST", where.path or "/", body, headers)
            found = line.getresponse()
            return found.status, found.read()
        except OSError:
            return None
        finally:
            line.close()


@contextmanager
def between(node: Endpoint) -> Iterator[Proxy]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept = {name: self.headers[name] for name in ("Authorization", "Content-Type") if self.headers[name]}
            found = proxy.answer(body, kept)
            if found is None:
                self.close_connection = True
                return
            self.send_response(found[0])
            self.send_header("Content-Length", str(len(found[1])))
            self.end_headers()
            self.wfile.write(found[1])

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = Proxy(node, server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
