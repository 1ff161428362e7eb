"""`glasstumbler export`: a dataset in shapes that other tools read. docs/exports.md says what each of them loses."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from glasstumbler.errors import SettingsError, StoreError
from glasstumbler.lab.exports import amlworld, blk, elliptic, tagpack
from glasstumbler.lab.tasks import Dataset

FORMATS: Final[Mapping[str, Callable[[Dataset, Path], None]]] = {
    "elliptic": elliptic.write,
    "amlworld": amlworld.write,
    "tagpack": tagpack.write,
    "blk": blk.write,
}
"""Each writes its files into a folder that is there and empty. DatasetError if the dataset lacks what it needs."""


def export(folder: Path, form: str, out: Path) -> list[Path]:
    """Write the dataset in `folder` to `out`, all of it or nothing; the files, sorted. SettingsError for an unknown
    form, DatasetError if the dataset is damaged or lacks what the form needs, StoreError if `out` cannot be written."""
    if form not in FORMATS:
        raise SettingsError(f"no format is called {form!r}; these are: {', '.join(FORMATS)}")
    out = out.absolute()
    part = out.with_name(f".{out.name}.part")
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise StoreError(f"{out} is there already: name a new folder")
        dataset = Dataset(folder)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        FORMATS[form](dataset, part)
        if out.exists():
            out.rmdir()
        part.rename(out)
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return sorted(path for path in out.rglob("*") if path.is_file())
