"""What a folder keeps secret: one random file, from which every key and token is derived.

`DATA/secret` (32 bytes, mode 0600) is made with the folder. Wallet seeds, letter key, lab token, the first API key of
each service and the secrets that sign replies follow from it by HMAC-SHA256 with a purpose; none of them is stored.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import random
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from glasstumbler.clock import token
from glasstumbler.engine.commands import Account
from glasstumbler.errors import StoreError
from glasstumbler.store.records import KeyRow

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
KEY_LENGTHS = {"bestmixer": 10}
"""Symbols of an API key where a document says so; elsewhere 32."""
_FILE = "secret"


class Vault:
    def __init__(self, master: bytes) -> None:
        self._master = master

    @classmethod
    def of_folder(cls, folder: Path, make: bool = True) -> Vault:
        path = folder / _FILE
        if folder.exists() and not folder.is_dir():
            raise StoreError(f"{folder} is a file, not a folder")
        try:
            if make and not path.exists():
                folder.mkdir(parents=True, exist_ok=True)
                _make(path)
            master = path.read_bytes()
        except FileNotFoundError:
            raise StoreError(f"{folder} is no folder of Glass Tumbler: it has no file {_FILE!r}") from None
        except OSError as error:
            raise StoreError(f"cannot use {path}: {error.strerror}") from None
        if len(master) != 32:
            raise StoreError(f"{path} is damaged: it holds {len(master)} bytes, not 32")
        return cls(master)

    def derive(self, purpose: str) -> bytes:
        return _derive(self._master, purpose)

    @property
    def fingerprint(self) -> str:
        """By which a record knows its laboratory; nothing else follows from it."""
        return self.derive("fingerprint").hex()[:32]

    @property
    def wallet_seed(self) -> bytes:
        return self.derive("wallet seed")

    @property
    def letter_key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.derive("letter key"))

    @property
    def lab_token(self) -> str:
        return self.derive("lab token").hex()[:32]

    def first_key(self, service: str) -> str:
        """The API key that a new folder comes with."""
        return new_key(service, random.Random(self.derive(f"first key {service}")))  # noqa: S311

    def account(self, row: KeyRow) -> Account:
        return Account(row.id, _reply_secret(self._master, row.key_hash), row.blocked)


def _make(path: Path) -> None:
    """Whole or not at all, and once: runs that begin together find the one that was first."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    made = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(os.urandom(32))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(made)
    finally:
        made.unlink()


def _derive(master: bytes, purpose: str) -> bytes:
    return hmac.digest(master, purpose.encode(), "sha256")


@lru_cache(maxsize=4096)
def _reply_secret(master: bytes, key_hash: bytes) -> str:
    return _derive(master, f"reply secret {key_hash.hex()}").hex()[:40]


def new_key(service: str, chance: random.Random) -> str:
    return token(chance, ALPHABET, KEY_LENGTHS.get(service, 32))


def key_row(service: str, key: str, now: int) -> KeyRow:
    """What is kept of an API key: a hash. The keys are random, so a plain hash cannot be guessed back."""
    key_hash = hashlib.sha256(f"{service}:{key}".encode()).digest()
    return KeyRow(f"{service}-{key_hash[:6].hex()}", service, key_hash, now, False)
