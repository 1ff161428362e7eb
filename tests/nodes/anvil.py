"""An anvil of a test's own, to be killed, started otherwise, and asked as a stranger asks it."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.running import INSTALLED, program
from glasstumbler.nodes.software import SOFTWARE, Setting

_PATIENCE = 20.0


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class NodeSaid(Exception):
    """The node's error, as it came."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error.get("message"))
        self.error = error


class Anvil:
    """A node in memory. `kill` is SIGKILL; `start` begins a new life, on the same port."""

    def __init__(self, folder: Path) -> None:
        if not INSTALLED.exists():
            pytest.skip(f"NO NODE SOFTWARE: {INSTALLED} is missing; `make nodes` installs it")
        self.port = free_port()
        self.endpoint = Endpoint("anvil", f"http://127.0.0.1:{self.port}")
        setting = Setting(program("anvil"), folder, {"rpc": self.port}, "", "", None, folder)
        self.command = [str(setting.program), *SOFTWARE["anvil"].command(setting)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                self.ask("eth_chainId")
            except OSError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def ask(self, method: str, *params: Any) -> Any:
        """As anybody else who uses the node."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in answer:
            raise NodeSaid(answer["error"])
        return answer["result"]


@contextmanager
def anvil(folder: Path) -> Iterator[Anvil]:
    node = Anvil(folder)
    try:
        node.start()
        yield node
    finally:
        node.kill()
