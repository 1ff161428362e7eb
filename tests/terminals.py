"""A command on a terminal of its own, as a person has it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping
from pathlib import Path

from tests.web.server import COMMAND, environment

SECONDS = 60
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def on_terminal(
    *arguments: str | Path, columns: int = 80, lines: int = 40, extra: Mapping[str, str] | None = None, until: str = ""
) -> tuple[int, str]:
    """Exit code, and all that went to the terminal. `until`: what must be seen before Ctrl-C is pressed."""
    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    around = {"TERM": "xterm-256color", **(extra or {})}
    command = [*COMMAND, *map(str, arguments)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(around)) as process:
        os.close(theirs)
        end, seen, pressed = time.monotonic() + SECONDS, b"", not until
        try:
            while time.monotonic() < end:
                try:
                    part = os.read(mine, 65536)
                except OSError:  # the other end is closed
                    break
                seen += part
                if not pressed and until in seen.decode(errors="replace"):
                    process.send_signal(signal.SIGINT)
                    pressed = True
        finally:
            os.close(mine)
            if process.poll() is None and time.monotonic() >= end:
                process.kill()
    return process.returncode, seen.decode()


def plain(seen: str) -> list[str]:
    """The lines, without colours and without what moves the cursor."""
    text = seen.replace("\x1b[1A", "\n").replace("\r", "")  # a picture that is drawn again begins on lines of its own
    return [line.rstrip() for line in _CONTROLS.sub("", text).split("\n")]
