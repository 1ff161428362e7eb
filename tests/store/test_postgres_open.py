"""What cannot be opened as a record in PostgreSQL: each case is one line that says what it is and how to mend it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from glasstumbler.errors import SettingsError, StoreError
from glasstumbler.store import migrations
from glasstumbler.store.postgres import PostgresStore, reading
from glasstumbler.store.records import Records
from tests.postgres import PASSWORD, Server, run
from tests.store.contract import add_code, check_record

VERSION = migrations.version("postgresql")


def test_addresses_that_cannot_be_one_show_no_password() -> None:
    """A slash or an @ in a password moves what follows into another part of the address."""
    for url in ("postgresql://lab:pass/word@127.0.0.1/x", "postgresql://lab:pass@word@127.0.0.1/x", "postgresql://a b",
                "postgresql://lab:pass#word@127.0.0.1:5/x?colour=pass"):  # fmt: skip
        with pytest.raises((SettingsError, StoreError)) as refused:
            PostgresStore(url)
        assert "pass" not in str(refused.value).replace("PASSWORD", "").replace("password", "")
        assert "\n" not in str(refused.value)


BAD = {
    "wrong password": (lambda server: server.url(password="wrong-password"), r"check user and password"),
    "no such user": (lambda server: server.url(user="nobody-here"), r"check user and password"),
    "no such database": (lambda server: server.url("nothing"), r'"nothing" does not exist \(make it with `createdb`\)'),
    "no server": (lambda server: "postgresql://lab:secret@127.0.0.1:1/x", r"refused \(is PostgreSQL running there\?\)"),
    "no host": (lambda server: "postgresql://lab:secret@host.invalid/x", r"\(check host and port\)"),
    "a reading user": (lambda server: reader_of(server), r"permission denied .*\(the user must own the database\)"),
    "something else": (lambda server: foreign(server), r"holds something else \(invoice\): give the record a database"),
    "a newer store": (lambda server: newer(server), rf"has version {VERSION + 1}, this program .* use a newer program"),
    "another encoding": (lambda server: latin(server), r"has the encoding LATIN1: make one with UTF8"),
    "read only": (lambda server: read_only(server), r"read-only transaction \(it is a standby, or set to read only"),
    "no schema": (lambda server: without_schema(server), r"no schema that the user may use: check its search_path"),
}


def reader_of(server: Server) -> str:
    name = server.database().rpartition("/")[2]
    server.run("DROP ROLE IF EXISTS reader")
    server.run(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
    return server.url(name, user="reader")


def foreign(server: Server) -> str:
    place = server.database()
    run(place, "CREATE TABLE invoice (number INT)")
    return place


def newer(server: Server) -> str:
    place = server.database()
    PostgresStore(place).close()
    run(place, f"UPDATE schema_version SET number = {VERSION + 1}")
    return place


def latin(server: Server) -> str:
    server.run("DROP DATABASE IF EXISTS latin")
    server.run("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    return server.url("latin")


def read_only(server: Server) -> str:
    place = server.database()
    server.run(f"ALTER DATABASE {place.rpartition('/')[2]} SET default_transaction_read_only = on")
    return place


def without_schema(server: Server) -> str:
    place = server.database()
    run(place, "DROP SCHEMA public")
    return place


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_opened_says_so_in_one_line(postgres_server: Server, what: str) -> None:
    """And is left as it was; no message shows the password."""
    make, message = BAD[what]
    place = make(postgres_server)
    with pytest.raises(StoreError, match=message) as refused:
        PostgresStore(place)
    line_ = str(refused.value)
    assert "\n" not in line_ and PASSWORD not in line_ and "secret" not in line_ and "wrong-password" not in line_
    if what == "something else":
        assert run(place, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [("invoice",)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (newer, f"has version {VERSION + 1}, this program reads {VERSION}: use a newer program"),
        (foreign, "holds something else"),
        (lambda server: server.database(), "has version 0"),
        (lambda server: server.url("nothing"), "does not exist"),
    ],
)
def test_what_cannot_be_read_says_so(postgres_server: Server, make: Callable[[Server], str], message: str) -> None:
    with pytest.raises(StoreError, match=message), reading(make(postgres_server)):
        pass


def test_a_record_can_be_read_where_nothing_can_be_changed(postgres_server: Server) -> None:
    """As on a standby, which is where one would rather let an audit run."""
    place = postgres_server.database()
    store = PostgresStore(place)
    store.write(add_code("a"))
    store.close()
    postgres_server.run(f"ALTER DATABASE {place.rpartition('/')[2]} SET default_transaction_read_only = on")
    with reading(place) as records:
        assert check_record(records) == ["a"]


def test_schemas_of_one_database_are_records_of_their_own(postgres_server: Server) -> None:
    """Chosen by the address; neither waits for the other's lock."""
    place = postgres_server.database()
    run(place, "CREATE SCHEMA one")
    run(place, "CREATE SCHEMA two")
    one, two = (PostgresStore(f"{place}?options=-csearch_path%3D{name}") for name in ("one", "two"))

    def unit(records: Records) -> int:
        number = add_code("one")(records)
        records.flush()
        assert two.write(add_code("two")) == 1
        return number

    assert one.write(unit) == 1
    assert (one.read(check_record), two.read(check_record)) == (["one"], ["two"])
    one.close()
    two.close()
