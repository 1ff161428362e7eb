"""The program's log: structured lines on standard error. No line holds a key.

Who reads standard error may stop doing so: a paused terminal, a pipe that nobody empties. A server that wrote its lines
itself would stand still with it, deaf to requests and to Ctrl-C. So a thread writes them; what it cannot write in time
is dropped, and counted.

structlog draws in much else, so it is loaded with the first line for a terminal: a start that has nothing to report
does not wait for it.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any, TextIO

import msgspec

from glasstumbler.errors import SettingsError

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
FORMATS = ("text", "json")
_MOST_WAITING = 10_000
_LAST_SECONDS = 1.0
"""For what still waits when the process ends."""
_STDERR = 2
_least = LEVELS["warning"]
_form = "text"
_lines: Lines | None = None


def configure(environment: Mapping[str, str]) -> None:
    """For a command: GLASSTUMBLER_LOG is debug, info, warning (default) or error; GLASSTUMBLER_LOG_FORMAT is text or
    json, by default text on a terminal and json elsewhere. SettingsError for anything else."""
    global _form, _lines
    level = environment.get("GLASSTUMBLER_LOG", "warning")
    if level.lower() not in LEVELS:
        raise SettingsError(f"GLASSTUMBLER_LOG is one of {', '.join(LEVELS)}, not {level!r}")
    form = environment.get("GLASSTUMBLER_LOG_FORMAT", "text" if sys.stderr.isatty() else "json")
    if form not in FORMATS:
        raise SettingsError(f"GLASSTUMBLER_LOG_FORMAT is {' or '.join(FORMATS)}, not {form!r}")
    set_level(level)
    _form, _lines = form, Lines()
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # a stranger's bad HTTP is counted, not told


def reset() -> None:
    """As it was before `configure`: warnings, as text, by whoever writes them."""
    global _form, _lines
    set_level("warning")
    _form, _lines = "text", None


def set_level(name: str) -> None:
    """debug, info, warning or error: what is below is not written. Another name leaves it as it is."""
    global _least
    _least = LEVELS.get(name.lower(), _least)


def told(level: str) -> bool:
    """Whether lines of this level are written."""
    return LEVELS[level] >= _least


def info(event: str, **fields: object) -> None:
    _write("info", event, fields)


def warning(event: str, **fields: object) -> None:
    _write("warning", event, fields)


def error(event: str, **fields: object) -> None:
    _write("error", event, fields)


def exception(event: str, **fields: object) -> None:
    """An error of which nobody knew, with its trace."""
    _write("error", event, {**fields, "exc_info": sys.exc_info()})


def printable(text: str) -> str:
    """One line without control characters: what came from outside neither ends a line nor drives a terminal."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def _write(level: str, event: str, fields: dict[str, Any]) -> None:
    if LEVELS[level] < _least:
        return
    clean = {key: printable(value) if isinstance(value, str) else value for key, value in fields.items()}
    line = (_as_json if _form == "json" else _as_text)(level, {"event": printable(event), **clean})
    out: TextIO | Lines = _lines or sys.stderr
    with suppress(OSError, ValueError):  # a full disk or a closed pipe must not stop what is reported
        out.write(line + "\n")
        out.flush()


def _as_json(level: str, fields: dict[str, Any]) -> str:
    if error := fields.pop("exc_info", None):
        fields["exception"] = _trace(error)
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return msgspec.json.encode({"timestamp": now, "level": level, **fields}, enc_hook=str).decode()


def _trace(problem: Any) -> str:
    """Without variables, some of which are secret."""
    return "\n".join(map(printable, "".join(traceback.format_exception(*problem)).rstrip("\n").split("\n")))


def _indented(out: TextIO, problem: Any) -> None:
    """So that no line of an error's text passes for an entry of the log."""
    out.write("\n".join(f"  {line}" for line in _trace(problem).split("\n")))


def _as_text(level: str, fields: dict[str, Any]) -> str:
    line: Any = fields
    for processor in _processors(sys.stderr.isatty()):
        line = processor(None, level, line)
    return str(line)


@cache
def _processors(terminal: bool) -> tuple[Any, ...]:
    import structlog

    return (
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=_indented),
    )


class Lines:
    """A descriptor as a file that never makes the writer wait."""

    def __init__(self, descriptor: int = _STDERR) -> None:
        self._descriptor = descriptor
        self._waiting: queue.Queue[str] = queue.Queue(_MOST_WAITING)
        self._dropped = 0
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def write(self, text: str) -> None:
        if self._thread is None:
            self._start()
        try:
            self._waiting.put_nowait(text)
        except queue.Full:
            self._dropped += 1

    def flush(self) -> None:
        """The thread does it."""

    def finish(self) -> None:
        """Wait for what was written before, but not for ever."""
        waiter = threading.Thread(target=self._waiting.join, daemon=True)
        waiter.start()
        waiter.join(_LAST_SECONDS)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                atexit.register(self.finish)
                self._thread = threading.Thread(target=self._work, name="log", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            text = self._waiting.get()
            dropped, self._dropped = self._dropped, 0
            if dropped:
                text += f"glasstumbler: {dropped} lines of the log were dropped: nobody read them\n"
            try:
                _put(self._descriptor, text.encode())
            except OSError:
                pass  # standard error is gone: there is nobody to tell
            finally:
                self._waiting.task_done()


def _put(descriptor: int, raw: bytes) -> None:
    while raw:
        raw = raw[os.write(descriptor, raw) :]


class _Forward(logging.Handler):
    """What libraries say by the standard library's logging goes the same way."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else "warning"
        fields = {"exc_info": record.exc_info} if record.exc_info else {}
        _write(level, record.getMessage(), {"source": record.name, **fields})
