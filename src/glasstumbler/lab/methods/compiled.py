"""Loops over whole chains, compiled. numba has no types of its own to check, so the decorator gets one here."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

_P = ParamSpec("_P")
_R = TypeVar("_R")


def compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Machine code at the first call, kept beside the source for the next process. Such a function sees numbers and
    arrays only; it checks no bounds."""
    return cast("Callable[_P, _R]", njit(cache=True)(function))
