"""What the contract does not ask of an Ethereum node: lives and deaths, lies, strangers on the same node, limits."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from glasstumbler.audit_blocks import LoggedBlocks, up_to
from glasstumbler.chains.base import Block, Output, Place
from glasstumbler.chains.blocklog import BlockLog
from glasstumbler.chains.eth import EthChain
from glasstumbler.chains.eth_block import is_node_block, read_block
from glasstumbler.chains.eth_format import GWEI, checksum_address, own_address, parse_address, sign_transfer
from glasstumbler.chains.keys import KeyRing
from glasstumbler.clock import VirtualClock
from glasstumbler.errors import BlockRefused, ChainError, NodeAway, NoFunds, RefusedNode, StoreError, TransactionRefused
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.ethereum import DEEPEST, EthNode
from tests.nodes.anvil import Anvil, NodeSaid, anvil

RING = KeyRing(b"Ethereum node of the tests")
ETHER = 10**18
ALICE, BOB = b"\x01" * 32, b"\x02" * 32
ALICE_ADDRESS, BOB_ADDRESS = (checksum_address(own_address(secret)) for secret in (ALICE, BOB))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Anvil]:
    with anvil(tmp_path / "anvil") as node:
        yield node


@pytest.fixture
def chain(node: Anvil, tmp_path: Path) -> Iterator[EthNode]:
    with closing(opened(node.endpoint, tmp_path)) as chain:
        yield chain


def opened(endpoint: Endpoint, folder: Path) -> EthNode:
    return EthNode.open("eth", endpoint, RING, VirtualClock(), folder / "chains")


def blocks(chain: EthNode) -> list[Block]:
    return [chain.block(chain.block_hash(height) or "") for height in range(chain.tip()[0] + 1)]


def live(chain: EthNode) -> list[str]:
    """Blocks, a reorganisation, and what waits at the end."""
    for number in range(4):
        chain.pay_many([Output(own_address(BOB), ETHER + number), Output(own_address(ALICE), ETHER)])
        chain.mine()
    chain.reorg(2)
    chain.pay(BOB_ADDRESS, ETHER)
    chain.mine(2)
    return [chain.pay(chain.fresh_address(), ETHER + number) for number in range(3)]


# A node that dies


def test_a_node_that_was_killed_gets_its_chain_again(node: Anvil, chain: EthNode) -> None:
    waiting = live(chain)
    before, tip = blocks(chain), chain.tip()
    node.kill()
    with pytest.raises(NodeAway):
        chain.tip()
    with pytest.raises(NodeAway):
        chain.mempool()
    node.start()
    assert chain.tip() == tip
    assert blocks(chain) == before
    assert list(chain.mempool()) == waiting
    assert node.ask("eth_getBlockByNumber", "latest", False)["hash"] == tip[1]
    assert len(node.ask("txpool_content")["pending"]) == 1
    height = chain.mine()
    assert [chain.place(txid) for txid in waiting] == [Place(height, chain.tip()[1])] * 3
    chain.reorg(3)
    assert chain.mine() == height + 2


@pytest.mark.parametrize("first", ["mine", "pay", "mempool", "reorg", "pay_many"])
def test_whatever_is_asked_first_of_a_node_that_came_back(node: Anvil, chain: EthNode, first: str) -> None:
    """Between two questions it was killed and started anew, so that no call has failed."""
    waiting = live(chain)
    before, (height, _) = blocks(chain), chain.tip()
    node.kill()
    node.start()
    asked: dict[str, Callable[[], object]] = {
        "mine": chain.mine,
        "pay": lambda: waiting.append(chain.pay(ALICE_ADDRESS, 1)),
        "pay_many": lambda: waiting.append(chain.pay_many([Output(own_address(ALICE), 1)])),
        "mempool": chain.mempool,
        "reorg": lambda: chain.reorg(1),
    }
    asked[first]()
    kept = height if first == "reorg" else height + 1
    assert blocks(chain)[:kept] == before[:kept]
    top = chain.mine()
    assert all(place is not None and place.height in (top, top - 1) for place in map(chain.place, waiting))


@pytest.mark.parametrize("again", [False, True])
def test_node_and_process_die_together(node: Anvil, tmp_path: Path, again: bool) -> None:
    """`again`: the node dies anew while it is given its chain."""
    with closing(opened(node.endpoint, tmp_path)) as chain:
        waiting = live(chain)
        before = blocks(chain)
    node.kill()
    with pytest.raises(NodeAway):
        opened(node.endpoint, tmp_path)
    node.start()
    if again:
        with lying(node, dying_after(node, "evm_mine", 3)) as endpoint, pytest.raises(NodeAway):
            opened(endpoint, tmp_path)
        node.start()
    with closing(opened(node.endpoint, tmp_path)) as chain:
        assert blocks(chain) == before
        assert list(chain.mempool()) == waiting


@pytest.mark.parametrize(
    ("method", "times"),
    [("anvil_dropAllTransactions", 1), ("anvil_rollback", 1), ("evm_mine", 1), ("evm_mine", 2), ("eth_chainId", 1)],
)
@pytest.mark.parametrize("survives", [False, True])
def test_nothing_is_lost_in_the_middle_of_a_reorganisation(
    node: Anvil, tmp_path: Path, method: str, times: int, survives: bool
) -> None:
    """Killed when this was asked of it; our process `survives`, or dies too."""
    dying: list[Callable[[str, Any], None]] = []

    def said(asked: str, answer: Any) -> None:
        for each in dying:
            each(asked, answer)

    with lying(node, said) as endpoint:
        chain = opened(endpoint, tmp_path)
        mined = [chain.pay(BOB_ADDRESS, ETHER), chain.pay(ALICE_ADDRESS, ETHER)]
        chain.mine()
        waiting = chain.pay(BOB_ADDRESS, ETHER)
        dying.append(dying_after(node, method, times))
        with pytest.raises(NodeAway):
            chain.reorg(1)
        dying.clear()
        node.start()
        if not survives:
            chain.close()
            chain = opened(endpoint, tmp_path)
        height = chain.mine()
        assert len(chain.mempool()) == 0
        places = [chain.place(txid) for txid in (*mined, waiting)]
        assert all(place is not None and place.height in (height, height - 1) for place in places)
        chain.close()


def test_the_deepest_reorganisation_can_be_made_again_after_a_kill(node: Anvil, chain: EthNode) -> None:
    for number in range(11):
        chain.pay(BOB_ADDRESS, ETHER + number)
        chain.mine(10)
    with pytest.raises(ChainError, match="of 101 blocks; anvil can do 100"):
        chain.reorg(DEEPEST + 1)
    assert chain.reorg(DEEPEST) == 111
    waiting, tip = list(chain.mempool()), chain.mine(3) and chain.tip()
    node.kill()
    node.start()
    assert chain.tip() == tip
    assert len(waiting) == 10
    assert all(chain.place(txid) is not None for txid in waiting)


def test_a_node_that_cannot_make_the_same_blocks_is_not_followed(node: Anvil, chain: EthNode) -> None:
    live(chain)
    node.ask("anvil_setBalance", "0x" + "ab" * 20, "0x1")
    chain.mine()
    node.kill()
    node.start()
    for _ in range(2):
        with pytest.raises(
            BlockRefused, match=r"does not make block 8 again.*its state is changed by transactions only"
        ):
            chain.tip()


def test_a_node_with_another_first_block_is_another_chain(node: Anvil, chain: EthNode, tmp_path: Path) -> None:
    chain.mine()
    node.kill()
    node.command += ["--base-fee", "7"]
    node.start()
    with pytest.raises(ChainError, match="it is another chain"):
        chain.tip()
    with pytest.raises(ChainError, match="it is another chain"):
        opened(node.endpoint, tmp_path)


def test_a_chain_made_in_this_process_is_not_gone_on_with(node: Anvil, tmp_path: Path) -> None:
    EthChain(RING, VirtualClock(), tmp_path / "chains").close()
    with pytest.raises(StoreError, match="made in this process"):
        opened(node.endpoint, tmp_path)


# A node that lies, or is not there


@contextmanager
def lying(node: Anvil, said: Callable[[str, Any], Any]) -> Iterator[Endpoint]:
    """A stand-in in front of the node: what `said(method, result)` returns, if anything, is the answer."""

    class Between(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answers = [self.answer(each) for each in (asked if isinstance(asked, list) else [asked])]
            if None in answers:
                self.close_connection = True
                return
            body = json.dumps(answers if isinstance(asked, list) else answers[0]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def answer(self, question: dict[str, Any]) -> dict[str, Any] | None:
            shown: dict[str, Any] = {"jsonrpc": "2.0", "id": question["id"]}
            try:
                shown["result"] = node.ask(question["method"], *question["params"])
            except NodeSaid as refused:
                shown["error"] = refused.error
            except OSError:
                return None
            told = said(question["method"], shown.get("result"))
            return shown if told is None else {**shown, "result": told}

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Between)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield Endpoint("anvil", f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()


def dying_after(node: Anvil, method: str, times: int) -> Callable[[str, Any], None]:
    """Kills the node when this has been asked for so many times."""
    asked: Counter[str] = Counter()

    def said(name: str, answer: Any) -> None:
        asked[name] += 1
        if name == method and asked[name] == times:
            node.kill()

    return said


def chain_ids(*ids: str) -> Callable[[str, Any], Any]:
    """One answer after the other, the last again and again; everything else is the node's own."""
    left = list(ids)

    def said(method: str, answer: Any) -> Any:
        if method != "eth_chainId":
            return None
        return left.pop(0) if len(left) > 1 else left[0]

    return said


def test_a_lying_node_is_refused(node: Anvil, tmp_path: Path) -> None:
    for shown in ("0x539aa", "0x7a6a", "31337", "", "hello"):
        with lying(node, chain_ids(shown)) as endpoint, pytest.raises(RefusedNode, match=r"eth node: saw chain_id"):
            opened(endpoint, tmp_path)
    assert node.ask("eth_blockNumber") == "0x0"
    assert node.ask("anvil_nodeInfo")["transactionOrder"] == "fifo", "it is an anvil"


def test_a_node_that_changes_its_chain_is_sent_nothing(node: Anvil, tmp_path: Path) -> None:
    lies: list[str] = []
    with lying(node, lambda method, answer: lies[0] if lies and method == "eth_chainId" else None) as endpoint:
        chain = opened(endpoint, tmp_path)
        chain.pay(ALICE_ADDRESS, ETHER)
        chain.mine()
        lies.append("0x5")
        transfer = sign_transfer(ALICE, 0, own_address(BOB), 1, 2 * GWEI)
        for send in (lambda: chain.pay(BOB_ADDRESS, 1), lambda: chain.broadcast(transfer.raw)):
            with pytest.raises(RefusedNode, match="saw chain_id 5; allowed here: chain_id 31337"):
                send()
        assert node.ask("txpool_status") == {"pending": "0x0", "queued": "0x0"}
        lies.clear()
        assert chain.broadcast(transfer.raw) == transfer.txid
        chain.close()


def test_the_guard_looks_again_at_whoever_answers_after_a_break(node: Anvil, tmp_path: Path) -> None:
    lies: list[str] = []

    def said(method: str, answer: Any) -> Any:
        return lies[0] if lies and method == "eth_chainId" else None

    with lying(node, said) as endpoint:
        chain = opened(endpoint, tmp_path)
        chain.mine()
        node.kill()
        with pytest.raises(NodeAway):
            chain.tip()
        lies.append("0x5")
        node.start()
        with pytest.raises(RefusedNode):
            chain.tip()
        assert node.ask("eth_blockNumber") == "0x0", "it was told nothing"
        lies.clear()
        assert chain.tip()[0] == 1
        chain.close()


def test_no_node_and_no_such_node(tmp_path: Path) -> None:
    with pytest.raises(NodeAway, match="the anvil node is away"):
        opened(Endpoint("anvil", "http://127.0.0.1:1"), tmp_path)
    with pytest.raises(ChainError, match="no Ethereum node is called 'litecoind'; known: anvil"):
        opened(Endpoint("litecoind", "http://127.0.0.1:1"), tmp_path)
    with pytest.raises(ChainError, match="has no btc"):
        EthNode.open("btc", Endpoint("anvil", "http://127.0.0.1:1"), RING, VirtualClock(), tmp_path)


@pytest.mark.parametrize("answer", [None, [], {}, "0x", 7, {"latestBlockNumber": "x"}, [None], {"result": 1}])
@pytest.mark.parametrize("method", ["anvil_metadata", "eth_getBlockByNumber", "txpool_status", "eth_getFilterChanges"])
def test_answers_that_no_node_gives(node: Anvil, tmp_path: Path, method: str, answer: Any) -> None:
    """One clear error, and all is well again when the node is."""
    wrong = [False]
    told = {"nothing": None} if answer is None else answer
    with lying(node, lambda asked, _: told if wrong[0] and asked == method else None) as endpoint:
        chain = opened(endpoint, tmp_path)
        wrong[0] = True
        node.ask("evm_mine")
        with suppress(ChainError):
            chain.mempool()
        wrong[0] = False
        txid = chain.pay(BOB_ADDRESS, ETHER)
        assert list(chain.mempool()) == [txid]
        height = chain.mine()
        assert chain.place(txid) == Place(height, chain.tip()[1])
        chain.close()


# Others on the same node


def raw_of(secret: bytes, nonce: int, **fields: Any) -> str:
    ordinary = {"chainId": 31337, "gas": 21_000, "to": BOB_ADDRESS, "value": 5, "nonce": nonce}
    if "gasPrice" not in fields:
        ordinary |= {"maxFeePerGas": 3 * GWEI, "maxPriorityFeePerGas": GWEI}
    return "0x" + bytes(Account.sign_transaction({**ordinary, **fields}, secret).raw_transaction).hex()


def test_contracts_and_older_transactions_do_not_stop_us(node: Anvil, chain: EthNode) -> None:
    node.ask("anvil_setBalance", ALICE_ADDRESS, hex(100 * ETHER))
    raws = [
        raw_of(ALICE, 0, gasPrice=3 * GWEI),
        raw_of(ALICE, 1, gasPrice=3 * GWEI, accessList=[], type=1),
        raw_of(ALICE, 2),
        raw_of(ALICE, 3, to=b"", data="0x6001600055", gas=200_000, value=0),
        raw_of(ALICE, 4, data="0x1234", gas=50_000),
        raw_of(ALICE, 5, gas=100_000, accessList=[{"address": ALICE_ADDRESS, "storageKeys": []}]),
    ]
    txids = [node.ask("eth_sendRawTransaction", raw) for raw in raws]
    node.ask("anvil_impersonateAccount", "0x" + "ab" * 20)
    node.ask("anvil_setBalance", "0x" + "ab" * 20, hex(ETHER))
    txids.append(node.ask("eth_sendTransaction", {"from": "0x" + "ab" * 20, "to": BOB_ADDRESS, "value": "0x7"}))
    assert sorted(chain.mempool()) == sorted(txids)
    height = chain.mine()
    block = chain.block(chain.tip()[1])
    assert {tx.txid for tx in block.txs} == set(txids)
    txs = [chain.transaction(txid) for txid in txids]
    to_bob = (Output(own_address(BOB), 5),)
    assert [tx.outputs for tx in txs if tx] == [to_bob] * 3 + [(), (), to_bob, (Output(own_address(BOB), 7),)]
    assert [tx.inputs[0].vout for tx in txs if tx] == [0, 1, 2, 3, 4, 5, 0]
    senders = [tx.inputs[0].txid for tx in txs if tx]
    assert senders == [ALICE_ADDRESS.lower()] * 6 + ["0x" + "ab" * 20]
    assert all(chain.place(txid) == Place(height, block.hash) for txid in txids)


def test_what_others_send_mine_and_take_back_is_followed(node: Anvil, chain: EthNode) -> None:
    node.ask("anvil_setBalance", ALICE_ADDRESS, hex(100 * ETHER))
    first = node.ask("eth_sendRawTransaction", raw_of(ALICE, 0))
    late, lost = (node.ask("eth_sendRawTransaction", raw_of(ALICE, nonce)) for nonce in (3, 1))
    assert sorted(chain.mempool()) == sorted([first, late, lost]), "one of them waits for the nonce before"
    better = node.ask("eth_sendRawTransaction", raw_of(ALICE, 0, maxFeePerGas=9 * GWEI, maxPriorityFeePerGas=2 * GWEI))
    assert sorted(chain.mempool()) == sorted([better, late, lost])
    assert chain.place(first) is None
    node.ask("anvil_dropTransaction", lost)
    assert sorted(chain.mempool()) == sorted([better, late])
    assert chain.place(lost) is None
    node.ask("evm_mine")
    assert chain.tip()[0] == 1
    assert chain.place(better) == Place(*chain.tip())
    stale = chain.block(chain.tip()[1])
    node.ask("anvil_rollback", 1)
    assert chain.tip()[0] == 0
    assert list(chain.mempool()) == [better, late], "it was sent again"
    assert chain.block(stale.hash) == stale
    node.ask("evm_mine")
    node.ask("evm_mine")
    assert chain.tip()[0] == 2
    node.ask("anvil_reorg", 2, [])
    height, tip = chain.tip()
    assert tip == node.ask("eth_getBlockByNumber", hex(height), False)["hash"]
    assert list(chain.mempool()) == [better, late]
    chain.mine()
    assert chain.place(better) == Place(*chain.tip())


def test_a_node_that_mines_by_itself(tmp_path: Path) -> None:
    node = Anvil(tmp_path / "anvil")
    node.command.remove("--no-mining")
    try:
        node.start()
        with closing(opened(node.endpoint, tmp_path)) as chain:
            txid = chain.pay(BOB_ADDRESS, ETHER)
            while chain.mempool():  # it mines in its own time
                time.sleep(0.01)
            assert chain.place(txid) == Place(*chain.tip())
    finally:
        node.kill()


# Limits


def counted(chain: EthNode, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Requests, however many questions each carries."""
    rpc = chain._link._rpc
    asked: Counter[str] = Counter()
    call, batch = rpc.call, rpc.batch

    def counting_call(method: str, *params: Any) -> Any:
        asked[method] += 1
        return call(method, *params)

    def counting_batch(questions: Any) -> Any:
        asked["+".join(dict.fromkeys(question[0] for question in questions))] += 1
        return batch(questions)

    monkeypatch.setattr(rpc, "call", counting_call)
    monkeypatch.setattr(rpc, "batch", counting_batch)
    return asked


def test_requests_are_few_and_do_not_grow_with_the_block(
    node: Anvil, chain: EthNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.mine()
    asked = counted(chain, monkeypatch)
    chain.tip()
    assert asked.total() == 1
    asked.clear()
    chain.mempool()
    assert asked.total() <= 2, "the first one begins a filter"
    asked.clear()
    for _ in range(10):
        chain.mempool()
        chain.block_hash(1)
        chain.block(chain.block_hash(1) or "")
    assert asked.total() == 10
    for outputs in (1, 400):
        asked.clear()
        chain.pay_many([Output(own_address(BOB), 1)] * outputs)
        assert asked.total() <= 4, asked
        asked.clear()
        chain.mine()
        assert asked.total() <= 5, asked
        assert len(chain.block(chain.tip()[1]).txs) == outputs
    node.ask("anvil_setBalance", ALICE_ADDRESS, hex(100 * ETHER))
    for nonce in range(400):  # a stranger's, mined before we looked
        node.ask("eth_sendRawTransaction", raw_of(ALICE, nonce))
    node.ask("evm_mine")
    asked.clear()
    chain.tip()
    assert asked.total() <= 3, asked
    assert len(chain.block(chain.tip()[1]).txs) == 400


def test_refusals_have_the_reasons_of_the_chain_in_this_process(node: Anvil, chain: EthNode) -> None:
    chain.pay(ALICE_ADDRESS, ETHER)
    chain.mine()

    def refusal(raw: str) -> str:
        with pytest.raises(TransactionRefused) as refused:
            chain.broadcast(bytes.fromhex(raw[2:]))
        return refused.value.reason

    assert refusal(raw_of(ALICE, 0, value=ETHER)) == "funds"
    assert refusal(raw_of(BOB, 0)) == "funds"
    assert refusal(raw_of(ALICE, 0, maxFeePerGas=1, maxPriorityFeePerGas=1)) == "fee-too-low"
    assert refusal(raw_of(ALICE, 0, maxPriorityFeePerGas=4 * GWEI)) == "malformed"
    assert refusal(raw_of(ALICE, 0, chainId=5)) == "other"
    assert refusal(raw_of(ALICE, 0, gas=20_000)) == "other"
    assert refusal(raw_of(ALICE, 0, gas=200_000_000)) == "other"
    chain.broadcast(bytes.fromhex(raw_of(ALICE, 0)[2:]))
    assert refusal(raw_of(ALICE, 0, value=6)) == "conflict"
    chain.mine()
    assert refusal(raw_of(ALICE, 0, value=6)) == "nonce"
    with pytest.raises(NoFunds):
        chain.pay(BOB_ADDRESS, 10**12 * ETHER)


# The log


def test_the_log_is_what_the_audit_reads(node: Anvil, chain: EthNode, tmp_path: Path) -> None:
    live(chain)
    stale = chain.block(chain.tip()[1])
    chain.reorg(1)
    path = tmp_path / "chains" / "eth.blocks"
    with closing(LoggedBlocks(path, "eth")) as log:
        assert log.tip() == chain.tip()
        assert [log.block(name) for name in up_to(log, *log.tip())] == blocks(chain)
        assert log.block(stale.hash) == stale
    reader = BlockLog.read_only(path, "eth")
    for logged in reader.chain():
        assert is_node_block(logged.raw)
        for at in range(0, len(logged.raw), max(len(logged.raw) // 20, 1)):
            changed = bytearray(logged.raw)
            changed[at] ^= 0x04
            try:
                made = read_block(bytes(changed))
            except BlockRefused:
                continue
            assert made.block.hash != logged.hash, "a changed block has another hash"
    reader.close()


def test_where_the_faucets_money_comes_from_is_written_down(chain: EthNode, node: Anvil) -> None:
    ((height, address, balance),) = chain._funded()
    assert (height, parse_address(address)) == (0, own_address(RING.secret("eth", "faucet", "float", 0)))
    assert int(node.ask("eth_getBalance", address, "latest"), 16) == balance
