"""Types of addresses, read off how they are written."""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.public import NONE, Graph, Ints

Kinds = npt.NDArray[np.int8]
"""0 to a key's hash, 1 to a script's hash, 2 and 3 the same under witness version 0, 4 taproot; NONE for others."""
_known: Final[WeakKeyDictionary[Graph, Kinds]] = WeakKeyDictionary()


def address_kinds(graph: Graph) -> Kinds:
    """By address."""
    if graph not in _known:
        parts = [_of_chunk(chunk.cast(pa.large_string())) for chunk in graph.names.chunks]
        _known[graph] = np.concatenate([np.zeros(0, np.int8), *parts])
    return _known[graph]


def kinds_of(addresses: Ints, kinds: Kinds) -> Kinds:
    """For each number of an address; NONE for NONE."""
    found = np.full(len(addresses), NONE, np.int8)
    known = addresses != NONE
    found[known] = kinds[addresses[known]]
    return found


def _of_chunk(names: pa.LargeStringArray) -> Kinds:
    if not len(names):
        return np.zeros(0, np.int8)
    _, offsets, letters = names.buffers()
    ends = np.frombuffer(offsets, np.int64)[names.offset : names.offset + len(names) + 1]
    return _read(ends, np.frombuffer(letters, np.uint8))


@compiled
def _read(ends: Ints, letters: npt.NDArray[np.uint8]) -> Kinds:
    """In test-network form: bech32 is letters, `1`, the version's letter; cashaddr letters, `:`, the type's letter;
    base58 begins with `m`, `n` or `2` (litecoin's scripts: `Q`)."""
    found = np.full(len(ends) - 1, NONE, np.int8)
    for number in range(len(found)):
        start, end = ends[number], ends[number + 1]
        at = start
        while at < end and 97 <= letters[at] <= 122:
            at += 1
        left = end - at - 2  # behind the separator and the letter that follows it
        if at > start and left > 0:
            mark, letter = letters[at], letters[at + 1]
            if mark == 49 and letter == 113 and left == 38:
                found[number] = 2
            elif mark == 49 and letter == 113 and left == 58:
                found[number] = 3
            elif mark == 49 and letter == 112 and left == 58:
                found[number] = 4
            elif mark == 58 and (letter == 113 or letter == 112):
                found[number] = 0 if letter == 113 else 1
        if found[number] == NONE and 26 <= end - start <= 35:
            if letters[start] == 109 or letters[start] == 110:
                found[number] = 0
            elif letters[start] == 50 or letters[start] == 81:
                found[number] = 1
    return found
