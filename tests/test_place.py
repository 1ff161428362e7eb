"""A folder has one record: the one it was begun with."""

from __future__ import annotations

from pathlib import Path

import pytest

from glasstumbler.errors import SettingsError, StoreError
from glasstumbler.place import NodeKind, nodes_of, record_of, remember, remember_nodes
from tests.web.server import run

POSTGRES = "postgresql://user:secret@127.0.0.1:5433/lab"


def test_a_folder_without_a_note_takes_any_record(tmp_path: Path) -> None:
    assert record_of(tmp_path, None) == tmp_path / "record.db"
    assert record_of(tmp_path, POSTGRES) == POSTGRES


@pytest.mark.parametrize("first", [None, POSTGRES, "sqlite:///elsewhere/record.db"])
def test_what_was_first_stays(tmp_path: Path, first: str | None) -> None:
    remember(tmp_path, first)
    record_of(tmp_path, first)
    for other in {None, POSTGRES, "sqlite:///elsewhere/record.db"} - {first}:
        remember(tmp_path, other)
        with pytest.raises(SettingsError, match="the record of"):
            record_of(tmp_path, other)
    (tmp_path / "store").unlink()
    record_of(tmp_path, None)


def test_another_password_is_the_same_record_and_none_is_shown(tmp_path: Path) -> None:
    remember(tmp_path, POSTGRES)
    assert "secret" not in (tmp_path / "store").read_text()
    assert record_of(tmp_path, POSTGRES.replace("user:secret", "other:word"))
    with pytest.raises(SettingsError) as refused:
        record_of(tmp_path, None)
    assert "secret" not in str(refused.value)


def test_a_note_that_breaks_off_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever dies while writing it leaves a folder that opens."""

    class Killed(BaseException):
        pass

    def die(self: Path, target: Path) -> Path:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Path, "replace", die)
        remember(tmp_path, POSTGRES)
    assert record_of(tmp_path, POSTGRES) == POSTGRES
    remember(tmp_path, POSTGRES)
    with pytest.raises(SettingsError):
        record_of(tmp_path, None)


def test_a_note_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"\xff")
    with pytest.raises(StoreError, match="cannot read"):
        record_of(tmp_path, None)


def test_the_commands_name_where_the_record_is(tmp_path: Path) -> None:
    """No second record is begun beside it."""
    data, record = tmp_path / "data", tmp_path / "mine.db"
    code, _, err = run("keys", "add", "whir", "--data", data, "--store", f"sqlite:///{record}")
    assert code == 0, err
    for command in (("keys", "add", "whir"), ("keys", "list"), ("audit",), ("status",), ("serve", "--port", "0")):
        code, _, err = run(*command, "--data", data)
        assert (code, len(err.splitlines())) == (1, 1), err
        assert str(record) in err and "--store" in err
    assert not (data / "record.db").exists()


@pytest.mark.parametrize(("first", "other"), [("in-process", "real"), ("real", "in-process")])
def test_a_folder_keeps_to_the_nodes_that_it_was_begun_with(tmp_path: Path, first: NodeKind, other: NodeKind) -> None:
    assert nodes_of(tmp_path, None) == "in-process"
    remember_nodes(tmp_path, first)
    remember_nodes(tmp_path, other)
    assert nodes_of(tmp_path, None) == nodes_of(tmp_path, first) == first
    with pytest.raises(SettingsError, match=f"run on {first} nodes for good"):
        nodes_of(tmp_path, other)


def test_a_folder_from_before_there_were_real_nodes_has_in_process_chains(tmp_path: Path) -> None:
    (tmp_path / "chains").mkdir()
    assert nodes_of(tmp_path, None) == "in-process"
    with pytest.raises(SettingsError, match="run on in-process nodes"):
        nodes_of(tmp_path, "real")


def test_a_damaged_note_of_the_nodes_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "ground").write_text("surreal\n")
    with pytest.raises(StoreError, match="'surreal', which is none of: in-process, real"):
        nodes_of(tmp_path, None)
