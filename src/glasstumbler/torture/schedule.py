"""What befalls a laboratory, drawn from a seed beforehand: steps, and the faults that strike in the middle of them.

A schedule is data. A step can be left out and the others mean what they meant, since each draws what it decides on
the spot from its own number: that is what makes a failing schedule short.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

BEARERS = ("btcmix", "coinjoin", "whir")
BARE = ("coinjoin", "whir")
"""Bearer services that take bare addresses with an open amount."""
_HOUR = 3_600


class Fault(NamedTuple):
    """`kind` strikes at the `nth` call of the kind `place` within its step (at `send`: from its step on)."""

    kind: str
    place: str
    nth: int

    def __str__(self) -> str:
        return f"{self.kind} at {self.place} {self.nth}"


class Step(NamedTuple):
    number: int
    what: str
    args: dict[str, Any]
    faults: tuple[Fault, ...] = ()

    def __str__(self) -> str:
        said = " ".join(f"{name}={value}" for name, value in self.args.items())
        struck = "".join(f"; {fault}" for fault in self.faults)
        return f"{self.number:4} {self.what} {said}".rstrip() + struck


class Schedule(NamedTuple):
    seed: int
    chains: tuple[str, ...]
    workers: int
    """Processes on one record and one set of chains."""
    steps: tuple[Step, ...]

    @property
    def coins(self) -> tuple[str, ...]:
        return tuple(coin for coin in self.chains if coin != "lightning")

    @property
    def title(self) -> str:
        return f"seed {self.seed}: {', '.join(self.chains)}; {self.workers} process{'es' * (self.workers > 1)}"


_SCENES: dict[tuple[str, ...], int] = {
    ("btc", "xmr", "lightning"): 8,
    ("btc",): 7,
    ("eth",): 3,
    ("ltc",): 1,
    ("bch",): 1,
    ("btc", "eth"): 1,
}
"""Chains that run together, and how often. Few at a time: a laboratory with all of them opens slowly."""

# Faults: the places where each kind can strike, and how often it is drawn.
_FAULTS: dict[str, tuple[int, tuple[str, ...]]] = {
    "crash before": (5, ("statement", "commit", "ask", "send", "read")),
    "crash after": (5, ("commit", "ask", "send", "send", "read")),
    "power fails": (3, ("commit",)),
    "write fails": (2, ("statement", "commit")),
    "write fails but stands": (2, ("commit",)),
    "node is down": (2, ("ask", "send")),
    "sent but not heard": (3, ("send",)),
    "not sent": (1, ("send",)),
    "swallowed": (2, ("send",)),
    "sent twice": (1, ("send",)),
    "refused": (2, ("send",)),
    "slow": (1, ("ask", "send", "commit")),
    "task lost": (1, ("hold",)),
}
_MEAN = {"statement": 12, "commit": 3, "ask": 8, "read": 6, "hold": 3}
"""About so many calls go by before a fault strikes. What strikes at sending strikes at the next time, in whichever step
that is: little is sent."""
_FAULT_IN = 0.4
"""Part of the steps in which something strikes."""

Draw = Callable[[random.Random, tuple[str, ...]], dict[str, Any]]


def _open(chance: random.Random, chains: tuple[str, ...]) -> dict[str, Any]:
    return {"requests": [_request(chance, chains) for _ in range(chance.choice((1, 1, 2, 4)))]}


def _request(chance: random.Random, chains: tuple[str, ...]) -> tuple[Any, ...]:
    kinds = ["codes"] if set(chains) - {"xmr", "lightning"} else []
    kinds += ["bearer", "bearer"] if "btc" in chains else []
    kinds += ["swap", "swap"] if {"btc", "xmr"} <= set(chains) else []
    kinds += ["lightning"] if {"xmr", "lightning"} <= set(chains) else []
    return _REQUESTS[chance.choice(kinds)](chance, chains)


def _bearer(chance: random.Random, chains: tuple[str, ...]) -> tuple[Any, ...]:
    hours, ref = chance.choice((0, 0, 1, 5)), chance.choice((None, "FRIEND1"))
    if chance.random() < 0.5:
        amounts = [chance.choice((100_000, 250_001, 700_000)) for _ in range(chance.randint(1, 3))]
        return "bearer", chance.choice(BEARERS), amounts, hours, ref
    return "bearer", chance.choice(BARE), chance.randint(1, 3), hours, ref


def _codes(chance: random.Random, chains: tuple[str, ...]) -> tuple[Any, ...]:
    coin = chance.choice([coin for coin in chains if coin not in ("xmr", "lightning")])
    shares = chance.choice(((1000,), (500, 500), (333, 334, 333)))
    fixed, minutes = chance.random() < 0.5, chance.choice((0, 0, 30, 600))
    return "codes", coin, shares, fixed, minutes, chance.randrange(1000)


def _swap(chance: random.Random, chains: tuple[str, ...]) -> tuple[Any, ...]:
    return "swap", chance.choice((100_000, 5_000_000, 30_000_000))


def _lightning(chance: random.Random, chains: tuple[str, ...]) -> tuple[Any, ...]:
    return "lightning", chance.choice((15_000, 500_000))


_REQUESTS = {"bearer": _bearer, "codes": _codes, "swap": _swap, "lightning": _lightning}

_PARTS = (1_000_000,) * 6 + (500_000, 1_300_000, 100_000, 3_000_000)
"""What is deposited, in ppm of what the order needs."""


def _pay(chance: random.Random, chains: tuple[str, ...]) -> dict[str, Any]:
    how = chance.choice(("faucet", "faucet", "own coin"))
    return {"newest": chance.randrange(5), "part": chance.choice(_PARTS), "how": how, "mine": chance.random() < 0.6}


def _coin(chance: random.Random, chains: tuple[str, ...]) -> str:
    return chance.choice([coin for coin in chains if coin != "lightning"])


def _reorg(chance: random.Random, chains: tuple[str, ...]) -> dict[str, Any]:
    forget = chance.choice(("nothing", "nothing", "payouts", "deposits", "some"))
    depth = chance.choice((1, 1, 2, 2, 3, 4, 6, 8, 12))
    return {"coin": _coin(chance, chains), "depth": depth, "forget": forget}


def _trouble(chance: random.Random, chains: tuple[str, ...]) -> dict[str, Any]:
    return {
        "coin": chance.choice(chains),
        "mode": chance.choice(("down", "stale")),
        "steps": chance.choice((1, 2, 4, 8)),
    }


_STEPS: dict[str, tuple[int, Draw]] = {
    "open": (14, _open),
    "pay": (24, _pay),
    "pay several": (1, lambda c, _: {"newest": c.randrange(4), "count": c.randint(2, 4), "part": c.choice(_PARTS)}),
    "replace": (3, lambda c, _: {"with": c.choice(("more fee", "less", "another order", "elsewhere"))}),
    "take partial": (2, lambda c, _: {"newest": c.randrange(4)}),
    "look": (1, lambda c, _: {"newest": c.randrange(8)}),
    "mine": (16, lambda c, chains: {"coin": _coin(c, chains), "blocks": c.choice((1, 1, 1, 2, 3))}),
    "fee spike": (2, lambda c, chains: {"coin": _coin(c, chains), "blocks": c.choice((1, 3, 7, 7))}),
    "reorg": (9, _reorg),
    "remember": (2, lambda c, _: {}),
    "wait": (6, lambda c, _: {"seconds": c.choice((1, 60, 300, 900, _HOUR, _HOUR, 6 * _HOUR, 30 * _HOUR))}),
    "advance": (2, lambda c, _: {"seconds": c.choice((60, _HOUR, 11 * _HOUR))}),
    "clock goes back": (2, lambda c, _: {"seconds": c.choice((1, 30, _HOUR, 8 * _HOUR))}),
    "turn": (6, lambda c, _: {}),
    "kill": (2, lambda c, _: {"process": c.randrange(2)}),
    "power cut": (1, lambda c, _: {}),
    "trouble": (4, _trouble),
    "disk is full": (1, lambda c, _: {"pages": c.randrange(4), "steps": c.choice((1, 2, 4))}),
    "stall": (1, lambda c, _: {"on": c.random() < 0.5}),
}
"""How often each step is drawn, and its arguments."""


def draw(seed: int, steps: int) -> Schedule:
    chance = random.Random(f"torture {seed}")  # noqa: S311
    (chains,) = chance.choices(list(_SCENES), list(_SCENES.values()))
    workers = chance.choice((1, 1, 2))
    kinds, weights = list(_STEPS), [weight for weight, _ in _STEPS.values()]
    drawn = []
    for number in range(1, steps + 1):
        (what,) = chance.choices(kinds, weights)
        args = _STEPS[what][1](chance, chains)
        drawn.append(Step(number, what, args, _faults(chance)))
    return Schedule(seed, chains, workers, tuple(drawn))


def _faults(chance: random.Random) -> tuple[Fault, ...]:
    struck: list[Fault] = []
    while chance.random() < _FAULT_IN and len(struck) < 3:
        (kind,) = chance.choices(list(_FAULTS), [weight for weight, _ in _FAULTS.values()])
        place = chance.choice(_FAULTS[kind][1])
        nth = 1 if place == "send" else 1 + int(chance.expovariate(1 / _MEAN[place]))
        struck.append(Fault(kind, place, nth))
    return tuple(struck)
