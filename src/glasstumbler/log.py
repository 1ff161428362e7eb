"""The program's log: structured lines on standard error. No line holds a key.

structlog draws in much else, so it is loaded with the first line that is written: a start that has nothing to report
does not wait for it.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_least = LEVELS["warning"]


def set_level(name: str) -> None:
    """debug, info, warning or error: what is below is not written. Another name leaves it as it is."""
    global _least
    _least = LEVELS.get(name.lower(), _least)


def info(event: str, **fields: object) -> None:
    _write("info", event, fields)


def warning(event: str, **fields: object) -> None:
    _write("warning", event, fields)


def error(event: str, **fields: object) -> None:
    _write("error", event, fields)


def exception(event: str, **fields: object) -> None:
    """An error of which nobody knew, with its trace."""
    _write("error", event, {**fields, "exc_info": True})


def _write(level: str, event: str, fields: dict[str, Any]) -> None:
    if LEVELS[level] < _least:
        return
    import structlog

    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        exception_formatter=structlog.dev.plain_traceback,  # no variables: some are secret
    )
    stamps: list[Any] = [structlog.processors.TimeStamper(fmt="iso", utc=True), structlog.processors.add_log_level]
    logger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[*stamps, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS["debug"]),
    )
    with suppress(OSError, ValueError):  # a full disk or a closed pipe must not stop what is reported
        getattr(logger, level)(event, **fields)
