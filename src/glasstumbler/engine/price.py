"""The price of 1 XMR in sat: a seeded walk that depends on time alone, so that any moment can be asked again.

Value noise on three scales (ten minutes, six hours, five days): between the knots of each scale, whose heights are
hashes of seed and knot, it runs straight. Integers throughout.
"""

from __future__ import annotations

import hashlib

_SCALES = ((600, 1), (21_600, 3), (432_000, 6))
"""(seconds between knots, weight)"""
_UNIT = 1 << 16


def _height(seed: bytes, scale: int, knot: int) -> int:
    raw = hashlib.sha256(seed + scale.to_bytes(8, "big") + knot.to_bytes(8, "big", signed=True)).digest()
    return int.from_bytes(raw[:2], "big") * 2 - _UNIT


def rate(seed: bytes, when: int, base: int, swing_ppm: int) -> int:
    """Sat for 1 XMR at `when`; within `swing_ppm` of `base`."""
    total = 0
    for scale, weight in _SCALES:
        knot, into = divmod(when, scale)
        left, right = _height(seed, scale, knot), _height(seed, scale, knot + 1)
        total += weight * (left * (scale - into) + right * into) // scale
    weights = sum(weight for _, weight in _SCALES)
    return max(1, base + base * swing_ppm * total // (1_000_000 * weights * _UNIT))
