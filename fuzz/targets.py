"""All targets by name. What may go in is a row here; a new reader of outside bytes gets one."""

from __future__ import annotations

from fuzz import binary, lab, replies, requests, stored, texts
from fuzz.target import Target, hold, split

TARGETS: dict[str, Target] = {
    **requests.TARGETS,
    **texts.TARGETS,
    **binary.TARGETS,
    **stored.TARGETS,
    **lab.TARGETS,
    **replies.TARGETS,
}


def _one_of_all(data: bytes) -> None:
    way, rest = split(data)
    hold(tuple(TARGETS.values())[way % len(TARGETS)], rest)


ALL = Target(_one_of_all, ())
"""Every target in one process, chosen by the first byte: for a short look at all of them."""
