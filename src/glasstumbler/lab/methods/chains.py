"""Which chains a method can work on, and its answers as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from glasstumbler.lab.methods.base import ANSWERS
from glasstumbler.lab.public import NONE, Graph, Ints, Public

ACCOUNTS = "Chains of accounts (eth) and chains that hide what is spent (xmr): it abstains."
"""What most methods that follow outputs say of the others."""


def spending(public: Public) -> Iterator[Graph]:
    """The chains whose transactions spend outputs in sight: btc, bch, ltc."""
    for coin in public.coins:
        graph = public.graph(coin)
        if len(graph.spends) and bool((graph.spends != NONE).all()):
            yield graph


def later(graph: Graph, seeds: Ints) -> tuple[Ints, Ints]:
    """Where the inputs and outputs of each transaction begin, from that of the first seed on: nothing is tainted
    before."""
    start = graph.tx_of_output[seeds].min(initial=graph.txs)
    return graph.first_input[start:], graph.first_output[start:]


def answer(task: str, parts: list[dict[str, Any]]) -> pa.Table:
    """ANSWERS[task], of one dictionary of columns a chain: `coin` is one name, all else arrays of one length."""
    schema = ANSWERS[task]
    return pa.concat_tables([schema.empty_table(), *(_table(schema, part) for part in parts)])


def _table(schema: pa.Schema, part: dict[str, Any]) -> pa.Table:
    columns = {**part, "coin": pa.repeat(part["coin"], len(part[schema.names[-1]]))}
    return pa.table({field.name: columns[field.name] for field in schema}, schema=schema)
