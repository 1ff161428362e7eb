"""Rows of the observer's tables: blocks and transactions as the chains show them, and nothing else.

Where a chain hides amounts and addresses (Monero), they are null here too, whatever the model could tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from glasstumbler.chains.base import Block, Chain, Outpoint, Tx
from glasstumbler.chains.eth_format import read_transfer
from glasstumbler.chains.utxo_book import UtxoBook
from glasstumbler.errors import BadAddress, RecordError
from glasstumbler.store.records import Records

Rows = dict[str, list[dict[str, Any]]]
HIDDEN = frozenset(("xmr",))
"""Coins whose chain shows neither amounts nor addresses."""
_COINBASE = Outpoint("00" * 32, 0xFFFFFFFF)
_TAGS = {True: "swap", False: "mixer"}


def observe(chains: Mapping[str, Chain]) -> Rows:
    """Tables block, tx, input, output and address of every chain's active branch, lowest block first."""
    rows: Rows = {name: [] for name in ("block", "tx", "input", "output", "address")}
    for chain in chains.values():
        seen = _Seen(chain, rows)
        for block in blocks(chain):
            seen.take(block)
        rows["address"] += seen.addresses.values()
    return rows


def blocks(chain: Chain) -> Iterator[Block]:
    """The active branch. RecordError if it changes underneath."""
    for height in range(chain.tip()[0] + 1):
        block_hash = chain.block_hash(height)
        if block_hash is None:
            raise RecordError(None, f"the {chain.coin} chain was reorganised while it was read")
        yield chain.block(block_hash)


def raw_blocks(chains: Mapping[str, Chain]) -> list[dict[str, Any]]:
    """Rows of schemas.RAW_BLOCK, of the chains that have such blocks."""
    return [
        {"coin": coin, "height": height, "raw": raw}
        for coin, chain in chains.items()
        if isinstance(chain, UtxoBook)
        for height, raw in enumerate(chain.raw_blocks())
    ]


class _Flow(NamedTuple):
    """Amounts of one transaction; fee None for a coinbase or where it is hidden."""

    inputs: list[tuple[Outpoint, int]]
    fee: int | None
    coinbase: bool


class _Seen:
    """One chain, read from its first block on."""

    def __init__(self, chain: Chain, rows: Rows) -> None:
        self._chain, self._coin, self._rows = chain, chain.coin, rows
        self._outputs: dict[Outpoint, int] = {}
        self._names: dict[bytes, str | None] = {}
        self.addresses: dict[str, dict[str, Any]] = {}

    def take(self, block: Block) -> None:
        for tx in block.txs:  # first, since a block's order may put children before parents (BCH)
            for vout, output in enumerate(tx.outputs):
                self._outputs[Outpoint(tx.txid, vout)] = output.amount
        flows = [self._flow(tx, place == 0) for place, tx in enumerate(block.txs)]
        for place, (tx, flow) in enumerate(zip(block.txs, flows, strict=True)):
            self._tx(tx, flow, block.height, place)
        self._rows["block"].append(
            {
                "coin": self._coin,
                "height": block.height,
                "hash": block.hash,
                "previous": block.previous,
                "time": block.time,
                "txs": len(block.txs),
                "issued": self._issued(block, flows),
            }
        )

    def _flow(self, tx: Tx, first: bool) -> _Flow:
        if self._coin in HIDDEN:
            return _Flow([], None, first)
        if tx.inputs == (_COINBASE,):
            return _Flow([], None, True)
        if self._chain.format.one_to_one:
            transfer = read_transfer(tx.raw)
            fee = transfer.gas * transfer.max_fee  # priority fee and maximum are one: the block's base fee is in it
            return _Flow([(tx.inputs[0], transfer.value + fee)], fee, False)
        inputs = [(spent, self._outputs[spent]) for spent in tx.inputs]
        return _Flow(inputs, sum(amount for _, amount in inputs) - sum(o.amount for o in tx.outputs), False)

    def _issued(self, block: Block, flows: list[_Flow]) -> int | None:
        if self._coin in HIDDEN:
            return None
        created = sum(
            sum(output.amount for output in tx.outputs)
            for tx, flow in zip(block.txs, flows, strict=True)
            if flow.coinbase
        )
        if self._chain.format.one_to_one:
            return created  # fees go to the miner's account without a transaction
        return created - sum(flow.fee or 0 for flow in flows)

    def _tx(self, tx: Tx, flow: _Flow, height: int, place: int) -> None:
        self._rows["tx"].append(
            {
                "coin": self._coin,
                "txid": tx.txid,
                "height": height,
                "place": place,
                "coinbase": flow.coinbase,
                "inputs": len(flow.inputs),
                "outputs": len(tx.outputs),
                "bytes": len(tx.raw),
                "fee": flow.fee,
            }
        )
        for number, (spent, amount) in enumerate(flow.inputs):
            if self._chain.format.one_to_one:
                self._row_of(self._address(bytes.fromhex(spent.txid[2:])) or spent.txid, height)
            self._rows["input"].append(
                {
                    "coin": self._coin,
                    "txid": tx.txid,
                    "place": number,
                    "spent_txid": spent.txid,
                    "spent_vout": spent.vout,
                    "amount": amount,
                }
            )
        for vout, output in enumerate(tx.outputs):
            self._output(tx.txid, vout, output.key, output.amount, height)

    def _output(self, txid: str, vout: int, key: bytes, amount: int, height: int) -> None:
        hidden = self._coin in HIDDEN
        address = None if hidden else self._address(key)
        self._rows["output"].append(
            {
                "coin": self._coin,
                "txid": txid,
                "vout": vout,
                "address": address,
                "amount": None if hidden else amount,
            }
        )
        if address is not None:
            self._sum_up(address, amount, height)

    def _address(self, key: bytes) -> str | None:
        if key not in self._names:
            try:
                self._names[key] = self._chain.format.address(key)
            except BadAddress:
                self._names[key] = None
        return self._names[key]

    def _sum_up(self, address: str, amount: int, height: int) -> None:
        row = self._row_of(address, height)
        row["last_height"] = height
        row["outputs"] += 1
        row["received"] += amount

    def _row_of(self, address: str, height: int) -> dict[str, Any]:
        first = {"coin": self._coin, "name": address, "first_height": height, "last_height": height}
        return self.addresses.setdefault(address, {**first, "outputs": 0, "received": 0})


def tags(records: Records, swaps: frozenset[str]) -> list[dict[str, Any]]:
    """One seed for each service and coin: the deposit address of its first paid order, as an investigator's own test
    order would show it."""
    first: dict[tuple[str, str], dict[str, Any]] = {}
    for order in records.all_orders():
        if order.credited and order.coin not in HIDDEN:
            first.setdefault(
                (order.service, order.coin),
                {
                    "coin": order.coin,
                    "address": order.address,
                    "label": order.service,
                    "category": _TAGS[order.service in swaps],
                    "source": "own test order",
                },
            )
    return list(first.values())
