"""A folder's backup while it is in use, and a folder out of a backup.

The order is what makes the copies fit together. The record is looked at first, in one view; the chains are copied after
it, so that they lack nothing that it speaks of, and cut back to the block that it ends with (`backup_chain`). Lightning
pays at once, and so is looked at in the same moment as the record.

Everything is made under another name beside its place, and moved there as the last step.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import msgspec

from glasstumbler import __version__
from glasstumbler.audit import Kept, Progress, Report, audit
from glasstumbler.backup_chain import cut_back
from glasstumbler.errors import StoreError
from glasstumbler.store.copying import copy_to_file, copy_to_store
from glasstumbler.store.records import Records
from glasstumbler.store.url import reading
from glasstumbler.vault import Vault, sync

FORMAT = 1
_MANIFEST, _RECORD, _SECRET, _SETTINGS = "manifest.json", "record.db", "secret", "glasstumbler.toml"
_GROUND = "ground"
"""What the chains run on (place.py)."""
_LIGHTNING = "chains/lightning.sqlite"
_ARCHIVE = ".tar"
_TRIES = 200
_CHUNK = 1 << 20


class File(msgspec.Struct, frozen=True):
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds. `head`: number and hash of the record's last entry."""

    format: int
    program: str
    made: str
    head: tuple[int, str]
    files: dict[str, File]


class Done(NamedTuple):
    manifest: Manifest
    report: Report
    size: int
    """Bytes of all files."""

    def document(self) -> dict[str, Any]:
        """Ready for JSON."""
        files = len(self.manifest.files)
        return {"made": self.manifest.made, "files": files, "bytes": self.size, "audit": self.report.document()}


