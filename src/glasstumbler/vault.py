"""What a folder keeps secret: one random file, from which every key and token is derived.

`DATA/secret` (32 bytes, mode 0600) is made with the folder; with GLASSTUMBLER_KEY set it is sealed (sealed.py). Wallet
seeds, letter key, lab token, the first API key of
each service and the secrets that sign replies follow from it by HMAC-SHA256 with a purpose; none of them is stored.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import random
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from glasstumbler import sealed
from glasstumbler.clock import token
from glasstumbler.engine.commands import Account
from glasstumbler.errors import SettingsError, StoreError
from glasstumbler.store.records import KeyRow

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
KEY_LENGTHS = {"bestmixer": 10}
"""Symbols of an API key where a document says so; elsewhere 32."""
_FILE, _SIZE = "secret", 32


class Vault:
    def __init__(self, master: bytes) -> None:
        self._master = master

    @classmethod
    def of_folder(cls, folder: Path, make: bool = True, environment: Mapping[str, str] = os.environ) -> Vault:
        """StoreError if the folder is none, its secret is open to others, damaged, or does not fit GLASSTUMBLER_KEY."""
        path, key = folder / _FILE, sealed.key_of(environment)
        if folder.exists() and not folder.is_dir():
            raise StoreError(f"{folder} is a file, not a folder")
        try:
            if make and not path.exists():
                folder.mkdir(parents=True, exist_ok=True)
                _make(path, key)
            raw = _read(path)
        except FileNotFoundError:
            raise StoreError(
                f"{folder} is no folder of Glass Tumbler: it has no file {_FILE!r}; "
                f"name another (--data), or make one: `glasstumbler serve --data {folder}`"
            ) from None
        except OSError as error:
            raise StoreError(f"cannot use {path}: {error.strerror}") from None
        return cls(_open(path, raw, key))

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


def change_seal(folder: Path, seal: bool, environment: Mapping[str, str] = os.environ) -> None:
    """Seal a folder's secret under GLASSTUMBLER_KEY, or take the seal off. StoreError if it cannot be done."""
    path, key = folder / _FILE, sealed.key_of(environment)
    if key is None:
        raise SettingsError(f"the key is wanted in {sealed.VARIABLE}")
    try:
        raw = _read(path)
        if sealed.is_sealed(raw) == seal:
            raise StoreError(f"{path} is {'sealed already' if seal else 'not sealed'}")
        master = _open(path, raw, None if seal else key)
        made = _written(path.parent, sealed.seal(master, key) if seal else master)
        made.replace(path)
        sync(path.parent)
    except OSError as error:
        raise StoreError(f"cannot use {path}: {error.strerror}") from None


def _read(path: Path) -> bytes:
    mode = path.stat().st_mode
    if os.name == "posix" and stat.S_ISREG(mode) and mode & 0o077:
        shown = f"mode {stat.S_IMODE(mode):04o}"
        raise StoreError(f"{path} is open to other users ({shown}); mend it with: chmod 600 {path}")
    return path.read_bytes()


def _open(path: Path, raw: bytes, key: str | None) -> bytes:
    """The master secret in what the file holds."""
    if sealed.is_sealed(raw):
        if key is None:
            raise StoreError(f"{path} is sealed: its key is wanted in {sealed.VARIABLE}")
        try:
            raw = sealed.unseal(raw, key)
        except StoreError as error:
            raise StoreError(f"cannot open {path}: {error}") from None
    elif key is not None:
        raise StoreError(f"{path} is not sealed, but {sealed.VARIABLE} is set: `glasstumbler seal` seals it")
    if len(raw) != _SIZE:
        raise StoreError(f"{path} is damaged: it holds {len(raw)} bytes, not {_SIZE}")
    return raw


def _make(path: Path, key: str | None) -> None:
    """Whole or not at all, and once: runs that begin together find the one that was first."""
    master = os.urandom(_SIZE)
    made = _written(path.parent, master if key is None else sealed.seal(master, key))
    try:
        with suppress(FileExistsError):
            path.hardlink_to(made)
    finally:
        made.unlink()


def _written(folder: Path, raw: bytes) -> Path:
    """A new file that only its owner reads, on disk."""
    handle, name = tempfile.mkstemp(dir=folder)
    with os.fdopen(handle, "wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
