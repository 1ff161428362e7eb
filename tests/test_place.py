"""A folder has one record: the one it was begun with."""

from __future__ import annotations

from pathlib import Path

import pytest

from glasstumbler.errors import SettingsError, StoreError
from glasstumbler.place import record_of, remember
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
