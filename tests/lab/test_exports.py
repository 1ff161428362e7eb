"""Exports: all of it or nothing, the same bytes again, and one clear line for what cannot be."""

from __future__ import annotations

import hashlib
import resource
from pathlib import Path

import pytest

from glasstumbler.cli import main
from glasstumbler.errors import DatasetError, SettingsError, StoreError
from glasstumbler.lab.exports.formats import FORMATS, export

OF_ANY = sorted(FORMATS.keys() - {"blk"})
"""Forms that every dataset has."""


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command complains about, with exit code 1."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["glasstumbler", "export", *words])
        with pytest.raises(SystemExit) as exit_:
            main()
    assert exit_.value.code == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("form", OF_ANY)
def test_the_same_dataset_gives_the_same_bytes(folder: Path, tmp_path: Path, form: str) -> None:
    files = export(folder, form, tmp_path / "one")
    export(folder, form, tmp_path / "new" / "two")
    assert files and digests(tmp_path / "one") == digests(tmp_path / "new" / "two")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "new", tmp_path / "one"]


def test_an_empty_folder_may_be_there(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert export(folder, "tagpack", tmp_path / "out")


def test_what_cannot_be_is_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    line = said(capsys, str(folder), "--as", "csv", "--out", str(out))
    assert line == f"glasstumbler: no format is called 'csv'; these are: {', '.join(FORMATS)}\n"
    assert "is no dataset" in said(capsys, str(tmp_path), "--as", "tagpack", "--out", str(out))
    assert "has no raw blocks" in said(capsys, str(folder), "--as", "blk", "--out", str(out))
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    (tmp_path / "file").write_text("kept")
    for name in ("out", "file"):
        with pytest.raises(StoreError, match="is there already: name a new folder"):
            export(folder, "tagpack", tmp_path / name)
    assert (tmp_path / "out" / "mine").read_text() == (tmp_path / "file").read_text() == "kept"


def test_a_folder_that_cannot_be_made_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write .*file/out: Not a directory"):
        export(folder, "tagpack", tmp_path / "file" / "out")


@pytest.mark.parametrize("form", OF_ANY)
def test_a_full_disk_is_one_line_and_leaves_nothing(folder: Path, tmp_path: Path, form: str) -> None:
    """A limit on the size of files fails as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(StoreError, match=r"cannot write .*out: File too large"):
            export(folder, form, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_what_breaks_off_leaves_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(dataset: object, out: Path) -> None:
        (out / "one").write_text("half")
        raise DatasetError("broken off")

    monkeypatch.setitem(FORMATS, "half", half)  # type: ignore[arg-type]
    with pytest.raises(DatasetError):
        export(folder, "half", tmp_path / "out")
    assert not list(tmp_path.iterdir())
    with pytest.raises(SettingsError):
        export(folder, "whole", tmp_path / "out")
