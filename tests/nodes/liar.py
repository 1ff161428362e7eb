"""Servers that are no private test chain's node, or are one only until they have been looked at."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Answer = Callable[[str, str, Any], tuple[int, Any] | None]
"""answer(HTTP method, path, body) -> (status, body): both bodies are JSON. None: hang up."""


@contextmanager
def served(answer: Answer, answers: int | None = None) -> Iterator[str]:
    """A URL on loopback. Every connection is closed after so many `answers`; None: kept open."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        given = 0

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = answer(self.command, self.path, json.loads(body) if body else None)
            if found is None:
                self.close_connection = True
                return
            status, said = found
            raw = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.given += 1
            if self.given == answers:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(raw)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
