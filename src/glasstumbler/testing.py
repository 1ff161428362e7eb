"""A running laboratory for the tests of a client: services, keys, a faucet and a clock, on loopback ports.

With pytest, in a conftest.py:

    pytest_plugins = ["glasstumbler.testing"]

and a test takes the fixture `laboratory`. Without pytest, `with running() as laboratory:` gives the same. The
laboratory is in memory, on in-process chains and a virtual clock: it moves on only when a test pays, mines or lets time
pass, so no test waits, and a suite repeats byte for byte.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from hashlib import sha256
from typing import Any, Generic, Literal, NamedTuple, TypeVar, overload

from glasstumbler import keys
from glasstumbler.behaviour import Behaviour
from glasstumbler.client import BearerMixer, CodeMixer, Lab, SwapV3
from glasstumbler.clock import VirtualClock
from glasstumbler.house import House
from glasstumbler.vault import Vault, key_row, new_key
from glasstumbler.web.background import served
from glasstumbler.web.serving import Serving

C = TypeVar("C", BearerMixer, CodeMixer, SwapV3)
_MASTER = sha256(b"glasstumbler.testing").digest()
_SEED = 1


class Service(NamedTuple, Generic[C]):
    """One service, and a customer of it."""

    url: str
    """Of its own port; the hub has it under its slug too."""
    key: str
    secret: str
    """What its replies to this key are signed with. Both are "" at xmrto, which knows no keys."""
    client: C


class Laboratory(Lab):
    """One test's hold of a running laboratory: the lab API, and the services with keys of its own."""

    def __init__(self, house: House, serving: Serving, chance: random.Random) -> None:
        super().__init__(serving.url("hub"))
        self._house, self._serving, self._chance = house, serving, chance
        self._services: dict[str, Any] = {}

    @property
    def letter_key(self) -> bytes:
        """With which the laboratory signs letters of guarantee."""
        return self._house.vault.letter_key.public_key().public_bytes_raw()

    @overload
    def service(self, slug: Literal["bestmixer"]) -> Service[CodeMixer]: ...
    @overload
    def service(self, slug: Literal["btcmix", "coinjoin", "whir"]) -> Service[BearerMixer]: ...
    @overload
    def service(self, slug: Literal["xmrto"]) -> Service[SwapV3]: ...
    def service(self, slug: str) -> Any:
        """With a key that nobody else has, so that the orders of other tests are not seen."""
        if slug not in self._services:
            self._services[slug] = self._join(slug)
        return self._services[slug]

    def close(self) -> None:
        """The services behave again, and the price follows its walk."""
        for service in self._services.values():
            service.client.close()
        for slug in self._house.services:
            if self._house.behaviours.of(slug) != Behaviour():
                self._house.behave(slug, Behaviour())
        self._house.set_price(None)
        super().close()

    def _join(self, slug: str) -> Service[Any]:
        url = self._serving.url(slug)
        if not self._house.services[slug].keyed:
            return Service(url, "", "", SwapV3(url))
        key = new_key(slug, self._chance)
        row = key_row(slug, key, self._house.clock.now())
        self._house.store.write(lambda records: keys.add(records, row))
        secret = self._house.vault.account(row).secret
        client = CodeMixer(url, key, self.letter_key) if slug == "bestmixer" else BearerMixer(url, key, secret)
        return Service(url, key, secret, client)


class _Running(NamedTuple):
    house: House
    serving: Serving
    chance: random.Random

    def laboratory(self) -> Laboratory:
        return Laboratory(*self)


@contextmanager
def _served(settings: Mapping[str, Any]) -> Iterator[_Running]:
    tables = {**settings, "lab": {"rate_limits": "off", **settings.get("lab", {})}}
    with ExitStack() as stack:
        house = stack.enter_context(closing(House(None, Vault(_MASTER), VirtualClock(), _SEED, tables)))
        house.start()
        # Without turns of its own it moves on at the lab's calls only.
        serving = stack.enter_context(served(house, turning=False))
        yield _Running(house, serving, random.Random(_SEED))  # noqa: S311  # keys of a laboratory that nobody attacks


@contextmanager
def running(settings: Mapping[str, Any] | None = None) -> Iterator[Laboratory]:
    """`settings`: tables of glasstumbler.toml. Rate limits are off, unless `{"lab": {"rate_limits": "documented"}}`."""
    with _served(settings or {}) as house, closing(house.laboratory()) as laboratory:
        yield laboratory


try:
    import pytest
except ImportError:  # `running` does without
    pass
else:

    @pytest.fixture(scope="session")
    def laboratory_settings() -> Mapping[str, Any]:
        """Tables of glasstumbler.toml; a suite that wants others has a fixture of this name."""
        return {}

    @pytest.fixture(scope="session")
    def served_laboratory(laboratory_settings: Mapping[str, Any]) -> Iterator[_Running]:
        with _served(laboratory_settings) as found:
            yield found

    @pytest.fixture
    def laboratory(served_laboratory: _Running) -> Iterator[Laboratory]:
        """One laboratory serves the whole session. Each test has keys of its own, and what it told the services to do
        wrong ends with it; chains and time go on."""
        with closing(served_laboratory.laboratory()) as found:
            yield found
