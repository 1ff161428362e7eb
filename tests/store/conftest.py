"""An empty record in PostgreSQL, for tests that are not the contract's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from glasstumbler.store.postgres import PostgresStore
from tests.postgres import Server


@pytest.fixture
def place(postgres_server: Server) -> str:
    return postgres_server.database()


@pytest.fixture
def store(place: str) -> Iterator[PostgresStore]:
    made = PostgresStore(place)
    yield made
    made.close()
