"""Orders counted by state, in both stores."""

from __future__ import annotations

from functools import partial

import pytest

from glasstumbler.store.counts import states_up_to
from tests.laboratory import Laboratory


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_orders_are_counted_up_to_a_bound(kind: str, request: pytest.FixtureRequest) -> None:
    place = request.getfixturevalue("postgres_server").database() if kind == "postgresql" else None
    laboratory = Laboratory("btc", store=place)
    try:
        orders = [laboratory.bearer(slug, [50_000_000]) for slug in ("whir", "btcmix", "whir", "whir")]
        laboratory.pay(orders[0])
        read = laboratory.house.store.read
        whole = {("whir", "confirming"): 1, ("whir", "awaiting"): 2, ("btcmix", "awaiting"): 1}
        assert read(partial(states_up_to, services=("whir", "btcmix", "coinjoin"), most=100)) == whole
        assert read(partial(states_up_to, services=("whir",), most=1)) == {
            place: 1 for place in whole if place[0] == "whir"
        }
    finally:
        laboratory.close()
