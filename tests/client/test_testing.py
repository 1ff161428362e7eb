"""The plugin in the hands of somebody else: a suite of their own in a folder of its own, and no pytest at all."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from glasstumbler.client import AsyncBearerMixer, Unavailable, Unreachable
from glasstumbler.errors import SettingsError
from glasstumbler.testing import Laboratory, running

CONFTEST = 'pytest_plugins = ["glasstumbler.testing"]\n'
SUITE = """
import pytest


def test_an_order(laboratory):
    btcmix = laboratory.service("btcmix")
    order = btcmix.client.create_transaction({laboratory.address(): "0.01"}, delay=1)
    laboratory.pay(order.deposit_address, order.deposit_amount)
    laboratory.mine("btc")
    laboratory.advance(3600)
    laboratory.mine("btc")
    assert btcmix.client.transaction(order.id).status == "complete"
    assert laboratory.order("btcmix", order.id).state == "completed"
    laboratory.behave("btcmix", maintenance=True)
    laboratory.price("0.5")


def test_the_next_one_begins_anew(laboratory):
    client = laboratory.service("btcmix").client
    assert client.status().status == "ok"
    assert client.transactions().total_transactions == 0
    assert laboratory.service("xmrto").client.order_parameter_query().price < 0.1


@pytest.mark.parametrize("slug", ["bestmixer", "coinjoin", "whir", "xmrto"])
def test_every_service_is_there(laboratory, slug):
    service = laboratory.service(slug)
    assert service.url != laboratory.url and bool(service.key) == (slug != "xmrto")
"""
SETTINGS = """
@pytest.fixture(scope="session")
def laboratory_settings():
    return {"lab": {"chains": ["btc"]}, "btcmix": {"fee_ppm": 50_000}}


def test_other_settings(laboratory):
    assert [chain.coin for chain in laboratory.chains()] == ["btc"]
    order = laboratory.service("btcmix").client.create_transaction({laboratory.address(): "1"})
    assert order.fee > order.payouts.popitem()[1] + 0
    assert str(order.fee).startswith("0.05")
"""
ALONE = """
import sys
sys.modules["pytest"] = None
from glasstumbler.testing import running
with running({"lab": {"chains": ["btc"]}}) as laboratory:
    print(laboratory.service("whir").client.status().datetime, laboratory.mine())
"""


def python(folder: Path, *arguments: str) -> str:
    """What it prints; in another folder, with nothing of this suite."""
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_suite_of_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_theirs.py").write_text(SUITE)
    said = python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "6 passed" in said, said


def test_a_suite_with_settings_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_theirs.py").write_text("import pytest\n" + SETTINGS)
    assert "1 passed" in python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_without_pytest(tmp_path: Path) -> None:
    first, second = python(tmp_path, "-c", ALONE), python(tmp_path, "-c", ALONE)
    assert first == second and first.startswith("2023-11-14 22:13:20+00:00")


def test_two_of_them_know_nothing_of_each_other(laboratory: Laboratory) -> None:
    with running({"lab": {"chains": ["btc"]}}) as other:
        url = other.service("btcmix").url
        assert url != laboratory.service("btcmix").url
        other.behave("btcmix", maintenance=True)
        with pytest.raises(Unavailable):
            other.service("btcmix").client.status()
        assert laboratory.service("btcmix").client.status().status == "ok"
        assert other.letter_key == laboratory.letter_key
        client = other.service("whir").client
    with pytest.raises((Unreachable, RuntimeError)):
        client.status()


def test_settings_that_are_wrong() -> None:
    with pytest.raises(SettingsError, match="nonsense"), running({"lab": {"nonsense": 1}}):
        pass


async def ask(laboratory: Laboratory) -> str:
    service = laboratory.service("whir")
    async with AsyncBearerMixer(service.url, service.key, service.secret) as mixer:
        return (await mixer.status()).status


def test_a_test_that_awaits(laboratory: Laboratory) -> None:
    assert asyncio.run(ask(laboratory)) == "ok"
