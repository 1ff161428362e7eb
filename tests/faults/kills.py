"""`kill -9` under load, again and again: after each, nothing acknowledged is lost and nothing is paid twice.

`python -m tests.faults.kills --kills 1000 --seed 1` runs many scenarios and prints what they found.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

from tests.faults.check import check
from tests.faults.driver import Driver
from tests.faults.history import History
from tests.faults.server import Server, audit
from tests.faults.wire import Unknown, Wire
from tests.faults.world import Witness

AUDIT_EVERY = 5
IN_A_SCENARIO = 25
GOING_MOST = 10
"""Seconds that are waited for requests to be acknowledged before a kill."""
START_MOST = 2.5
"""Seconds within which a server that starts is killed."""


@dataclass
class Found:
    """Of one scenario, or of several added up."""

    kills: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    orders: int = 0
    funded: int = 0
    audits: int = 0
    differences: list[str] = field(default_factory=list)

    def add(self, other: Found) -> None:
        self.kills += other.kills
        self.outcomes += other.outcomes
        self.orders, self.funded, self.audits = (
            self.orders + other.orders, self.funded + other.funded, self.audits + other.audits,
        )  # fmt: skip
        self.differences += other.differences

    def lines(self) -> list[str]:
        moments = ", ".join(f"{name} {number}" for name, number in sorted(self.kills.items()))
        outcomes = ", ".join(f"{number} {name}" for name, number in sorted(self.outcomes.items()))
        return [
            f"{self.kills.total()} kills: {moments}",
            f"{self.outcomes.total()} requests: {outcomes}",
            f"{self.orders} orders acknowledged, {self.funded} funded, {self.audits} audits",
            f"{len(self.differences)} differences",
            *self.differences[:20],
        ]


# -- moments ----------------------------------------------------------------------------------------------------------


def _get_going(driver: Driver, requests: int) -> None:
    """Until so many requests more were acknowledged: a busy machine takes longer to have something to lose."""
    goal = driver.history.counts()["ok"] + requests
    end = time.monotonic() + GOING_MOST
    while driver.history.counts()["ok"] < goal and time.monotonic() < end:
        time.sleep(0.01)


def _under_load(server: Server, driver: Driver, chance: random.Random) -> None:
    _get_going(driver, chance.randint(1, 50))


def _in_the_middle(call: Callable[[Driver, random.Random], None], most: float) -> Callable[..., None]:
    """So soon after a request of the laboratory's hand was sent."""

    def act(server: Server, driver: Driver, chance: random.Random) -> None:
        _get_going(driver, chance.randint(5, 25))
        asking = threading.Thread(target=call, args=(driver, random.Random(chance.random())))
        asking.start()
        time.sleep(chance.random() * most)
        server.send(signal.SIGKILL)
        asking.join()

    return act


def _stopping(server: Server, driver: Driver, chance: random.Random) -> None:
    _get_going(driver, chance.randint(5, 25))
    server.send(signal.SIGTERM)
    time.sleep(chance.random() * 0.4)


MOMENTS: dict[str, Callable[[Server, Driver, random.Random], None]] = {
    "under load": _under_load,
    "mining": _in_the_middle(Driver.mine, 0.06),
    "reorganising": _in_the_middle(Driver.reorg, 0.08),
    "advancing the clock": _in_the_middle(Driver.advance, 0.15),
    "stopping": _stopping,
}


def _starting(folder: Path, chance: random.Random) -> None:
    server = Server(folder)
    time.sleep(chance.random() * START_MOST)
    server.end()


# -- scenarios --------------------------------------------------------------------------------------------------------


def scenario(folder: Path, seed: str, kills: int) -> Found:
    """So many kills of a server on this folder, each followed by a restart and by all checks; then the faults are over
    and every funded order must be done."""
    chance, found = random.Random(seed), Found()
    history = History(folder.with_name(folder.name + ".history"))
    witness = Witness(folder / "chains")
    server = Server(folder).ready()
    wire = Wire([server.urls["hub"]])
    driver = Driver(wire, history, server.keys, seed)
    try:
        while found.kills.total() < kills and not found.differences:
            moment = chance.choice(list(MOMENTS))
            driver.during(lambda: _kill(MOMENTS[moment], server, driver, chance))  # noqa: B023
            found.kills[moment] += 1
            driver.settle_doubts(world := witness.look())
            if chance.random() < 0.25:
                _starting(folder, chance)
                found.kills["starting"] += 1
            server = Server(folder).ready()
            wire.urls[:] = [server.urls["hub"]]
            found.differences += check(history, world, driver.look_at_all())
            if found.kills.total() // AUDIT_EVERY > found.audits:
                found.differences += audit(folder)
                found.audits += 1
        if not found.differences:
            _finish(folder, server, driver, witness, found)
    except (Unknown, RuntimeError) as error:
        found.differences.append(f"{type(error).__name__}: {error}")
    finally:
        server.end()
        history.close()
    found.outcomes.update(history.counts())
    found.orders = len(history.of("create", "ok"))
    found.differences += complaints(server)
    found.differences = [f"seed {seed}: {each}" for each in found.differences]
    return found


def _kill(moment: Callable[..., None], server: Server, driver: Driver, chance: random.Random) -> None:
    moment(server, driver, chance)
    server.end()


def _finish(folder: Path, server: Server, driver: Driver, witness: Witness, found: Found) -> None:
    driver.finish(witness.look())
    looks = driver.look_at_all()
    server.end(signal.SIGTERM)
    world = witness.look()
    found.differences += check(driver.history, world, looks, over=True)
    found.differences += audit(folder)
    found.audits += 1
    found.funded = len(driver.funded(world))


def complaints(server: Server) -> list[str]:
    """What the servers on a folder wrote to standard error: nothing, if all went well."""
    said = server.errors.read_text().strip()
    return [f"standard error: {said[-3000:]}"] if said else []


def template(folder: Path) -> Path:
    """A folder with which scenarios begin: made once, copied for each."""
    Server(folder).ready().end(signal.SIGTERM)
    return folder


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--kills", type=int, default=1000)
    asked.add_argument("--seed", default="1")
    options = asked.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers go with it
    home = Path(mkdtemp(prefix="kills-"))
    began, total = time.monotonic(), Found()
    first = template(home / "template")
    while total.kills.total() < options.kills:
        number = len(list(home.glob("*.history"))) + 1
        folder = home / f"scenario-{number}"
        shutil.copytree(first, folder)
        mine = scenario(folder, f"{options.seed}.{number}", min(IN_A_SCENARIO, options.kills - total.kills.total()))
        total.add(mine)
        print(f"scenario {number}: {mine.kills.total()} kills, {mine.orders} orders", *mine.differences, sep="\n  ")
        sys.stdout.flush()
        if not mine.differences:
            shutil.rmtree(folder)
    print(f"\nseed {options.seed}, {time.monotonic() - began:.0f} s", *total.lines(), sep="\n")
    if total.differences:
        print(f"the folders with differences, and their histories, are in {home}")
    else:
        shutil.rmtree(home)
    return 1 if total.differences else 0


if __name__ == "__main__":
    raise SystemExit(main())
