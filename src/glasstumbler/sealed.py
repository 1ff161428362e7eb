"""The folder's secret under a key that is not in the folder: whoever copies the folder alone has nothing.

The key is a text, from the environment variable GLASSTUMBLER_KEY: a passphrase, or better what `openssl rand -hex 32`
prints. scrypt (RFC 7914) stretches it, ChaCha20-Poly1305 (RFC 8439) seals. A sealed file is a magic line, salt (16),
nonce (12), ciphertext with its tag.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from glasstumbler.errors import SettingsError, StoreError

VARIABLE: Final = "GLASSTUMBLER_KEY"
LEAST: Final = 16
"""Characters of a key."""
_MAGIC: Final = b"glasstumbler sealed secret 1\n"
_SALT, _NONCE = 16, 12
_COST, _BLOCK, _LANES = 1 << 15, 8, 1
"""32 MiB and about a tenth of a second for each guess."""


def key_of(environment: Mapping[str, str]) -> str | None:
    """The key, None if there is none; SettingsError if it is too short to be one."""
    key = environment.get(VARIABLE)
    if key is not None and len(key) < LEAST:
        raise SettingsError(f"{VARIABLE} has {len(key)} characters; {LEAST} at least: `openssl rand -hex 32`")
    return key


def is_sealed(raw: bytes) -> bool:
    return raw.startswith(_MAGIC)


def seal(secret: bytes, key: str) -> bytes:
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    return _MAGIC + salt + nonce + _cipher(key, salt).encrypt(nonce, secret, _MAGIC)


def unseal(raw: bytes, key: str) -> bytes:
    """StoreError if the key is another one, or the bytes are damaged: nothing tells which."""
    rest = raw.removeprefix(_MAGIC)
    salt, nonce, sealed = rest[:_SALT], rest[_SALT : _SALT + _NONCE], rest[_SALT + _NONCE :]
    try:
        return _cipher(key, salt).decrypt(nonce, sealed, _MAGIC)
    except (InvalidTag, ValueError):
        raise StoreError(f"it is sealed under another key than the one in {VARIABLE}, or damaged") from None


def _cipher(key: str, salt: bytes) -> ChaCha20Poly1305:
    stretched = Scrypt(salt, length=32, n=_COST, r=_BLOCK, p=_LANES).derive(os.fsencode(key))
    return ChaCha20Poly1305(stretched)
