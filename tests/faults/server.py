"""`glasstumbler serve` as a child process that can be killed at any moment, its start included."""

from __future__ import annotations

import signal
import subprocess
import threading
from pathlib import Path

from glasstumbler.services import SERVICES
from tests.faults.wire import Wire
from tests.web.server import COMMAND, environment, run

START_SECONDS = 300
"""After which a server that is not ready is given up; a busy machine takes long."""
STOP_SECONDS = 30
_YEAR = str(300 * 24 * 3600)
SETTINGS = {
    "GLASSTUMBLER__LAB__RATE_LIMITS": "off",
    **{f"GLASSTUMBLER__{slug.upper()}__EXPIRY": _YEAR for slug in SERVICES},
    **{
        f"GLASSTUMBLER__{slug.upper()}__COINS__{coin.upper()}__FLOAT_PIECES": "8"
        for slug, kind in SERVICES.items()
        for coin, policy in kind.policy.coins.items()
        if policy.float_pieces
    },
}
"""Small floats, so that a folder begins quickly; no order expires while a test lets time pass."""


class Server:
    """`urls` by service slug and `hub`; `keys` by slug: once it is ready."""

    def __init__(self, folder: Path, *options: str, extra: dict[str, str] | None = None) -> None:
        self.folder, self.options = folder, options
        self.errors = folder.with_name(folder.name + ".stderr")
        self.urls: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        arguments = [*COMMAND, "serve", "--data", str(folder), "--port", "0", "--block-interval", "0", *options]
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                arguments, stdout=subprocess.PIPE, stderr=errors, env=environment(SETTINGS | (extra or {}))
            )

    def ready(self) -> Server:
        """Waits for the announcement, then for the first answer. RuntimeError if it ends before."""
        watchdog = threading.Timer(START_SECONDS, self.process.kill)
        watchdog.start()
        try:
            self._read()
        finally:
            watchdog.cancel()
        Wire([self.urls["hub"]]).get("/lab/v1/chains")
        return self

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            words = line.decode().split()
            if words[:2] == ["lab", "token"]:
                return
            if words[0] in (*SERVICES, "hub"):
                self.urls[words[0]] = words[1]
                self.keys[words[0]] = dict(zip(words[2::2], words[3::2], strict=True)).get("api_key", "")
        code = self.process.wait(STOP_SECONDS)
        raise RuntimeError(f"no laboratory (exit code {code}): {self.errors.read_text()[-4000:]}")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Its exit code, once it has gone."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_SECONDS)
            raise RuntimeError(f"it does not end: {self.errors.read_text()[-4000:]}") from None
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()


def audit(folder: Path, *options: str) -> list[str]:
    """Differences that the command finds; none if it ends well."""
    code, out, err = run("audit", "--data", folder, *options)
    return [] if code == 0 else [f"audit ended with {code}: {out}{err}"]
