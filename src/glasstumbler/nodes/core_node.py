"""The questions that are put to a Core-style node, each a fixed number of calls; and what it must show first."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from glasstumbler.chains import blocks, guard
from glasstumbler.errors import (
    ChainError,
    NodeAnswer,
    NodeAway,
    RefusedNode,
    SettingsError,
    TransactionRefused,
)
from glasstumbler.nodes.core_kinds import KINDS, KNOWN, CoreKind, refusal
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.rpc import Ask, Rpc

_VERSION = re.compile(r":([^/(]+)")
_PAGE = 100
"""Questions of one batch."""
_WARMING_UP = -28
_SEEN_WITHIN = 1.0
_SEEN_EVERY = 0.01
"""Seconds: until when, and how often, a silent node's mempool is asked for what it was sent."""


class Seen(NamedTuple):
    """The node at one moment."""

    tip: str
    mempool: list[str]


class CoreNode:
    """Safe from any thread. NodeAway, or ChainError for an answer that a node in order does not give."""

    def __init__(self, coin: str, endpoint: Endpoint) -> None:
        """SettingsError if there is no such software for this coin."""
        self._coin = coin
        self.kind = _row(coin, endpoint.kind)
        self._name = endpoint.kind
        self.version = endpoint.kind
        """With the number it shows, once it was asked."""
        self._rpc = Rpc(endpoint, self._check, socket_path=self.kind.socket_path)

    def tip(self) -> str:
        return self._hash(self._ask("getbestblockhash"))

    def look(self) -> Seen:
        tip, mempool = self._rpc.batch([("getbestblockhash",), ("getrawmempool",)])
        if not isinstance(mempool, list) or not all(isinstance(txid, str) for txid in mempool):
            raise self._strange("getrawmempool", mempool)
        return Seen(self._hash(tip), mempool)

    def height(self, block_hash: str) -> int:
        """ChainError if the node does not have it."""
        header = self._ask("getblockheader", block_hash, True)
        height = header.get("height") if isinstance(header, dict) else None
        if not isinstance(height, int):
            raise self._strange("getblockheader", header)
        return height

    def hashes(self, heights: Sequence[int]) -> list[str]:
        """Of the active chain."""
        return [self._hash(each) for each in self._pages("getblockhash", [(height,) for height in heights])]

    def raw_blocks(self, hashes: Sequence[str]) -> list[bytes]:
        """ChainError if what comes is not what was asked for."""
        raws = [self._bytes(each) for each in self._pages("getblock", [(each, 0) for each in hashes])]
        for raw, block_hash in zip(raws, hashes, strict=True):
            if blocks.block_hash(raw) != block_hash:
                raise ChainError(f"the {self._name} node gave another block for {block_hash}")
        return raws

    def raw_transactions(self, txids: Sequence[str]) -> dict[str, bytes]:
        """Waiting ones; what has gone in the meantime is left out."""
        found = {}
        for txid, answer in zip(txids, self._pages("getrawtransaction", [(t, 0) for t in txids]), strict=True):
            if isinstance(answer, str):
                found[txid] = self._bytes(answer)
        return found

    def send(self, raws: Mapping[str, bytes]) -> dict[str, TransactionRefused]:
        """Transactions by txid, in order; what was said against those that it does not have now."""
        answers = self._pages("sendrawtransaction", [(raw.hex(),) for raw in raws.values()])
        refused = {
            txid: refusal(answer.text)
            for txid, answer in zip(raws, answers, strict=True)
            if isinstance(answer, NodeAnswer) and not KNOWN.search(answer.text)
        }
        if self.kind.silent:
            for txid in self._unseen(raws.keys() - refused.keys()):
                refused[txid] = TransactionRefused("other", f"{self._name} did not take it, and gives no reason")
        return refused

    def submit(self, raws: Sequence[bytes]) -> list[str]:
        """Blocks that follow one another. What was said against each; empty: it took it or had it."""
        said = []
        for answer in self._pages("submitblock", [(raw.hex(),) for raw in raws]):
            text = answer.text if isinstance(answer, NodeAnswer) else str(answer or "")
            said.append("" if KNOWN.search(text) else text)
        return said

    def invalidate(self, block_hash: str) -> None:
        self._ask("invalidateblock", block_hash)

    def close(self) -> None:
        self._rpc.close()

    # Within

    def _unseen(self, txids: Collection[str]) -> set[str]:
        until = time.monotonic() + _SEEN_WITHIN
        left = set(txids)
        while left:
            left -= set(self.look().mempool)
            if time.monotonic() > until:
                break
            if left:
                time.sleep(_SEEN_EVERY)
        return left

    def _ask(self, method: str, *params: Any) -> Any:
        return self._rpc.call(method, *params)

    def _pages(self, method: str, questions: Sequence[tuple[Any, ...]]) -> list[Any]:
        answers: list[Any] = []
        for at in range(0, len(questions), _PAGE):
            answers += self._rpc.batch([(method, *params) for params in questions[at : at + _PAGE]])
        return answers

    def _hash(self, answer: Any) -> str:
        if isinstance(answer, NodeAnswer):
            raise answer
        if not isinstance(answer, str) or len(answer) != 64:
            raise self._strange("a question for a block's hash", answer)
        return answer

    def _bytes(self, answer: Any) -> bytes:
        if isinstance(answer, NodeAnswer):
            raise answer
        try:
            return bytes.fromhex(answer)
        except (TypeError, ValueError):
            raise self._strange("a question for raw bytes", answer) from None

    def _strange(self, what: str, answer: Any) -> ChainError:
        return answer if isinstance(answer, NodeAnswer) else ChainError(f"{self._name} answered {what} strangely")

    # What a node must show before it is spoken to

    def _check(self, ask: Ask) -> None:
        try:
            guard.check_node(self._coin, genesis=ask("getblockhash", 0))
            self._check_software(ask)
            self._check_state(ask)
        except NodeAnswer as answer:
            if answer.code == _WARMING_UP:
                raise NodeAway(self._name, f"it is starting: {answer.text}") from None
            raise

    def _check_software(self, ask: Ask) -> None:
        """Bitcoin and Bitcoin Cash have the same first block: only the software tells them apart."""
        agent = _agent(ask)
        if self.kind.shows not in agent:
            raise RefusedNode(f"{self._coin} node", f"software {agent!r}", f"software {self.kind.shows!r}")
        found = _VERSION.search(agent)
        self.version = f"{self._name} {found[1]}" if found else self._name

    def _check_state(self, ask: Ask) -> None:
        """A private chain's tip may be days old, which Core takes for a download: a node downloads from somebody."""
        state = ask("getblockchaininfo")
        if state.get("pruned"):
            raise ChainError(f"the {self._name} node is pruned: start it with prune=0, the laboratory reads old blocks")
        behind = int(state.get("headers") or 0) > int(state.get("blocks") or 0)
        if behind and state.get("initialblockdownload") and ask("getconnectioncount"):
            raise NodeAway(self._name, f"it is still fetching blocks ({state['blocks']} of {state['headers']})")


def _row(coin: str, name: str) -> CoreKind:
    kind = KINDS.get(name)
    if kind is None or kind.coin != coin:
        fitting = ", ".join(each for each, row in KINDS.items() if row.coin == coin)
        raise SettingsError(f"{name!r} is no node software for {coin}; there is {fitting}")
    return kind


def _agent(ask: Ask) -> str:
    """As peers see it. btcd shows none, but names its interface."""
    try:
        return str(ask("getnetworkinfo").get("subversion"))
    except NodeAnswer:
        version = ask("version").get("btcdjsonrpcapi") or {}
        return f"/btcd:{version.get('versionstring')}/" if version else "none"
