"""Secrets: sealed on request, readable by their owner only, and in no log, whatever goes wrong."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing, redirect_stderr
from pathlib import Path

import pytest

from glasstumbler import log, sealed
from glasstumbler.chains.encoding import base58check_encode
from glasstumbler.chains.keys import KeyRing
from glasstumbler.errors import SettingsError, StoreError
from glasstumbler.services import SERVICES
from glasstumbler.vault import Vault, change_seal, key_row
from tests.web.server import NO_LIMITS, ONE_CHAIN, Lab, laboratory, run

KEY = "correct horse battery staple"
ENVIRONMENT = {sealed.VARIABLE: KEY}


def secret_of(folder: Path) -> bytes:
    return (folder / "secret").read_bytes()


# -- sealing ----------------------------------------------------------------------------------------------------------


def test_a_sealed_folder_opens_with_its_key_and_no_other(tmp_path: Path) -> None:
    vault = Vault.of_folder(tmp_path, environment=ENVIRONMENT)
    raw = secret_of(tmp_path)
    assert vault._master not in raw and len(vault._master) == 32
    assert Vault.of_folder(tmp_path, environment=ENVIRONMENT).wallet_seed == vault.wallet_seed
    with pytest.raises(StoreError, match="is sealed: its key is wanted in GLASSTUMBLER_KEY"):
        Vault.of_folder(tmp_path, environment={})
    with pytest.raises(StoreError, match="sealed under another key than the one in GLASSTUMBLER_KEY, or damaged"):
        Vault.of_folder(tmp_path, environment={sealed.VARIABLE: KEY + "x"})


@pytest.mark.parametrize("place", [30, 45, 60, 80, -1])
def test_a_changed_byte_of_a_sealed_secret_is_found(place: int, tmp_path: Path) -> None:
    Vault.of_folder(tmp_path, environment=ENVIRONMENT)
    raw = bytearray(secret_of(tmp_path))
    raw[place] ^= 1
    (tmp_path / "secret").write_bytes(raw)
    with pytest.raises(StoreError, match="or damaged"):
        Vault.of_folder(tmp_path, environment=ENVIRONMENT)


@pytest.mark.parametrize("length", [29, 30, 45, 57, 58, 70, 104, 106])
def test_a_sealed_secret_of_another_length(length: int, tmp_path: Path) -> None:
    Vault.of_folder(tmp_path, environment=ENVIRONMENT)
    (tmp_path / "secret").write_bytes((secret_of(tmp_path) + b"x")[:length])
    with pytest.raises(StoreError, match="or damaged"):
        Vault.of_folder(tmp_path, environment=ENVIRONMENT)


def test_the_same_secret_is_never_sealed_alike() -> None:
    assert sealed.seal(bytes(32), KEY) != sealed.seal(bytes(32), KEY)


def test_a_folder_is_moved_from_one_to_the_other_and_back(tmp_path: Path) -> None:
    first = Vault.of_folder(tmp_path, environment={})
    with pytest.raises(StoreError, match="is not sealed, but GLASSTUMBLER_KEY is set: `glasstumbler seal` seals it"):
        Vault.of_folder(tmp_path, environment=ENVIRONMENT)
    with pytest.raises(StoreError, match="is not sealed"):
        change_seal(tmp_path, seal=False, environment=ENVIRONMENT)
    change_seal(tmp_path, seal=True, environment=ENVIRONMENT)
    assert first._master not in secret_of(tmp_path)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert Vault.of_folder(tmp_path, environment=ENVIRONMENT).wallet_seed == first.wallet_seed
    with pytest.raises(StoreError, match="is sealed already"):
        change_seal(tmp_path, seal=True, environment=ENVIRONMENT)
    with pytest.raises(StoreError, match="another key"):
        change_seal(tmp_path, seal=False, environment={sealed.VARIABLE: "another key than it"})
    change_seal(tmp_path, seal=False, environment=ENVIRONMENT)
    assert Vault.of_folder(tmp_path, environment={}).wallet_seed == first.wallet_seed
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize("key", ["", "short", "x" * 15])
def test_a_short_key_is_refused(key: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"GLASSTUMBLER_KEY has {len(key)} characters; 16 at least"):
        Vault.of_folder(tmp_path, environment={sealed.VARIABLE: key})
    assert not list(tmp_path.iterdir())


def test_a_key_of_any_bytes(tmp_path: Path) -> None:
    odd = {sealed.VARIABLE: os.fsdecode(b"\xff\xfe" + b"k" * 20)}
    assert Vault.of_folder(tmp_path, environment=odd).lab_token == Vault.of_folder(tmp_path, environment=odd).lab_token


def test_the_commands(tmp_path: Path) -> None:
    """One clear line for whatever is wrong, and the key in none of them."""
    data = tmp_path / "data"
    assert run("keys", "add", "whir", "--data", data)[0] == 0
    assert run("seal", "--data", data) == (1, "", "glasstumbler: the key is wanted in GLASSTUMBLER_KEY\n")
    code, said, errors = run("seal", "--data", data, extra=ENVIRONMENT)
    assert (code, errors) == (0, "") and "without the key in GLASSTUMBLER_KEY nothing opens" in said
    for command in (("keys", "list"), ("audit",), ("keys", "add", "whir"), ("serve", "--port", "0"), ("unseal",)):
        for extra in ({}, {sealed.VARIABLE: "another key than it"}):
            code, said, errors = run(*command, "--data", data, extra=extra)
            assert (code, said, errors.count("\n")) == (1, "", 1), errors
            assert "GLASSTUMBLER_KEY" in errors and "another key than it" not in errors
    assert run("keys", "list", "--data", data, extra=ENVIRONMENT)[0] == 0
    assert run("unseal", "--data", data, extra=ENVIRONMENT)[0] == 0
    assert run("keys", "list", "--data", data)[0] == 0


# -- who may read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o622, 0o610])
def test_a_secret_that_others_may_touch_is_refused(mode: int, tmp_path: Path) -> None:
    Vault.of_folder(tmp_path, environment={})
    path = tmp_path / "secret"
    path.chmod(mode)
    for tried in (
        lambda: Vault.of_folder(tmp_path, environment={}),
        lambda: change_seal(tmp_path, seal=True, environment=ENVIRONMENT),
    ):
        with pytest.raises(StoreError) as refused:
            tried()
        assert f"(mode {mode:04o}); mend it with: chmod 600 {path}" in str(refused.value)
    path.chmod(0o600)
    Vault.of_folder(tmp_path, environment={})


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_secret_of_the_owner_alone_is_taken(mode: int, tmp_path: Path) -> None:
    Vault.of_folder(tmp_path, environment={})
    (tmp_path / "secret").chmod(mode)
    Vault.of_folder(tmp_path, environment={})


# -- logs -------------------------------------------------------------------------------------------------------------


def secrets_of(lab: Lab, extra_keys: list[str]) -> dict[str, str]:
    vault = Vault.of_folder(lab.folder, environment=ENVIRONMENT)
    found = {f"key of {slug}": lab.keys[slug] for slug in SERVICES if lab.keys[slug]}
    found |= {f"reply secret of {slug}": lab.secrets[slug] for slug in SERVICES if lab.secrets[slug]}
    found |= {f"added key {number}": key for number, key in enumerate(extra_keys)}
    found |= {"lab token": lab.token, "sealing key": KEY}
    ring, labs = KeyRing(vault.wallet_seed), KeyRing(vault.derive("lab seed"))
    raws = {"master": vault._master, "wallet seed": vault.wallet_seed, "lab seed": vault.derive("lab seed")}
    raws["letter key"] = vault.letter_key.private_bytes_raw()
    for slug in SERVICES:
        for branch in ("deposit", "change", "float", "sweep"):
            raws |= {f"{slug}/{branch}/{n}": ring.secret("btc", slug, branch, n) for n in range(12)}
    raws["faucet"] = labs.secret("btc", "faucet", "float", 0)
    for name, raw in raws.items():
        found |= {f"{name} as hex": raw.hex(), f"{name} as base64": base64.b64encode(raw).decode()}
        found |= {f"{name} as WIF": base58check_encode(239, raw + b"\1"), f"{name} as bytes": repr(raw)[2:-1]}
    return found


def drive(lab: Lab) -> list[str]:
    """Good traffic, bad traffic, and requests that make the inside fail. Keys that were used besides the first."""
    address = lab.address()
    body = {"delay": 0, "payouts": {address: "0.01"}}
    with lab.client("whir") as client:
        order = client.post("/api/createTransaction", json=body).json()
        lab.pay("btc", order["depositAddress"], "0.02")
        lab.lab("clock/advance", seconds=7200)
        lab.lab("chains/btc/mine", blocks=2)
        assert client.get(f"/api/transaction/{order['id']}").status_code == 200
    code, said, _ = run("keys", "add", "whir", "--data", lab.folder, extra=ENVIRONMENT)
    assert code == 0
    added = said.split('"api_key":')[1].split('"')[1]
    wrong = "wrongwrongwrongwrongwrongwrong12"
    hub = lab.hub
    for key in (added, wrong, f"{added}\x1b[31m"):
        hub.post("/whir/api/createTransaction", headers={"authorization": f"Bearer {key}"}, json=body)
        hub.get("/lab/v1/chains", headers={"authorization": f"Bearer {key}", "host": "evil.example"})
    hub.post("/bestmixer/api/ext/fee/info", json={"api_key": lab.keys["bestmixer"]})
    hub.post("/bestmixer/api/ext/fee/info", json={"api_key": [lab.keys["bestmixer"]]})
    hub.post("/bestmixer/api/ext/fee/info", content=f'{{"api_key": "{lab.keys["bestmixer"]}", '.encode())
    hub.get("/lab/v1/chains", headers={"authorization": f"Bearer {lab.token}"})
    with closing(sqlite3.connect(lab.folder / "record.db", isolation_level=None, timeout=20)) as record:
        record.execute("UPDATE orders SET doc = x'7b7d'")  # the inside fails from here on
    for slug in ("whir", "btcmix"):
        headers = {"authorization": f"Bearer {lab.keys[slug]}"}
        hub.get(f"/{slug}/api/transactions", headers=headers)
    for path in (f"/whir/api/transaction/{order['id']}", f"/lab/v1/orders/whir/{order['id']}"):
        reply = hub.get(path, headers={"authorization": f"Bearer {lab.keys['whir']}"})
        assert reply.status_code >= 500
        assert "Traceback" not in reply.text and "sqlite" not in reply.text
    hub.post("/lab/v1/clock/advance", json={"seconds": 100_000})
    return [added, wrong]


def test_the_log_of_a_laboratory_in_trouble_holds_no_secret(tmp_path: Path) -> None:
    extra = ONE_CHAIN | NO_LIMITS | ENVIRONMENT | {"GLASSTUMBLER_LOG": "debug"}
    with laboratory(tmp_path / "data", extra=extra) as lab:
        used = drive(lab)
        secrets = secrets_of(lab, used)
    said = lab.errors.read_text()
    assert "Traceback" in said and "order" in said, "nothing was logged: this would find nothing"
    assert [name for name, secret in secrets.items() if secret in said] == []
    assert hashlib.sha256(f"whir:{lab.keys['whir']}".encode()).hexdigest() not in said
    assert key_row("whir", lab.keys["whir"], 0).key_hash.hex() not in said
    for path in lab.folder.rglob("*"):  # nor does anything in the folder: the record, the chains, the locks
        if path.is_file():
            raw = path.read_bytes()
            assert [name for name, secret in secrets.items() if secret.encode() in raw] == [], path


def test_what_comes_from_outside_neither_ends_a_line_nor_drives_a_terminal() -> None:
    evil = "a\nb\r\x1b[31m\x1b]0;title\x07\x9b2J\u202e\udc9d\x00é"
    out = io.StringIO()
    with redirect_stderr(out):
        log.error("event", path=evil)
        try:
            raise ValueError(evil)
        except ValueError:
            secret = "a local variable"
            log.exception(evil, service="whir", password_length=len(secret))
    said = out.getvalue()
    assert not [char for char in said if not char.isprintable() and char != "\n"]
    assert "\\x1b[31m" in said and "\\udc9d" in said and "é" in said
    entries = [line for line in said.splitlines() if not line.startswith("  ")]
    assert len(entries) == 2 and all(" [error " in line for line in entries), "a line that passes for an entry"
    assert "Traceback" in said and "a local variable" not in said.replace('"a local variable"', "")


def test_the_terminal_is_not_driven_by_a_letter(tmp_path: Path) -> None:
    """A letter is signed by whoever made it; what it says is shown, not obeyed."""
    from glasstumbler.engine import letter

    vault = Vault.of_folder(tmp_path, environment={})
    evil = letter.sign(f"{letter.HEADER}\nOrder: \x1b]0;x\x07\x1b[2Jfree\n", vault.letter_key)
    code, said, errors = run("verify-letter", "-", stdin=evil.encode())
    assert (code, errors) == (0, "")
    assert "\x1b" not in said and "\x07" not in said and "\\x1b[2Jfree" in said
    code, said, errors = run("keys", "list", "\x1b[31mred\nline")
    assert code == 1 and "\x1b" not in errors and errors.count("\n") == 1


def test_processes_do_not_show_the_key() -> None:
    """It comes by the environment; no option takes it, so no list of processes shows it."""
    done = subprocess.run([sys.executable, "-m", "glasstumbler", "seal", "--help"], capture_output=True, text=True)
    assert "--key" not in done.stdout and "GLASSTUMBLER_KEY" in done.stdout
