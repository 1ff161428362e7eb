"""The command line with a record in PostgreSQL: the folder keeps chains and secret, the server keeps the record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from glasstumbler.vault import Vault
from tests.postgres import PASSWORD, Server
from tests.test_cli import SERVE, Command, refused

COMMANDS: dict[str, tuple[str, ...]] = {
    "serve": SERVE,
    "worker": ("worker",),
    "audit": ("audit",),
    "keys add": ("keys", "add", "whir"),
    "keys list": ("keys", "list"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a secret, as every command wants one, and no record yet."""
    Vault.of_folder(tmp_path / "data")
    return tmp_path / "data"


def test_keys_are_kept_there(here: Command, folder: Path, postgres_server: Server) -> None:
    store = postgres_server.database()
    code, out, _ = here("keys", "add", "btcmix", "--data", folder, "--store", store)
    assert code == 0
    made = json.loads(out)["id"]
    assert here("keys", "block", "btcmix", made, "--data", folder, "--store", store)[0] == 0
    listed = json.loads(here("keys", "list", "--data", folder, "--store", store)[1])
    assert listed == [{"service": "btcmix", "id": made, "blocked": True}]
    assert "the record of" in refused("keys", "list", "--data", folder, by=here), "a folder has one record"
    assert PASSWORD not in (folder / "store").read_text()
    code, out, err = here("audit", "--data", folder, "--store", store)
    assert (code, err) == (0, "") and "the record is whole: 3 entries" in out


PLACES: dict[str, tuple[Callable[[Server], str], str]] = {
    "nobody there": (lambda server: "postgresql://lab:secret-word@127.0.0.1:1/x", "is PostgreSQL running there?"),
    "wrong password": (lambda server: server.url(password="secret-word"), "check user and password"),
    "no such database": (lambda server: server.url("nothing"), "make it with `createdb`"),
    "a wild password": (lambda server: "postgresql://lab:secret/word@127.0.0.1/x", "as %XX"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_store_that_cannot_be_had_is_one_line(
    here: Command, folder: Path, postgres_server: Server, command: str, place: str
) -> None:  # fmt: skip
    make, mend = PLACES[place]
    line = refused(*COMMANDS[command], "--data", folder, "--store", make(postgres_server), by=here)
    assert mend in line and "secret" not in line and PASSWORD not in line


@pytest.mark.parametrize("command", COMMANDS)
def test_another_laboratorys_record_is_refused(
    here: Command, folder: Path, tmp_path: Path, postgres_server: Server, command: str
) -> None:  # fmt: skip
    store = postgres_server.database()
    assert here("keys", "add", "whir", "--data", tmp_path / "other", "--store", store)[0] == 0
    line = refused(*COMMANDS[command], "--data", folder, "--store", store, by=here)
    assert "the record belongs to another laboratory: its folder has another secret than this one" in line
