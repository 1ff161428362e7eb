"""The tests by which a real node judges our in-process chain; a module for each node names it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest

from glasstumbler.chains.base import Output
from glasstumbler.errors import BlockRefused
from glasstumbler.nodes.running import INSTALLED
from tests.nodes import differ
from tests.nodes.differ import Court
from tests.nodes.forgery import FAMILIES, SECRETS
from tests.nodes.judges import judge
from tests.nodes.wrong_blocks import right_block, wrong_blocks


def _court(software: str) -> Iterator[Court]:
    if not INSTALLED.exists():
        pytest.skip(f"NO NODE SOFTWARE: {INSTALLED} is missing; `make nodes` installs it")
    with judge(software) as node:
        court = Court(node, seed=7)
        yield court
        court.close()


class Judged:
    software: ClassVar[str]
    count: ClassVar[int] = 300
    mines = True
    """It mines to an address that is named."""

    @pytest.fixture(scope="class")
    @classmethod
    def court(cls) -> Iterator[Court]:
        yield from _court(cls.software)

    @pytest.fixture
    def fresh(self) -> Iterator[Court]:
        """A node that was not led astray: bcash would try to mine what it gave back wrongly."""
        yield from _court(self.software)

    def test_same_verdict_on_transactions_and_blocks_and_reorganisations(self, court: Court) -> None:
        court.run(self.count)
        assert not [found.line for found in differ.unexpected(court)]
        assert sum(court.taken.values()) > self.count // 5 < sum(court.refused.values())
        assert court.reorganisations

    def test_chains_of_25_are_mined_and_reorganised(self, court: Court) -> None:
        for _ in range(30):
            court.put("on what waits", FAMILIES["on what waits"][0](court.purse))
        court.block()
        court.reorganise(2)
        assert not [found.line for found in differ.unexpected(court)]

    def test_a_block_of_many_transactions(self, court: Court) -> None:
        chain = court.ours
        key = next(iter(court.purse.kinds))
        for _ in range(150):
            chain.pay_many([Output(key, 10_000)] * 50)
        court.block()
        assert len(chain.block(chain.tip()[1]).txs) > 100

    def test_both_refuse_blocks_that_break_one_rule(self, court: Court) -> None:
        tip = court.judge.tip()
        for rule, raw in wrong_blocks(court):
            with pytest.raises(BlockRefused):
                court.ours.submit(raw)
                pytest.fail(f"we took it: {rule}")
            court.judge.submit(raw)
            assert court.judge.tip() == tip, rule
        raw = right_block(court)
        assert court.judge.takes_block(raw, court.ours.submit(raw))
        court.caught_up()

    def test_ours_follows_what_the_node_mines(self, request: pytest.FixtureRequest) -> None:
        if not self.mines:
            pytest.skip(f"{self.software} mines to the address of its settings only")
        court: Court = request.getfixturevalue("fresh")
        address = court.ours.format.address(court.ours.format.own_key(court.ours.format.kinds[0], SECRETS[0]))
        for _ in range(3):
            for _ in range(20):
                court.put("good", FAMILIES["good"][0](court.purse))
            court.judge.rpc.call("generatetoaddress", 1, address)
            raw = court.judge.block(court.judge.height())
            assert court.ours.submit(raw) == court.judge.tip()
            court.caught_up()
        self.compare_coins(court)

    def compare_coins(self, court: Court) -> None:
        """Each of ours is there with its amount."""
        for spend in court.purse.confirmed[:100]:
            found = court.judge.rpc.call("gettxout", spend.outpoint.txid, spend.outpoint.vout, False)
            assert round(found["value"] * 100_000_000) == spend.amount
