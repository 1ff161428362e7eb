"""Types of addresses, read off how they are written."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from glasstumbler.lab.public import NONE, Graph, Ints

Kinds = npt.NDArray[np.int8]
PATTERNS: Final = (
    "^[mn][1-9A-HJ-NP-Za-km-z]{25,34}$|^[a-z]+:q",
    "^[2Q][1-9A-HJ-NP-Za-km-z]{25,34}$|^[a-z]+:p",
    "^[a-z]+1q[a-z0-9]{38}$",
    "^[a-z]+1q[a-z0-9]{58}$",
    "^[a-z]+1p[a-z0-9]{58}$",
)
"""In test-network form: to a key's hash, to a script's hash, the same two under witness version 0, taproot. The place
in this table is the type's number; what matches none has NONE."""


def address_kinds(graph: Graph) -> Kinds:
    """By address."""
    kinds = np.full(graph.addresses, NONE, np.int8)
    for number, pattern in reversed(list(enumerate(PATTERNS))):
        kinds[_matches(graph.names, pattern)] = number
    return kinds


def _matches(names: pa.ChunkedArray, pattern: str) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = pc.match_substring_regex(names, pattern).to_numpy().astype(np.bool_)
    return found


def kinds_of(addresses: Ints, kinds: Kinds) -> Kinds:
    """For each number of an address; NONE for NONE."""
    found = np.full(len(addresses), NONE, np.int8)
    known = addresses != NONE
    found[known] = kinds[addresses[known]]
    return found
