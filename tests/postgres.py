"""A PostgreSQL of the tests' own: Debian's package, a folder that goes with it, a free port on the loopback.

It runs under a small shell that ends it when its standard input is closed. So it ends with the process that started it,
whatever becomes of that one.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

PASSWORD = "a-password-that-no-message-shows"
_KEEPER = """
"$@" & server=$!
trap '' INT TERM
read -r order
kill "-${order:-QUIT}" $server
wait $server
[ -n "$order" ] || rm -rf "$FOLDER"
"""
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "recovery_init_sync_method": "syncfs",
}
_numbers = count(1)


def binaries() -> Path | None:
    """The folder of initdb and postgres, of the newest version; None if the package is not here."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


class Server:
    """Started by `start`, and again after `stop` or `crash`; the same folder and port all the time."""

    def __init__(self, folder: Path, bin_: Path) -> None:
        self._folder, self._bin = folder, bin_
        # initdb and postgres refuse to run as root
        self._user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        if self._user:
            shutil.chown(folder, "postgres", "postgres")
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._chosen: dict[str, str] = {}
        password = folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        command = [bin_ / "initdb", "-D", folder / "data", "-U", "lab", "-A", "scram-sha-256", "--pwfile", password]
        subprocess.run(
            [*command, "-E", "UTF8", "--locale", "C.UTF-8"], check=True, capture_output=True, cwd="/", **self._user
        )

    def start(self, **settings: str) -> None:
        self._chosen = settings
        chosen = {**_SETTINGS, **settings, "port": str(self.port)}
        options = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
        log = (self._folder / "log").open("ab")
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "sh", self._bin / "postgres", "-D", self._folder / "data", *options],
            stdin=subprocess.PIPE, stdout=log, stderr=log, cwd="/", env={"FOLDER": str(self._folder), **os.environ},
            start_new_session=True, **self._user,
        )  # fmt: skip
        log.close()
        ready = [self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "1"]
        for _ in range(600):
            time.sleep(0.05)
            if subprocess.run(ready, check=False).returncode == 0:
                return
            if self._process.poll() is not None:
                break
        raise RuntimeError((self._folder / "log").read_text()[-2_000:])

    def stop(self) -> None:
        """As an operator stops it: connections are ended, everything is on disk."""
        self._end("INT")

    def crash(self) -> None:
        """As when it is killed: nothing is finished; started again, it recovers."""
        self._end("QUIT")

    def restore(self) -> None:
        """Running, with the settings of the beginning."""
        if self._chosen or self._process is None:
            self.stop()
            self.start()

    def _end(self, order: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(f"{order}\n".encode())
            self._process.stdin.close()
            self._process.wait(60)
            self._process = None

    def url(self, database: str = "postgres", user: str = "lab", password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def run(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """One statement as the server's owner, each in its own transaction."""
        return run(self.url(database), sql)

    def database(self) -> str:
        """The address of a new, empty database."""
        name = f"record{next(_numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return self.url(name)


def run(place: str, sql: str) -> list[tuple[object, ...]]:
    """Statements in the database of this address."""
    with psycopg.connect(place, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def server() -> Iterator[Server]:
    """A running server; RuntimeError if Debian's package is not installed."""
    bin_ = binaries()
    if bin_ is None:
        raise RuntimeError("PostgreSQL is not installed here: sh scripts/debian.sh postgresql")
    folder = Path(tempfile.mkdtemp(prefix="glasstumbler-postgres-"))
    folder.chmod(0o755)
    made = Server(folder, bin_)
    try:
        made.start()
        yield made
    finally:
        made.crash()  # what it would tidy up goes with the folder
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
