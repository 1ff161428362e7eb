"""What an Ethereum node is asked and told, and what its words mean. One line to one node.

The guard looks at the chain's id whenever a connection is made and before anything is sent: a node takes a transaction
that was signed for another chain, answers with its hash, and never mines it. A development node keeps its chain in
memory and names each of its lives (`instanceId`); a question that would reach another life than the one we know raises
`Exchanged` instead, so that nothing is asked of a node that has forgotten everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from glasstumbler.chains.eth_block import Unsigned
from glasstumbler.chains.guard import check_node
from glasstumbler.chains.keccak import keccak256
from glasstumbler.errors import ChainError, NodeAnswer, NodeAway, TransactionRefused
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.rpc import Ask, Rpc

_BATCH = 500
"""Questions in one request: some 200 kB of transactions; nodes take 2 MB."""


class Kind(NamedTuple):
    """The calls that nodes have each their own way of; "" where a node has none."""

    metadata: str
    """Tip and `instanceId` in one answer."""
    mine: str
    rollback: str
    drop: str
    """Empties the mempool."""
    set_balance: str
    set_base_fee: str
    """Of the next block: a rollback leaves it as it was."""


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "anvil": Kind(
            metadata="anvil_metadata",
            mine="evm_mine",
            rollback="anvil_rollback",
            drop="anvil_dropAllTransactions",
            set_balance="anvil_setBalance",
            set_base_fee="anvil_setNextBlockBaseFeePerGas",
        )
    }
)
"""By the kind of an endpoint."""

_REFUSALS: Final[Sequence[tuple[str, str]]] = (
    ("nonce too low", "nonce"),
    ("nonce", "nonce"),
    ("insufficient funds", "funds"),
    ("less than block base fee", "fee-too-low"),
    ("replacement transaction underpriced", "conflict"),
    ("insufficient gas price to replace", "conflict"),
    ("underpriced", "fee-too-low"),
    ("priority fee", "malformed"),
    ("decode", "malformed"),
    ("empty transaction data", "malformed"),
    ("signature", "bad-signature"),
    ("recover", "bad-signature"),
)
"""What a node says against a transaction (in small letters), and the reason that it is: the first that fits."""
_KNOWN = ("already imported", "already known")


class Exchanged(NodeAway):
    """The node at the other end is not the one that was there before."""


class Seen(NamedTuple):
    """A node's tip."""

    height: int
    hash: str


class News(NamedTuple):
    """What has come to the mempool since the last question (None: that is not known), and how many wait there."""

    seen: Seen
    fresh: Sequence[str] | None
    waiting: int


