"""The folder's one secret and what follows from it."""

from __future__ import annotations

import random
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from glasstumbler.errors import StoreError
from glasstumbler.services import SERVICES
from glasstumbler.vault import ALPHABET, Vault, key_row, new_key


def everything(vault: Vault) -> list[object]:
    row = key_row("btcmix", "a key", 0)
    return [
        vault.wallet_seed,
        vault.letter_key.private_bytes_raw(),
        vault.lab_token,
        vault.account(row).secret,
        *(vault.first_key(service) for service in SERVICES),
    ]


def test_a_folder_keeps_its_secret(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    first = Vault.of_folder(folder)
    assert everything(Vault.of_folder(folder)) == everything(Vault.of_folder(folder, make=False)) == everything(first)
    file = folder / "secret"
    assert len(file.read_bytes()) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_two_folders_share_nothing(tmp_path: Path) -> None:
    one, two = (everything(Vault.of_folder(tmp_path / name)) for name in "ab")
    assert not set(one) & set(two)


def test_no_two_things_of_a_folder_are_the_same(tmp_path: Path) -> None:
    things = everything(Vault.of_folder(tmp_path))
    assert len(set(things)) == len(things)


def test_derivation_is_hmac_sha256_with_the_purpose() -> None:
    """RFC 4231, test case 2."""
    wanted = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert Vault(b"Jefe").derive("what do ya want for nothing?").hex() == wanted


def test_nothing_of_the_secret_stands_in_what_is_derived() -> None:
    vault = Vault(bytes(range(32)))
    assert bytes(range(32)).hex() not in repr(everything(vault))
    assert "secret" not in repr(vault)


def not_a_folder(path: Path) -> Path:
    path.write_text("a file")
    return path


def damaged(path: Path) -> Path:
    path.mkdir()
    (path / "secret").write_bytes(b"short")
    (path / "secret").chmod(0o600)
    return path


def a_folder_in_its_place(path: Path) -> Path:
    (path / "secret").mkdir(parents=True)
    return path


BROKEN = [
    (not_a_folder, True, "is a file, not a folder"),
    (not_a_folder, False, "is a file, not a folder"),
    (damaged, True, "is damaged: it holds 5 bytes, not 32"),
    (a_folder_in_its_place, True, "cannot use .*: Is a directory"),
    (lambda path: path, False, "is no folder of Glass Tumbler"),
]


@pytest.mark.parametrize(("make_it", "make", "why"), BROKEN)
def test_a_folder_that_cannot_be_used(tmp_path: Path, make_it, make: bool, why: str) -> None:
    with pytest.raises(StoreError, match=why):
        Vault.of_folder(make_it(tmp_path / "data"), make)


def test_looking_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        Vault.of_folder(tmp_path / "none", make=False)
    assert not (tmp_path / "none").exists()


def test_runs_that_begin_together_agree_on_the_secret(tmp_path: Path) -> None:
    """`keys add` beside a `serve` that has just begun."""
    for attempt in range(25):
        folder, start = tmp_path / str(attempt), threading.Barrier(8)

        def open_together(folder: Path = folder, start: threading.Barrier = start) -> str:
            start.wait()
            return Vault.of_folder(folder).lab_token

        with ThreadPoolExecutor(8) as threads:
            tokens = {future.result() for future in [threads.submit(open_together) for _ in range(8)]}
        assert tokens == {Vault.of_folder(folder).lab_token}
        assert [file.name for file in folder.iterdir()] == ["secret"]


@pytest.mark.parametrize("service", SERVICES)
def test_api_keys(service: str) -> None:
    keys = {new_key(service, random.Random(seed)) for seed in range(50)}
    assert len(keys) == 50
    assert {len(key) for key in keys} == {10 if service == "bestmixer" else 32}
    assert set("".join(keys)) <= set(ALPHABET)


def test_a_key_is_kept_as_a_hash() -> None:
    row = key_row("btcmix", "the key itself", 77)
    assert (row.service, row.created, row.blocked) == ("btcmix", 77, False)
    assert len(row.key_hash) == 32 and "the key" not in repr(row)
    assert row != key_row("whir", "the key itself", 77)
    assert row.id == f"btcmix-{row.key_hash[:6].hex()}"


def test_an_account_has_its_own_secret_for_signing() -> None:
    vault = Vault(bytes(32))
    one, two = key_row("btcmix", "one", 0), key_row("btcmix", "two", 0)
    assert vault.account(one) == vault.account(one)._replace(blocked=False)
    assert vault.account(one).secret != vault.account(two).secret
    assert len(vault.account(one).secret) == 40
    assert vault.account(one._replace(blocked=True)).blocked
