"""PostgreSQL behind the same promises, and its own ways to fail: each is one clear line."""

from __future__ import annotations

import pytest

from tests.postgres import Server
from tests.store.contract import StoreContract


class TestPostgres(StoreContract):
    @pytest.fixture
    def place(self, postgres_server: Server) -> str:
        return postgres_server.database()