class EthLink:
    """NodeAway, NodeAnswer and RefusedNode from every call. Not safe from several threads at once."""

    def __init__(self, endpoint: Endpoint) -> None:
        if endpoint.kind not in KINDS:
            raise ChainError(f"no Ethereum node is called {endpoint.kind!r}; known: {', '.join(KINDS)}")
        self.name = endpoint.kind
        self.kind = KINDS[endpoint.kind]
        self._instance: str | None = None
        self._filter: str | None = None
        self._rpc = Rpc(endpoint, self._check)

    def meet(self) -> Seen:
        """Take the node as it is now for the one to speak with."""
        self._instance = self._filter = None
        return self.seen()

    def version(self) -> str:
        """As in "anvil 1.7.1"."""
        name, _, number = str(self._rpc.call("web3_clientVersion")).partition("/")
        return f"{name.lower()} {number.partition('/')[0].removeprefix('v')}"

    # Reading.

    def seen(self) -> Seen:
        return self._seen(self._rpc.call(self.kind.metadata))

    def news(self) -> News:
        """One request."""
        if self._filter is None:
            self._filter = str(self._rpc.call("eth_newPendingTransactionFilter"))
            return self.news()._replace(fresh=None)
        questions = ((self.kind.metadata,), ("eth_getFilterChanges", self._filter), ("txpool_status",))
        metadata, fresh, status = self._rpc.batch(questions)
        if isinstance(fresh, NodeAnswer):  # not asked for too long, and given up by the node
            self._filter = None
            return self.news()
        if not isinstance(fresh, list) or not all(isinstance(txid, str) for txid in fresh):
            raise self._unreadable("eth_getFilterChanges")
        waiting = sum(self._number(status, part) for part in ("pending", "queued"))
        return News(self._seen(metadata), fresh, waiting)

    def waiting(self) -> list[str]:
        """Txids of the whole mempool, those that can be mined first. Slow: the node writes out every transaction."""
        content = self._rpc.call("txpool_content")
        try:
            queues = [*content["pending"].values(), *content["queued"].values()]
            return [
                each["hash"] for queue in queues for _, each in sorted(queue.items(), key=lambda item: int(item[0]))
            ]
        except (TypeError, KeyError, AttributeError, ValueError):
            raise self._unreadable("txpool_content") from None

    def blocks(self, heights: Sequence[int]) -> list[Mapping[str, Any] | None]:
        """Headers with the hashes of their transactions; None where there is none."""
        found: list[Mapping[str, Any] | None] = []
        for start in range(0, len(heights), _BATCH):
            piece = [("eth_getBlockByNumber", hex(height), False) for height in heights[start : start + _BATCH]]
            found += [self._block(answer) for answer in self._rpc.batch(piece)]
        return found

    def raws(self, txids: Sequence[str]) -> list[bytes | Unsigned | None]:
        """Raw transactions, one request for each 500; None where there is none any more."""
        found: list[bytes | Unsigned | None] = []
        for start in range(0, len(txids), _BATCH):
            piece = txids[start : start + _BATCH]
            answers = self._rpc.batch([("eth_getRawTransactionByHash", txid) for txid in piece])
            found += [self._raw(txid, answer) for txid, answer in zip(piece, answers, strict=True)]
        return found

    def account(self, address: str) -> tuple[int, int]:
        """Balance in wei and next nonce, after the tip."""
        asked = [("eth_getBalance", address, "latest"), ("eth_getTransactionCount", address, "latest")]
        balance, nonce = self._rpc.batch(asked)
        return self._number({"balance": balance}, "balance"), self._number({"nonce": nonce}, "nonce")

    # Telling.

    def send(self, raws: Sequence[bytes], in_order: bool = False) -> list[TransactionRefused | None]:
        """What is said against each. A node takes those of one request in any order."""
        if not raws:
            return []
        self._check_chain(self._rpc.call)
        asked = [("eth_sendRawTransaction", "0x" + raw.hex()) for raw in raws]
        if in_order or len(asked) == 1:
            answers = [self._answer(*one) for one in asked]
        else:
            pieces = [asked[start : start + _BATCH] for start in range(0, len(asked), _BATCH)]
            answers = [answer for piece in pieces for answer in self._rpc.batch(piece)]
        return [_refusal(answer) if isinstance(answer, NodeAnswer) else None for answer in answers]

    def mine(self, time: int) -> None:
        """A block of this time, epoch seconds."""
        self._tell(self.kind.mine, "mine", {"timestamp": time})

    def rollback(self, depth: int) -> None:
        self._tell(self.kind.rollback, "take blocks back", depth)

    def drop_all(self) -> None:
        self._tell(self.kind.drop, "empty its mempool")

    def set_balance(self, address: str, balance: int) -> None:
        self._tell(self.kind.set_balance, "fill the faucet", address, hex(balance))

    def set_base_fee(self, base_fee: int) -> None:
        self._tell(self.kind.set_base_fee, "set the base fee", hex(base_fee))

    def close(self) -> None:
        self._rpc.close()

    # Inside.

    def _check(self, ask: Ask) -> None:
        self._check_chain(ask)
        self._seen(ask(self.kind.metadata))

    def _check_chain(self, ask: Ask) -> None:
        try:
            shown = ask("eth_chainId")
        except NodeAnswer as answer:
            shown = answer.text
        try:
            check_node("eth", chain_id=int(shown, 16))
        except (TypeError, ValueError):
            check_node("eth", chain_id=str(shown))

    def _seen(self, metadata: Any) -> Seen:
        if isinstance(metadata, NodeAnswer):
            raise metadata
        try:
            instance = str(metadata["instanceId"])
            seen = Seen(int(metadata["latestBlockNumber"]), str(metadata["latestBlockHash"]))
        except (TypeError, KeyError, ValueError):
            raise self._unreadable(self.kind.metadata) from None
        if self._instance not in (None, instance):
            raise Exchanged(self.name, "it was started anew")
        self._instance = instance
        return seen

    def _answer(self, *question: Any) -> Any:
        try:
            return self._rpc.call(*question)
        except NodeAnswer as answer:
            return answer

    def _tell(self, method: str, what: str, *params: Any) -> None:
        if not method:
            raise ChainError(f"{self.name} cannot be told to {what}")
        self._rpc.call(method, *params)

    def _block(self, answer: Any) -> Mapping[str, Any] | None:
        if answer is None or isinstance(answer, NodeAnswer):
            return None
        if not isinstance(answer, dict) or not {"hash", "parentHash", "transactions"} <= answer.keys():
            raise self._unreadable("eth_getBlockByNumber")
        return answer

    def _raw(self, txid: str, answer: Any) -> bytes | Unsigned | None:
        if answer is None or isinstance(answer, NodeAnswer):
            return None
        try:
            raw = bytes.fromhex(answer[2:])
            if "0x" + keccak256(raw).hex() == txid:
                return raw
            return Unsigned(txid, str(self._rpc.call("eth_getTransactionByHash", txid)["from"]).lower(), raw)
        except (TypeError, KeyError, ValueError):
            raise self._unreadable("eth_getRawTransactionByHash") from None

    def _number(self, answer: Any, name: str) -> int:
        try:
            return int(answer[name], 16)
        except (TypeError, KeyError, ValueError):
            raise self._unreadable(name) from None

    def _unreadable(self, what: str) -> NodeAway:
        return NodeAway(self.name, f"its answer to {what} cannot be read")


def _refusal(answer: NodeAnswer) -> TransactionRefused | None:
    text = answer.text.lower()
    if any(known in text for known in _KNOWN):
        return None
    reason = next((reason for words, reason in _REFUSALS if words in text), "other")
    return TransactionRefused(reason, answer.text)
