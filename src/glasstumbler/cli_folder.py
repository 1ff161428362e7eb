"""The commands that keep a folder: how it is, whether its record is whole, its backup, its seal; and its letters."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from glasstumbler.cli_options import DATA, AsJson, Folder, Record
from glasstumbler.engine import letter
from glasstumbler.errors import StoreError
from glasstumbler.place import record_of, remember
from glasstumbler.sealed import VARIABLE
from glasstumbler.terminal import answer, progress
from glasstumbler.vault import Vault, change_seal


def seal(*, data: Folder = DATA, as_json: AsJson = False) -> int:
    """Seal the folder's secret under the key in GLASSTUMBLER_KEY; from then on the folder opens only with it."""
    change_seal(data, seal=True)
    told = f"sealed; without the key in {VARIABLE} nothing opens {data} any more"
    answer(as_json, {"data": data, "sealed": True}, [told])
    return 0


def unseal(*, data: Folder = DATA, as_json: AsJson = False) -> int:
    """Take the seal off the folder's secret: the file alone opens the folder."""
    change_seal(data, seal=False)
    answer(as_json, {"data": data, "sealed": False}, [f"not sealed any more; unset {VARIABLE} to open {data}"])
    return 0


def audit(
    *,
    data: Folder = DATA,
    store: Record = None,
    head: Annotated[str | None, Parameter(help="NUMBER:HASH of an entry, as an earlier audit printed it.")] = None,
    as_json: AsJson = False,
) -> int:
    """Recompute the record, its balances, and the wallets against the chains. Exit code 1 at any difference."""
    from glasstumbler.audit import Kept
    from glasstumbler.audit import audit as check

    vault = Vault.of_folder(data, make=False)
    with progress() as show:
        report = check(data, show, record_of(data, store), vault.fingerprint, None if head is None else Kept.read(head))
    answer(as_json, report.document(), report.lines())
    return 0 if report.clean else 1


def status(
    *,
    data: Folder = DATA,
    store: Annotated[str | None, Parameter(help="Where `serve` keeps the record, if not in the folder.")] = None,
    url: Annotated[str | None, Parameter(help="A hub anywhere, in place of the folder's own.")] = None,
    token: Annotated[str, Parameter(help="Lab token of that hub, if it is not on this machine.")] = "",
    as_json: AsJson = False,
) -> int:
    """Tell how the laboratory is. Exit code 0: it runs and is ready; 1: it is not ready; 3: it does not run."""
    from glasstumbler.status import code, lines, look

    if url is None:
        record_of(data, store)
    where, now = look(data, store, url, token)
    answer(as_json, now, lines(where, now))
    return code(now)


def backup(
    *,
    out: Annotated[Path, Parameter(help="A new folder, or a new file whose name ends in .tar.")],
    data: Folder = DATA,
    store: Record = None,
    as_json: AsJson = False,
) -> int:
    """Copy record, chains, settings and secret, also while `serve` runs, and audit the copy."""
    from glasstumbler.backup import back_up

    record_of(data, store)
    with progress() as show:
        done = back_up(data, out, store, show)
    files, size = len(done.manifest.files), f"{done.size / 2**20:.0f} MB"
    told = f"{out}: {files} files, {size}; it holds the folder's secret: keep it so"
    answer(as_json, {"backup": out, **done.document()}, [told, *done.report.lines()])
    return 0


def restore(
    source: Annotated[Path, Parameter(help="The backup.")],
    /,
    *,
    data: Folder = DATA,
    store: Annotated[str | None, Parameter(help="An empty record that takes the rows, in place of a file.")] = None,
    as_json: AsJson = False,
) -> int:
    """Make a folder out of a backup, and audit it."""
    from glasstumbler.backup import restore as restore_

    with progress() as show:
        done = restore_(source, data, store, show)
    remember(data, store)
    answer(
        as_json, {"data": data, **done.document()}, [f"{data}: as it was at {done.manifest.made}", *done.report.lines()]
    )
    return 0


def verify_letter(
    file: Annotated[
        Path, Parameter(help="The letter, or its base64 form; - for standard input.", allow_leading_hyphen=True)
    ],
    /,
    *,
    data: Annotated[Path | None, Parameter(help="The key must be this folder's.")] = None,
    as_json: AsJson = False,
) -> int:
    """Check a letter of guarantee."""
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {file}: {error.strerror}") from None
    trusted = None
    if data is not None:
        trusted = Vault.of_folder(data, make=False).letter_key.public_key().public_bytes_raw()
    told = letter.verify(raw, trusted)
    last = "the signature holds" + ("" if trusted is None else f", and the key is that of {data}")
    document = {"signature": "holds", "key_of": data, "letter": told}
    answer(as_json, document, [*(f"{name}: {value}" for name, value in told.items()), last])
    return 0
