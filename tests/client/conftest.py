"""The plugin's own fixtures, and both faces of the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from glasstumbler.testing import laboratory, laboratory_settings, served_laboratory  # noqa: F401  # fixtures
from tests.client.faces import Face


@pytest.fixture(params=["sync", "async"])
def face(request: pytest.FixtureRequest) -> Iterator[Face]:
    with Face(request.param) as found:
        yield found
