"""What is asked of monerod, and what is looked at before: its nettype and that it is offline, with every look at it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from glasstumbler.chains.guard import check_node
from glasstumbler.errors import NodeAnswer, NodeAway, TransactionRefused
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.rpc import Ask, Rpc

_TIMEOUT: Final = 120.0
_TXS_AT_ONCE, _BLOCKS_AT_ONCE = 100, 10
"""Asked for, or made, with one question: a block takes 0.1 s, and some of them must be through before the timeout."""
_RELAYED_AFTER: Final = 5.0
_PAUSE: Final = 0.01
_REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "double_spend": ("conflict", "something that waits or is mined spends the same"),
    "fee_too_low": ("fee-too-low", "the node wants more"),
    "overspend": ("funds", "it pays out more than it spends"),
    "invalid_input": ("missing-inputs", "an input is not there, still locked, or signed wrongly"),
    "invalid_output": ("malformed", "an output is none"),
}


class Info(NamedTuple):
    """`height` of the last block, whose hash is `top`. `started`: when this node was, in seconds since the epoch."""

    height: int
    top: str
    started: int
    version: str


class Pooled(NamedTuple):
    raw: bytes
    waits: bool
    """In the mempool, not in a block."""
    since: int


class Monerod:
    """NodeAway, NodeAnswer as of `Rpc`; RefusedNode as soon as it shows another network."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._kind = endpoint.kind
        self._rpc = Rpc(endpoint._replace(url=json_rpc(endpoint.url)), _check, _TIMEOUT)

    def info(self) -> Info:
        found = self._call("get_info")
        _judge(found)
        return Info(
            found["height"] - 1, found["top_block_hash"], found["start_time"], str(found["version"]).partition("-")[0]
        )

    def hash_at(self, height: int) -> str:
        return str(self._call("get_block_header_by_height", height=height)["block_header"]["hash"])

    def block(self, height: int) -> bytes:
        return bytes.fromhex(self._call("get_block", height=height)["blob"])

    def transactions(self, txids: Sequence[str]) -> dict[str, Pooled]:
        """Those of them that it knows."""
        found: dict[str, Pooled] = {}
        for start in range(0, len(txids), _TXS_AT_ONCE):
            reply = self._post("/get_transactions", txs_hashes=list(txids[start : start + _TXS_AT_ONCE]))
            for row in reply.get("txs", ()):
                since = row.get("received_timestamp", 0)
                found[row["tx_hash"]] = Pooled(bytes.fromhex(row["as_hex"]), row["in_pool"], since)
        return found

    def pool(self) -> list[str]:
        return list(self._post("/get_transaction_pool_hashes").get("tx_hashes", ()))

    def send(self, raw: bytes) -> None:
        """Harmless if it waits there or is mined. TransactionRefused."""
        reply = self._rpc.post("/send_raw_transaction", tx_as_hex=raw.hex(), do_not_relay=False)
        if not isinstance(reply, dict) or "status" not in reply:
            raise NodeAway(self._kind, "the answer is not monerod's")
        if reply["status"] != "OK":
            for flag, (reason, text) in _REASONS.items():
                if reply.get(flag):
                    raise TransactionRefused(reason, text)
            raise TransactionRefused("other", str(reply.get("reason") or "no reason given"))

    def submit(self, block: bytes) -> None:
        """NodeAnswer if it does not take it."""
        self._call("submit_block", block.hex())

    def generate(self, blocks: int, address: str) -> None:
        """`address` in the node's own form. What was sent a moment ago goes into a block only once the node has also
        tried to relay it, which it does beside."""
        until = time.monotonic() + _RELAYED_AFTER
        while self._post("/get_transaction_pool_stats")["pool_stats"].get("num_not_relayed"):
            if time.monotonic() > until:
                break
            time.sleep(_PAUSE)
        for start in range(0, blocks, _BLOCKS_AT_ONCE):
            self._call("generateblocks", amount_of_blocks=min(_BLOCKS_AT_ONCE, blocks - start), wallet_address=address)

    def pop(self, blocks: int) -> None:
        self._post("/pop_blocks", nblocks=blocks)

    def flush(self, txids: Collection[str]) -> None:
        if txids:
            self._call("flush_txpool", txids=list(txids))

    def close(self) -> None:
        self._rpc.close()

    def _call(self, method: str, *params: Any, **named: Any) -> Any:
        return self._fine(method, self._rpc.call(method, *params, **named))

    def _post(self, path: str, **fields: Any) -> Any:
        return self._fine(path, self._rpc.post(path, **fields))

    def _fine(self, method: str, reply: Any) -> Any:
        if not isinstance(reply, dict) or "status" not in reply:
            raise NodeAway(self._kind, "the answer is not monerod's")
        if reply["status"] == "BUSY":
            raise NodeAway(self._kind, "it is busy syncing")
        if reply["status"] != "OK":
            raise NodeAnswer(self._kind, method, 0, str(reply["status"]))
        return reply


def json_rpc(url: str) -> str:
    """Where monerod and the wallet server take JSON-RPC, of a URL that may name it or only the server."""
    return url.rstrip("/").removesuffix("/json_rpc") + "/json_rpc"


def _check(ask: Ask) -> None:
    _judge(ask("get_info"))


def _judge(info: Any) -> None:
    facts = {name: info[name] for name in ("nettype", "offline") if isinstance(info, dict) and name in info}
    check_node("xmr", **facts)
