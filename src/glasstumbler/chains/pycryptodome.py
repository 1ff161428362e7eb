"""The two digests that we take from PyPI `pycryptodome`, loaded without cffi.

It would use cffi if it is there, whose parser of C takes a tenth of a second to read a dozen declarations; without it
pycryptodome goes by ctypes, which is no slower (11 us a digest).
"""

from __future__ import annotations

import sys
from types import ModuleType

_absent = object()
_held: ModuleType | object | None = sys.modules.get("cffi", _absent)
sys.modules["cffi"] = None  # type: ignore[assignment]  # an import of it fails
try:
    from Crypto.Hash import RIPEMD160, keccak
finally:
    if isinstance(_held, ModuleType):
        sys.modules["cffi"] = _held
    else:
        del sys.modules["cffi"]

__all__ = ["RIPEMD160", "keccak"]
