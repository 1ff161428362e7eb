"""Settings of the property tests: the same examples at each run. `HYPOTHESIS_PROFILE=search` looks for new ones.
And a PostgreSQL for whoever asks for one; and a word on real nodes that were not there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from glasstumbler import log
from glasstumbler.errors import SettingsError
from glasstumbler.nodes.running import program
from glasstumbler.nodes.software import SOFTWARE
from tests import postgres

settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("search", max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


_DEPTH = sys.getrecursionlimit()


def pytest_runtest_setup() -> None:
    """A library that some tests judge by (py_ecc) raises Python's limit for its whole process, and then what is nested
    too deeply ends that process."""
    sys.setrecursionlimit(_DEPTH)


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """A command that ran inside a test has set the log up for its own process."""
    yield
    log.reset()


@pytest.fixture
def here(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """The command in this process: many of them take no time. Arguments -> exit code, standard output and error."""
    from glasstumbler.cli import main

    def act(*arguments: str | Path) -> tuple[int, str, str]:
        # A command's own process never has pydantic, which cyclopts asks wherever it is loaded.
        monkeypatch.delitem(sys.modules, "pydantic", raising=False)
        monkeypatch.setattr(sys, "argv", ["glasstumbler", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    yield act


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """One for each test process; a test takes a database of its own."""
    with postgres.server() as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names the node software that is missing, so that nobody takes its tests for passed."""
    for kind in SOFTWARE:
        try:
            program(kind)
        except SettingsError as missing:
            terminalreporter.write_line(f"skipped: whatever runs on {kind}; {missing}", yellow=True)
