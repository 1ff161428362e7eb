"""What clients asked for and what they were told: the driver's own journal, outside of the server.

Every request is written down before it is sent, and its outcome once it is known. An outcome is `ok` (acknowledged),
`fail` (certainly not done) or `unknown` (the connection broke, or the server said that something inside went wrong: it
may have happened).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

from tests.faults.wire import Refused, Unknown

Outcome = Literal["ok", "fail", "unknown"]


@dataclass
class Op:
    """One request. `kind`: create, pay, invoice, ask, mine, advance, reorg."""

    number: int
    client: str
    kind: str
    what: dict[str, Any]
    outcome: Outcome = "unknown"
    said: dict[str, Any] = field(default_factory=dict)

    def ok(self, **said: Any) -> None:
        self.outcome, self.said = "ok", said


class History:
    """Safe from any thread. `path`: also kept as JSON lines, for whoever looks into a failure."""

    def __init__(self, path: Path | None = None) -> None:
        self.ops: list[Op] = []
        self._lock = threading.Lock()
        self._file: TextIO | None = path.open("a") if path else None

    @contextmanager
    def op(self, client: str, kind: str, **what: Any) -> Iterator[Op]:
        """`unknown` unless the block says `ok`, or ends with Refused. Neither error leaves the block."""
        with self._lock:
            op = Op(len(self.ops), client, kind, what)
            self.ops.append(op)
        self._write({"op": op.number, "client": client, "kind": kind, "what": what})
        try:
            yield op
        except Refused as error:
            op.outcome, op.said = "fail", {"why": str(error)}
        except Unknown as error:
            op.said = {"why": str(error)}
        finally:
            self._write({"op": op.number, "outcome": op.outcome, "said": op.said})

    def of(self, kind: str, *outcomes: Outcome) -> list[Op]:
        with self._lock:
            return [op for op in self.ops if op.kind == kind and (not outcomes or op.outcome in outcomes)]

    def counts(self) -> dict[str, int]:
        """How many requests had each outcome."""
        with self._lock:
            return {name: sum(op.outcome == name for op in self.ops) for name in ("ok", "fail", "unknown")}

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is not None:
            with self._lock:
                self._file.write(json.dumps(line, default=str) + "\n")
                self._file.flush()
