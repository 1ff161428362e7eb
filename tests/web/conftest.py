"""One laboratory for all tests here that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web.server import NO_LIMITS, Lab, laboratory


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Without rate limits, so that tests do not wait for each other."""
    with laboratory(tmp_path_factory.mktemp("lab") / "data", extra=NO_LIMITS) as running:
        yield running
