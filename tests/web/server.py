"""A real laboratory in a process of its own: `glasstumbler serve` on free ports, ended by its process id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from glasstumbler.services import SERVICES
from tests.web.contracts import hold

START_SECONDS = 60
STOP_SECONDS = 20
COMMAND = (sys.executable, "-m", "glasstumbler")
BEARERS = ("btcmix", "coinjoin", "whir")
ONE_CHAIN = {"GLASSTUMBLER__LAB__CHAINS": '["btc"]'}
"""A laboratory that starts sooner, where the other chains do not matter."""
NO_LIMITS = {"GLASSTUMBLER__LAB__RATE_LIMITS": "off"}


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's own, without settings of the laboratory that a shell may have left in it."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("GLASSTUMBLER")}
    return mine | {"PYTHONFAULTHANDLER": "1"} | dict(extra or {})


def run(*arguments: str | Path, stdin: bytes = b"", extra: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of one command."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], input=stdin, capture_output=True, timeout=60, env=environment(extra)
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


class Lab:
    """A running laboratory. `urls` by service slug and `hub`; `keys` and `secrets` by slug."""

    def __init__(
        self, folder: Path, *options: str, extra: Mapping[str, str] | None = None, patience: float = START_SECONDS
    ) -> None:
        self.folder = folder
        self.errors = folder.with_name(folder.name + ".stderr")
        port = () if "--port" in options else ("--port", "0")
        arguments = [*COMMAND, "serve", "--data", str(folder), *port, "--block-interval", "0", *options]
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=errors, env=environment(extra))
        self.urls: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        self.secrets: dict[str, str] = {}
        self.token = ""
        watchdog = threading.Timer(patience, self.process.kill)
        watchdog.start()
        try:
            self._read_announcement()
        finally:
            watchdog.cancel()
        self.hub = httpx.Client(base_url=self.urls["hub"], timeout=60)

    def _read_announcement(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            words = line.decode().split()
            if words[:2] == ["lab", "token"]:
                self.token = words[2]
                return
            if words[0] in (*SERVICES, "hub"):
                self.urls[words[0]] = words[1]
                named = dict(zip(words[2::2], words[3::2], strict=True))
                self.keys[words[0]] = named.get("api_key", "")
                self.secrets[words[0]] = named.get("secret_key", "")
        self.process.wait(STOP_SECONDS)
        raise RuntimeError(f"no laboratory: {self.errors.read_text()}")

    def client(self, slug: str, under_hub: bool = False) -> httpx.Client:
        """An ordinary client of one service, with its first key, on the service's own port or under the hub. Each
        reply is held to the service's contract."""
        root = f"/{slug}" if under_hub else ""
        base = self.urls["hub"] + root if under_hub else self.urls[slug]
        headers = {"authorization": f"Bearer {self.keys[slug]}"} if slug in BEARERS else {}
        hooks: dict[str, list[Callable[..., Any]]] = {"response": [partial(hold, slug, root)]}
        return httpx.Client(base_url=base, headers=headers, timeout=60, event_hooks=hooks)

    def lab(self, path: str, **body: Any) -> Any:
        """One call of the lab API that must succeed."""
        reply = self.hub.post(f"/lab/v1/{path}", json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def address(self, coin: str = "btc") -> str:
        return str(self.lab(f"chains/{coin}/address")["address"])

    def pay(self, coin: str, address: str, amount: object, blocks: int = 1) -> str:
        txid = self.lab(f"chains/{coin}/pay", address=address, amount=str(amount))["txid"]
        if blocks:
            self.lab(f"chains/{coin}/mine", blocks=blocks)
        return str(txid)

    def order_paid(self, slug: str) -> dict[str, Any]:
        """An order of a bearer service's for 0.25 BTC without delay, paid and paid out."""
        with self.client(slug) as client:
            body = {"delay": "0", "payouts": {self.address(): "0.25"}}
            order: dict[str, Any] = client.post("/api/createTransaction", json=body).json()
        self.pay("btc", order["depositAddress"], order["depositAmount"])
        self.lab("chains/btc/mine", blocks=1)
        return order

    def stop(self, number: int = signal.SIGINT, seconds: float = STOP_SECONDS) -> int:
        """The exit code."""
        self.hub.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # every thread's stack goes to its standard error
            self.process.wait(STOP_SECONDS)
            raise RuntimeError(f"the laboratory does not stop: {self.errors.read_text()[-8000:]}") from None
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()


@contextmanager
def laboratory(folder: Path, *options: str, extra: Mapping[str, str] | None = None) -> Iterator[Lab]:
    lab = Lab(folder, *options, extra=extra)
    try:
        yield lab
    finally:
        lab.stop()


def wait_for(what: str, seen: Any, seconds: float = 20) -> None:
    """Until `seen()` is true."""
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.05)
