"""A server that meets a fault under load and lives on: a disk that is full for a while, a process that stands still.

`python -m tests.faults.hardship FOLDER RECORD FULL` is the story of a full disk, told where FULL is a small filesystem:
FOLDER or RECORD (the record's file) or both are on it. It prints what went wrong as a JSON list.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.check import check
from tests.faults.disk import Filler
from tests.faults.driver import Driver
from tests.faults.history import History
from tests.faults.server import Server, audit
from tests.faults.wire import Refused, Unknown, Wire
from tests.faults.world import Witness

BEFORE, AFTER = 1.0, 1.5
"""Seconds of load before the fault and after it."""
UNAVAILABLE = {
    "bestmixer": "Service is temporarily unavailable",
    "btcmix": '503 b\'{"code":503,"description":"Service temporarily unavailable."}',
    "coinjoin": '503 b\'{"code":503,"description":"Service temporarily unavailable."}',
    "whir": '503 b\'{"code":503,"description":"Service temporarily unavailable."}',
    "xmrto": '503 b\'{"error":"XMRTO-ERROR-001"',
}
"""How each dialect says that the fault is the service's."""
SHORT = "XMRTO-ERROR-008"
"""Of the swap: its coins wait for a block that nobody can mine now."""
NAMED = ("did not take a change", "turn failed; it is tried again", "no block was mined", "the consensus engine")
"""What a line on standard error may be about."""
Fault = Callable[[Server, Driver], None]


def endure(server: Server, fault: Fault, seed: str, patience: float = 30) -> tuple[Driver, list[str]]:
    """Load, the fault under load, load again, an orderly end, a new start, and all checks. `fault` returns when it is
    over. The driver, for its history, and the differences."""
    folder, options = server.folder, server.options
    witness, history = Witness(folder / "chains"), History()
    driver = Driver(Wire([server.urls["hub"]], patience), history, server.keys, seed)
    driver.during(lambda: time.sleep(BEFORE))
    driver.during(lambda: fault(server, driver))
    driver.during(lambda: time.sleep(AFTER))
    recovered = any(op.kind == "create" and op.outcome == "ok" for op in history.ops[-20:])
    found = [] if recovered else ["no order was taken after the fault was over"]
    if (code := server.end(signal.SIGTERM)) != 0:
        found.append(f"the server ended with {code}")
    driver.settle_doubts(world := witness.look())
    server = Server(folder, *options).ready()
    try:
        driver.wire.urls[:] = [server.urls["hub"]]
        found += check(history, world, driver.look_at_all())
        if not driver.finish(witness.look()):
            found.append("not every funded order was done")
        looks = driver.look_at_all()
        found += check(history, witness.look(), looks, over=True)
    except (Unknown, Refused) as error:
        found.append(f"after the fault: {error}")
    finally:
        server.end(signal.SIGTERM)
    return driver, found + audit(folder, *options)


def full_disk(fill: Callable[[], None], free: Callable[[], None], seconds: float = 2.5) -> Fault:
    """The disk is full for so long; every service is asked for orders meanwhile."""

    def fault(server: Server, driver: Driver) -> None:
        fill()
        time.sleep(seconds)
        free()

    return fault


def refusals(history: History) -> list[str]:
    """Creations that were answered otherwise than by an order or by the dialect's own word for its own fault."""
    return [
        f"{op.what['service']} answered {op.said['why']}"
        for op in history.of("create", "unknown", "fail")
        if UNAVAILABLE[op.what["service"]] not in op.said["why"] and SHORT not in op.said["why"]
    ]


def traces(errors: Path) -> list[str]:
    """Lines on standard error that are not one clear line about what happened."""
    lines = errors.read_text().splitlines()
    return [f"standard error: {line}" for line in lines if "Traceback" in line or not any(n in line for n in NAMED)]


def main() -> None:
    folder, record, small = map(Path, sys.argv[1:4])
    filler = Filler(small)
    server = Server(folder, "--store", f"sqlite:///{record}").ready()
    driver, found = endure(server, full_disk(filler.fill, filler.free), "full disk")
    found += refusals(driver.history) + traces(server.errors)
    if not driver.history.of("mine", "unknown"):
        found.append("the disk was never full")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
