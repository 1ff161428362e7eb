"""What of a chain is a service's deposit and what its payment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from glasstumbler.lab import tasks
from glasstumbler.lab.methods import flows
from glasstumbler.lab.methods.flows import Flow
from glasstumbler.lab.tasks import Dataset
from tests.lab.mixer_chains import Mixed, Pay, world


def test_deposits_go_by_address_and_payments_by_transaction(tmp_path: Path) -> None:
    made = world(tmp_path, [Mixed(1, 100, (Pay(5, (60, 30)),)), Mixed(2, 50, (Pay(3, (20,)), Pay(4, (25,))))])
    (flow,) = flows.mixing(made.public, made.told)
    graph = made.public.graph("btc")
    names = graph.names.to_pylist()

    def told(groups: flows.Groups) -> list[tuple[list[str], int, int]]:
        return [
            (
                [names[graph.address[o]] for o in groups.outputs[groups.first[i] : groups.first[i + 1]]],
                int(groups.time[i]) // 600,
                int(groups.amount[i]),
            )
            for i in range(len(groups))
        ]

    assert told(flow.deposits) == [(["deposit0"], 1, 100), (["deposit1"], 2, 50)]
    assert told(flow.payments) == [
        (["payout1.0.0"], 3, 20),
        (["payout1.1.0"], 4, 25),
        (["payout0.0.0", "payout0.0.1"], 5, 90),
    ]
    assert [len(flows.singly(graph, flow.payments)), len(flow.payments)] == [4, 3]
    of = flow.payments.of_output(graph.outputs)
    assert [of[output] for output in flow.payments.outputs] == [0, 1, 2, 2] and (of == -1).sum() == graph.outputs - 4


def test_links_are_every_output_with_every_other(tmp_path: Path) -> None:
    made = world(tmp_path, [Mixed(1, 100, (Pay(5, (60, 30)),)), Mixed(2, 50, (Pay(6, (20,)),))])
    (flow,) = flows.mixing(made.public, made.told)
    table = flows.links("T2", flow, np.array([0, 1]), np.array([0, 1]), np.array([0.5, 0.25]), flow.payments)
    pairs = zip(table["deposit_output"].to_pylist(), table["payout_output"].to_pylist(), strict=True)
    assert set(pairs) == made.true()
    assert table["score"].to_pylist() == [0.5, 0.5, 0.25]
    assert flows.links("T2", flow, np.zeros(0, int), np.zeros(0, int), np.zeros(0), flow.payments).num_rows == 0


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return Dataset(folder)


def test_the_laboratorys_deposits_and_payouts_are_found(dataset: Dataset) -> None:
    told = tasks.told(dataset, "T2", tasks.untaught(dataset))
    found: list[Flow] = list(flows.mixing(dataset.public, told))
    links = tasks.truth(dataset, "T2")
    for flow in found:
        mine = links.filter(
            pc.and_(pc.equal(links["service"], flow.service), pc.equal(links["deposit_coin"], flow.coin))
        )
        assert set(mine["deposit_output"].to_pylist()) <= set(flow.deposits.outputs.tolist())
        assert set(mine["payout_output"].to_pylist()) == set(flow.payments.outputs.tolist()) or flow.service == "xmrto"
    assert {flow.coin for flow in found} == {"btc", "bch", "eth"}


def test_a_hidden_chain_has_a_deposit_in_every_output(dataset: Dataset) -> None:
    told = tasks.told(dataset, "T6", tasks.untaught(dataset))
    (flow,) = [each for each in flows.swapping(dataset.public, told) if each.coin == "xmr"]
    swaps = tasks.truth(dataset, "T6")
    assert set(swaps["deposit_output"].to_pylist()) <= set(flow.deposits.outputs.tolist())
    assert set(swaps["payout_output"].to_pylist()) <= set(flow.payments.outputs.tolist())
    assert not any(each.payout_coin == "xmr" for each in flows.swapping(dataset.public, told))


def test_an_empty_chain_has_no_flows(tmp_path: Path) -> None:
    from tests.lab.small_chains import graph

    empty = graph([])
    assert len(flows.deposits(empty, np.zeros(0, np.int64))) == 0