def back_up(folder: Path, out: Path, store: str | None = None, progress: Progress | None = None) -> Done:
    """A backup at `out`: a folder, or one file if its name ends in .tar. StoreError if it cannot be made or its audit
    finds a difference; nothing is left behind then."""
    vault = Vault.of_folder(folder, make=False)
    if os.path.lexists(out):
        raise StoreError(f"{out} exists already: name a place that does not")
    with _making(out) as made:
        _copy_record(folder, made, store, vault.fingerprint)
        _copy_chains(folder, made)
        _copy_small(folder, made)
        report = _audited(made, vault.fingerprint, None, progress, "no backup was made: run `glasstumbler audit`")
        names = sorted(str(path.relative_to(made)) for path in made.rglob("*") if path.is_file())
        files = {name: _digest(made / name) for name in names}
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        manifest = Manifest(FORMAT, __version__, when, (report.entries, report.head), files)
        (made / _MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        if out.name.endswith(_ARCHIVE):
            _pack(made, made.with_name(f"{made.name}{_ARCHIVE}"))
    return Done(manifest, report, sum(file.size for file in files.values()))


def restore(source: Path, folder: Path, store: str | None = None, progress: Progress | None = None) -> Done:
    """A folder as it was. `store`: an empty record that takes the rows, in place of the folder's own. StoreError if the
    backup is damaged or the folder is not empty; nothing is left behind then."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} is not empty: restore into a new folder")
    with ExitStack() as stack, _making(folder) as made:
        if source.is_file():
            source = _unpacked(source, stack)
        manifest = _manifest(source)
        for name, file in manifest.files.items():
            _copy_file(source / name, made / name, file)
        (made / _SECRET).chmod(0o600)
        vault = Vault.of_folder(made, make=False)
        report = _audited(made, vault.fingerprint, Kept(*manifest.head), progress, "nothing was restored")
        if store is not None:
            copy_to_store(made / _RECORD, store)
            (made / _RECORD).unlink()
        if folder.exists():
            folder.rmdir()
    return Done(manifest, report, sum(file.size for file in manifest.files.values()))


# -- making -------------------------------------------------------------------------------------------------------


@contextmanager
def _making(place: Path) -> Iterator[Path]:
    """A folder beside `place` that takes its name at the end, if all went well; else it is gone."""
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    except OSError as error:
        raise StoreError(f"cannot write into {place.parent}: {error.strerror}") from None
    archive = made.with_name(f"{made.name}{_ARCHIVE}")
    try:
        yield made
        finished = archive if archive.exists() else made
        _to_disk(made)
        finished.rename(place)
        sync(place.parent)
    except OSError as error:
        raise StoreError(f"cannot write {place}: {error.strerror or error}") from None
    except sqlite3.Error as error:
        raise StoreError(f"cannot write {place}: {error}") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)
        archive.unlink(missing_ok=True)


def _copy_record(folder: Path, made: Path, store: str | None, owner: str) -> None:
    """The record, and Lightning as it was in the same moment: no payment goes between the two looks."""
    (made / "chains").mkdir()
    place: str | Path = store or folder / _RECORD
    lightning = folder / _LIGHTNING
    for _ in range(_TRIES):
        with ExitStack() as stack:
            before = _payments(lightning)
            records = stack.enter_context(reading(place, owner))
            records.head()  # the view begins with what is first read
            network = stack.enter_context(_view(lightning)) if before is not None else None
            if network is None or _count(network) == before:
                _write_record(records, place, made / _RECORD)
                if network is not None:
                    _write_database(network, made / _LIGHTNING)
                return
        time.sleep(0.01)
    raise StoreError("Lightning payments go out too fast to copy record and network in one moment: try again later")


def _copy_chains(folder: Path, made: Path) -> None:
    with reading(made / _RECORD) as records:
        for path in sorted((folder / "chains").glob("*.blocks")):
            copy = made / "chains" / path.name
            with _view(path) as source:
                _write_database(source, copy)
            cut_back(copy, path.stem, records)
            _into_one_file(copy)


def _write_record(records: Records, place: str | Path, target: Path) -> None:
    source = records.connection
    if isinstance(source, sqlite3.Connection):
        _write_database(source, target)
    else:
        copy_to_file(records, target)
        _into_one_file(target)


def _payments(lightning: Path) -> int | None:
    if not lightning.exists():
        return None
    with _view(lightning) as network:
        return _count(network)


def _count(network: sqlite3.Connection) -> int:
    return int(network.execute("SELECT count(*) FROM payments").fetchone()[0])


@contextmanager
def _view(path: Path) -> Iterator[sqlite3.Connection]:
    """One consistent view of a database that may be in use."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as found:
            found.execute("BEGIN")
            found.execute("SELECT count(*) FROM sqlite_master").fetchone()
            yield found
    except sqlite3.Error as error:
        raise StoreError(f"cannot copy {path}: {error}") from None


def _write_database(source: sqlite3.Connection, target: Path) -> None:
    """What the view shows."""
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        source.backup(copy)
    _into_one_file(target)


def _into_one_file(path: Path) -> None:
    """Without a log beside it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def _copy_small(folder: Path, made: Path) -> None:
    """The secret, and the settings and the note on the chains where there are some."""
    for name in (_SECRET, _SETTINGS, _GROUND):
        if (folder / name).exists():
            shutil.copyfile(folder / name, made / name)
    (made / _SECRET).chmod(0o600)


def _audited(made: Path, owner: str, kept: Kept | None, progress: Progress | None, then: str) -> Report:
    report = audit(made, progress, owner=owner, kept=kept)
    if not report.clean:
        raise StoreError(f"the copy does not add up ({report.differences[0]}); {then}")
    return report


def _pack(made: Path, archive: Path) -> None:
    with archive.open("xb") as file, tarfile.open(fileobj=file, mode="w") as tar:
        archive.chmod(0o600)  # the secret is in it
        for path in sorted(made.rglob("*")):
            if path.is_file():
                tar.add(path, path.relative_to(made), recursive=False)


def _to_disk(made: Path) -> None:
    for path in made.rglob("*"):
        sync(path)
    sync(made)


# -- reading back -------------------------------------------------------------------------------------------------


def _unpacked(source: Path, stack: ExitStack) -> Path:
    target = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".glasstumbler-", dir=source.parent)))
    try:
        with tarfile.open(source) as tar:
            for member in tar:
                _unpack(tar, member, target)
    except (tarfile.TarError, EOFError) as error:
        raise StoreError(f"{source} is no backup, or a damaged one: {error}") from None
    return target


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Backups hold plain files within their folder. (`extractall` knows a filter only from Python 3.11.4 on.)"""
    name, content = PurePosixPath(member.name), tar.extractfile(member) if member.isreg() else None
    if content is None or name.is_absolute() or ".." in name.parts:
        raise StoreError(f"{member.name!r} in the archive is none of a backup's files")
    place = target / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with content, place.open("xb") as file:
        shutil.copyfileobj(content, file)
    place.chmod(0o600)


def _manifest(source: Path) -> Manifest:
    try:
        raw = (source / _MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{source} is no backup of Glass Tumbler: it has no {_MANIFEST}") from None
    try:
        if (found := msgspec.json.decode(raw, type=dict).get("format")) != FORMAT:
            raise StoreError(f"the backup has format {found}, this program reads {FORMAT}: use a newer program")
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreError(f"the backup's {_MANIFEST} is damaged: {error}") from None
    here = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()} - {_MANIFEST}
    for name in sorted(here ^ set(manifest.files)):
        raise StoreError(f"the backup is damaged: {name} is {'not of it' if name in here else 'missing'}")
    if _RECORD not in manifest.files or _SECRET not in manifest.files:
        raise StoreError(f"the backup's {_MANIFEST} is damaged: no record or no secret in it")
    return manifest


def _copy_file(path: Path, target: Path, expected: File) -> None:
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(path, target)
    if _digest(target) != expected:
        raise StoreError(f"the backup is damaged: {path.name} is not as it was written")


def _digest(path: Path) -> File:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            found.update(piece)
    return File(path.stat().st_size, found.hexdigest())
