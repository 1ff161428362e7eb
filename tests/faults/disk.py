"""Disks that fill up: a small filesystem that only one process and its children see, and a limit on the size of files
for where there can be none."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

_MOUNT = 'mount -t tmpfs -o "size=$1" none "$2" && shift 2 && exec "$@"'
_WAYS = (("unshare", "--mount"), ("unshare", "--mount", "--map-root-user"))
"""As root; else as root of a user namespace, where the system lets everybody make one."""


def on_small_disk(folder: Path, megabytes: int, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    """Run Python with these arguments where `folder` is a filesystem in memory of this size; it goes with the process.
    None where this system lets us mount nothing."""
    folder.mkdir(exist_ok=True)
    for way in _WAYS:
        mounted = [*way, "sh", "-c", _MOUNT, "sh", f"{megabytes}m", str(folder)]
        try:
            if subprocess.run([*mounted, "true"], capture_output=True).returncode == 0:
                return subprocess.run([*mounted, sys.executable, *arguments], capture_output=True, text=True)
        except OSError:
            continue
    return None


class Filler:
    """Takes up what is left of a filesystem."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "filler"

    def fill(self) -> None:
        with self._file.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue

    def free(self) -> None:
        self._file.unlink()


def limit_files(process: int, size: int | None) -> None:
    """No file of this process grows beyond `size` bytes (EFBIG); None: without limit again."""
    _, hard = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))
