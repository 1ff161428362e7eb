"""Disasters by seed: the four promises hold in all of them, and a planted bug is found."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from glasstumbler.torture.run import live, torture
from glasstumbler.torture.schedule import Schedule, draw
from tests.torture.plants import PLANTS

SEEDS, CHUNK, STEPS = 208, 8, 50
MOST_SEEDS = 100


def test_the_power_may_fail_while_every_process_is_dead_already() -> None:
    """Found by seed 5345: whoever was started next died of it, again and again."""
    steps = {each.number: each for each in draw(5345, 150).steps}
    opened, dies, cut = steps[119], steps[145], steps[149]
    assert (opened.what, dies.what, cut.what) == ("open", "pay", "power cut")
    assert live(Schedule(5345, ("btc",), 1, (opened, dies, cut))) is None


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_the_four_promises_hold_whatever_happens(first: int) -> None:
    for seed in range(first, first + CHUNK):
        failure = live(draw(seed, STEPS))
        assert failure is None, f"glasstumbler torture --seed {seed} --steps {STEPS}\n{failure}"


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTS[name](monkeypatch)
    assert any(live(draw(seed, STEPS)) for seed in range(MOST_SEEDS))


def test_a_failure_is_shortened_and_told_alike_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTS["round in our favour"](monkeypatch)
    first, second = (torture(0, STEPS, tries=25).lines() for _ in range(2))
    assert first == second
    assert "0 of" not in first[1] and len(first) < 15
    assert first[0].startswith("seed 0, step ") and "paid once" in first[0]


def test_all_services_and_all_chains_are_met() -> None:
    schedules = [draw(seed, STEPS) for seed in range(SEEDS)]
    assert {chain for schedule in schedules for chain in schedule.chains} == {
        *("btc", "ltc", "bch", "eth", "xmr", "lightning")
    }
    assert {request[0] for schedule in schedules for request in _requests(schedule)} == {
        *("bearer", "codes", "swap", "lightning")
    }
    assert {schedule.workers for schedule in schedules} == {1, 2}


def _requests(schedule: Schedule) -> list[tuple[object, ...]]:
    return [request for step in schedule.steps for request in step.args.get("requests", [])]


def test_a_seed_is_the_same_run_in_every_process() -> None:
    """Whatever order the interpreter's sets have."""
    told = [_trace(hash_seed) for hash_seed in ("1", "2")]
    assert told[0] == told[1] and len(told[0].splitlines()) > 40


def _trace(hash_seed: str) -> str:
    program = (
        "from glasstumbler.torture.schedule import draw; from glasstumbler.torture.world import World\n"
        "for seed in (1, 4):\n"
        " schedule = draw(seed, 40); world = World(schedule)\n"
        " [world.take(step) for step in schedule.steps]; world.settle()\n"
        " print('\\n'.join(world.mischief.trace)); print(world.head()); world.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout
