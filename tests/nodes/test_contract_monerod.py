"""The contract of every chain, on monerod with monero-wallet-rpc; then what only a real node can do to us."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from glasstumbler.audit_blocks import LoggedBlocks
from glasstumbler.chains.base import LabChain, Output
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.monero_keys import (
    decode_address,
    integrated_address,
    keys_of,
    subaddress,
    subaddress_key,
)
from glasstumbler.chains.monero_scan import Viewer
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.monero import XMR, MoneroNode
from glasstumbler.nodes.monero_wallet import wire_address
from glasstumbler.nodes.rpc import Rpc
from glasstumbler.nodes.running import Nodes
from tests.chains import test_contract_xmr
from tests.chains.contract import ChainContract

RING = KeyRing(b"monerod of the contract")
SERVICE = RING.secret("xmr", "service", "deposit", 0)
KEYS = keys_of(SERVICE)
VIEWERS = (Viewer(KEYS.view, KEYS.public_spend),)


@pytest.fixture(scope="module")
def endpoint(own_nodes: Nodes) -> Endpoint:
    monerod, wallet = own_nodes.start("monerod"), own_nodes.start("monero-wallet-rpc")
    return monerod._replace(extra={"wallet": wallet.url})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laboratory")


@pytest.fixture
def chain(endpoint: Endpoint, folder: Path) -> Iterator[MoneroNode]:
    chain = MoneroNode(endpoint, RING, folder, VIEWERS)
    chain.mine()
    yield chain
    chain.close()


class TestMonerod(ChainContract):
    coin = "xmr"
    amount = XMR
    spends = False
    persists = True
    main_network_addresses = test_contract_xmr.TestXmr.main_network_addresses

    @pytest.fixture(autouse=True)
    def places(self, endpoint: Endpoint, folder: Path) -> None:
        self.endpoint, self.folder = endpoint, folder

    def reopen(self, chain: LabChain) -> LabChain:
        chain.close()
        return MoneroNode(self.endpoint, RING, self.folder, VIEWERS)


def test_what_it_shows_of_itself(chain: MoneroNode) -> None:
    assert chain.node.startswith("monerod 0.")
    assert not chain.model


def test_every_payment_is_found_that_a_wallet_finds(chain: MoneroNode, endpoint: Endpoint) -> None:
    """105 outputs to 60 subaddresses and the first address, and to integrated addresses of both kinds."""
    wanted = [Output(subaddress_key(SERVICE, number % 61), XMR // 100 + number) for number in range(105)]
    chain.pay_many(wanted)
    chain.pay(integrated_address(SERVICE, b"8 bytes."), XMR // 50)
    chain.pay(integrated_address(SERVICE, b"8 bytes!", 7), XMR // 50 + 1)
    chain.pay(subaddress(SERVICE, 150), XMR // 50 + 2)
    seen = {txid: tx for txid in chain.mempool() if (tx := chain.transaction(txid)) is not None}
    height = chain.mine()
    assert len(seen) == 10
    block = chain.block(chain.tip()[1])
    assert {tx.txid: tx for tx in block.txs[1:]} == seen, "the same in the mempool and in its block"
    chain.close()

    number_of = {subaddress_key(SERVICE, number): number for number in range(200)}
    found = Counter[tuple[str, int]]()
    for tx in block.txs:
        for key, amount in tx.outputs:
            if key in number_of:
                found[tx.txid, number_of[key]] += amount
    assert sum(found.values()) == sum(amount for _, amount in wanted) + 3 * (XMR // 50) + 3
    assert found == _as_a_wallet_sees(endpoint, height)


def _as_a_wallet_sees(endpoint: Endpoint, height: int) -> Counter[tuple[str, int]]:
    """What monero-wallet-rpc finds in this block with the service's view key, by transaction and subaddress."""
    with closing(Rpc(Endpoint("oracle", endpoint.extra["wallet"]), lambda ask: None, 300)) as oracle:
        primary = wire_address(decode_address(subaddress(SERVICE, 0)))
        view = KEYS.view.hex()
        oracle.call("generate_from_keys", filename="oracle", address=primary, viewkey=view, password="")
        oracle.call("refresh")
        rows = oracle.call("get_transfers", **{"in": True}, filter_by_height=True, min_height=height - 1)["in"]
        oracle.call("close_wallet")
    found = Counter[tuple[str, int]]()
    for row in rows:
        found[row["txid"], row["subaddr_index"]["minor"]] += row["amount"]
    return found


def test_a_subaddress_far_ahead_is_found(chain: MoneroNode) -> None:
    txid = chain.pay(subaddress(SERVICE, 5000), XMR)
    tx = chain.transaction(txid)
    assert tx is not None and Output(subaddress_key(SERVICE, 5000), XMR) in tx.outputs


def test_others_outputs_are_keys_without_amounts(chain: MoneroNode) -> None:
    stranger = bytes(range(32))
    tx = chain.transaction(chain.pay(subaddress(stranger, 1), XMR))
    assert tx is not None
    assert [(len(key), amount) for key, amount in tx.outputs] == [(32, 0)] * 2


def test_the_log_is_read_without_the_node_and_without_keys(chain: MoneroNode, folder: Path) -> None:
    chain.pay(subaddress(SERVICE, 3), XMR)
    height = chain.mine()
    chain.reorg(1)
    with closing(LoggedBlocks(folder / "xmr.blocks", "xmr")) as logged:
        assert logged.tip() == chain.tip()
        for at in range(height - 5, height + 2):
            name = chain.block_hash(at)
            assert name is not None and logged.block_hash(at) == name
            assert logged.block(name) == chain.block(name)


def test_a_turn_asks_little(chain: MoneroNode, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    call, post = Rpc.call, Rpc.post

    def counted_call(self: Rpc, method: str, *params: Any, **named: Any) -> Any:
        asked.append(method)
        return call(self, method, *params, **named)

    def counted_post(self: Rpc, path: str, **fields: Any) -> Any:
        asked.append(path)
        return post(self, path, **fields)

    chain.pay_many([Output(subaddress_key(SERVICE, number), XMR // 100) for number in range(45)])
    monkeypatch.setattr(Rpc, "call", counted_call)
    monkeypatch.setattr(Rpc, "post", counted_post)
    tip, _ = chain.tip(), chain.mempool()
    assert asked == ["get_info", "/get_transaction_pool_hashes"]
    chain.block(tip[1]), chain.block_hash(tip[0]), chain.place("00"), chain.transaction("00")
    assert len(asked) == 2, "answered from what was seen"
    asked.clear()
    chain.mine()
    assert asked.count("get_block") == 1
    assert "/get_transactions" not in asked, "seen in the mempool before"
    assert len(asked) <= 6
