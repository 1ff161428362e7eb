"""The Ethereum chain in this process against an anvil: the same transactions, good and bad, to both.

    python -m tests.nodes.differ_eth --count 10000 --seed 0

Both must say the same of each, mine the same blocks for the same gas at the same base fee, and show the same balances
and nonces after each. Each of anvil's blocks is also executed by our state alone. What differs for a reason stands in
`LISTED`, and in docs/nodes.md.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

from eth_keys.datatypes import PrivateKey

from glasstumbler.chains.eth import GAS_LIMIT, MOST_AHEAD, EthChain
from glasstumbler.chains.eth_format import (
    CHAIN_ID,
    ETHER,
    GWEI,
    TRANSFER_GAS,
    Item,
    checksum_address,
    own_address,
    read_transfer,
    rlp_decode,
    rlp_encode,
    rlp_int,
)
from glasstumbler.chains.eth_state import Account, BlockFrame, EthState, Execution
from glasstumbler.chains.keccak import keccak256
from glasstumbler.chains.keys import KeyRing
from glasstumbler.clock import VirtualClock
from glasstumbler.errors import TransactionRefused
from glasstumbler.nodes.eth_link import EthLink
from tests.nodes.anvil import Anvil

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
COINBASE = keccak256(b"Glass Tumbler coinbase")[12:]
_ACCOUNTS = 12
_MOST_WAITING = 40


class Draft(NamedTuple):
    """A transaction before it is signed, and how its signature or its bytes are spoilt."""

    nonce: int
    priority_fee: int
    max_fee: int
    gas: int = TRANSFER_GAS
    to: bytes = b"\x77" * 20
    value: int = 1
    chain_id: int = CHAIN_ID
    data: bytes = b""
    access: tuple[Item, ...] = ()
    spoil: str = ""


def signed(secret: bytes, draft: Draft) -> bytes:
    """The raw transaction, by another library's signature."""
    numbers = (draft.chain_id, draft.nonce, draft.priority_fee, draft.max_fee, draft.gas)
    fields: list[Item] = [*map(rlp_int, numbers), draft.to, rlp_int(draft.value), draft.data, list(draft.access)]
    made = PrivateKey(secret).sign_msg_hash(keccak256(b"\x02" + rlp_encode(fields)))
    parity, r, s = made.v, made.r, made.s
    if draft.spoil == "high s":
        parity, s = 1 - parity, ORDER - s
    parity, r, s = {
        "parity": (parity + 2, r, s),
        "no r": (parity, 0, s),
        "no s": (parity, r, 0),
        "r too large": (parity, ORDER, s),
        "another r": (parity, r ^ 1, s),
    }.get(draft.spoil, (parity, r, s))
    signature: list[Item] = [rlp_int(parity), rlp_int(r), rlp_int(s)]
    if draft.spoil == "leading zero":
        signature[1] = b"\0" + rlp_int(r)
    raw = b"\x02" + rlp_encode([*fields, *signature])
    return {
        "cut": raw[:-1],
        "longer": raw + b"\0",
        "another type": b"\x05" + raw[1:],
        "empty": b"",
        "one field less": b"\x02" + rlp_encode([*fields[:-1], *signature]),
        "one field more": b"\x02" + rlp_encode([*fields, *signature, b""]),
    }.get(draft.spoil, raw)


SPOILT = (
    *("high s", "parity", "no r", "no s", "r too large", "another r", "leading zero"),
    *("cut", "longer", "another type", "empty", "one field less", "one field more"),
)


class Listed(NamedTuple):
    """A difference that stays. `applies` tells from our chain and the bytes that it is this one."""

    ours: str
    theirs: str
    applies: Callable[[EthChain, bytes], bool]
    why: str


def _balance_alone(ours: EthChain, raw: bytes) -> bool:
    transfer = read_transfer(raw)
    return transfer.cost <= ours.account(checksum_address(transfer.sender)).balance


def _pays_more(ours: EthChain, raw: bytes) -> bool:
    transfer = read_transfer(raw)
    waiting = (ours.transaction(txid) for txid in ours.mempool())
    rivals = [read_transfer(tx.raw) for tx in waiting if tx is not None and tx.inputs == transfer.tx().inputs]
    return transfer.max_fee > rivals[0].max_fee


def _far_ahead(ours: EthChain, raw: bytes) -> bool:
    transfer = read_transfer(raw)
    return transfer.nonce > ours.account(checksum_address(transfer.sender)).nonce + MOST_AHEAD


def _no_plain_transfer(ours: EthChain, raw: bytes) -> bool:
    try:
        return int.from_bytes(read_transfer(raw).to, "big") <= 0xFFFF
    except TransactionRefused as refused:
        return refused.reason == "other"


def _mined(ours: EthChain, raw: bytes) -> bool:
    place = ours.place(read_transfer(raw).txid)
    return place is not None and place.height is not None


def _high_s(ours: EthChain, raw: bytes) -> bool:
    fields = rlp_decode(raw[1:])
    return isinstance(fields[-1], bytes) and int.from_bytes(fields[-1], "big") > ORDER // 2


def _left_over(ours: EthChain, raw: bytes) -> bool:
    try:
        return bool(rlp_decode(raw[1:-1])) and raw[-1:] == b"\0"
    except ValueError:
        return False


def _wide(ours: EthChain, raw: bytes) -> bool:
    transfer = read_transfer(raw)
    return transfer.max_fee >= 2**128 or transfer.chain_id >= 2**64


def _any(ours: EthChain, raw: bytes) -> bool:
    return True


LISTED = (
    Listed("funds", "taken", _balance_alone, "anvil does not count what waits against an account"),
    Listed("conflict", "taken", _pays_more, "anvil replaces for any higher fee, not for 10 % more of both"),
    Listed("chain-limit", "taken", _far_ahead, "anvil lets any nonce wait"),
    Listed("other", "taken", _no_plain_transfer, "only plain transfers are dealt with here"),
    Listed("taken", "nonce", _mined, "sending what is mined is harmless here"),
    Listed("bad-signature", "taken", _high_s, "anvil takes signatures above half the order (EIP-2 forbids them)"),
    Listed("malformed", "taken", _left_over, "anvil overlooks bytes after the transaction"),
    Listed("funds", "malformed", _wide, "anvil reads fees of 128 bits"),
    Listed("other", "malformed", _wide, "anvil reads chain ids of 64 bits"),
    Listed("bad-signature", "malformed", _any, "anvil reads the parity as yes or no"),
    Listed("chain-limit", "funds", _far_ahead, "two faults: which is told"),
    Listed("conflict", "funds", _any, "two faults: which is told"),
    Listed("other", "funds", _no_plain_transfer, "two faults: which is told"),
)


class Difference(AssertionError):
    pass


class Pair:
    """Both chains, in step."""

    def __init__(self, ours: EthChain, node: Anvil, clock: VirtualClock, chance: random.Random) -> None:
        self.ours, self.node, self.clock, self.chance = ours, node, clock, chance
        self.link = EthLink(node.endpoint)
        self.secrets = [chance.randbytes(32) for _ in range(_ACCOUNTS)]
        self.seen: Counter[tuple[str, str, str]] = Counter()
        self.past: list[bytes] = []
        self.accounts = {own_address(secret) for secret in self.secrets} | {b"\x77" * 20, COINBASE}
        self._begin()

    def _begin(self) -> None:
        """The same money, base fee and height on both."""
        node, ours = self.node, self.ours
        node.ask("anvil_setCoinbase", "0x" + COINBASE.hex())
        for secret in self.secrets:
            ours.pay(checksum_address(own_address(secret)), self.chance.randrange(1, 20) * ETHER)
        ours.mine()
        self.state = EthState({})
        for key in self.accounts:
            balance = ours.account(checksum_address(key)).balance
            node.ask("anvil_setBalance", "0x" + key.hex(), hex(balance))
            self.state.replace({key: Account(balance, 0)})
        node.ask("evm_mine", {"timestamp": ours.block(ours.tip()[1]).time})
        self.link.set_base_fee(ours.base_fee())

    def send(self, kind: str, raw: bytes) -> None:
        """Difference unless both say the same, or the difference is listed."""
        doubled = self._replaces_early(raw)
        said = [self._ours(raw), self._theirs(raw)]
        difference = (kind, said[0], said[1])
        self.seen[difference] += 1
        if said[0] != said[1]:
            rows = [row for row in LISTED if (row.ours, row.theirs) == difference[1:]]
            if not any(row.applies(self.ours, raw) for row in rows):
                raise Difference(f"{kind}: we say {said[0]!r}, anvil says {said[1]!r} of {raw.hex()}")
            if "taken" in said:
                self._agree()
        elif said[0] == "taken":
            self.past.append(raw)
            if doubled:
                self._agree()

    def _replaces_early(self, raw: bytes) -> bool:
        """Whether it takes the place of one that waits for an earlier nonce: anvil keeps both."""
        try:
            transfer = read_transfer(raw)
        except TransactionRefused:
            return False
        waiting = (self.ours.transaction(txid) for txid in self.ours.mempool())
        sender, nonce = transfer.tx().inputs[0]
        nonces = {tx.inputs[0].vout for tx in waiting if tx is not None and tx.inputs[0].txid == sender}
        due = range(self.ours.account(checksum_address(transfer.sender)).nonce, nonce)
        return nonce in nonces and not nonces.issuperset(due)

    def _ours(self, raw: bytes) -> str:
        try:
            self.ours.broadcast(raw)
        except TransactionRefused as refused:
            return refused.reason
        return "taken"

    def _theirs(self, raw: bytes) -> str:
        (refused,) = self.link.send([raw])
        return "taken" if refused is None else refused.reason

    def _agree(self) -> None:
        """Both have what waits in ours."""
        self.link.drop_all()
        for txid in self.ours.mempool():
            tx = self.ours.transaction(txid)
            assert tx is not None
            if self._theirs(tx.raw) != "taken":
                raise Difference(f"anvil does not take what waits here: {tx.raw.hex()}")

    def mine(self) -> None:
        """A block on both. Difference unless they hold the same."""
        self.clock.advance(self.chance.randrange(1, 30))
        base_fee = self.ours.base_fee()
        self.ours.mine()
        block = self.ours.block(self.ours.tip()[1])
        self.link.mine(block.time)
        theirs = self.node.ask("eth_getBlockByNumber", "latest", False)
        self._same("height", block.height, int(theirs["number"], 16))
        self._same("time", block.time, int(theirs["timestamp"], 16))
        self._same("base fee", base_fee, int(theirs["baseFeePerGas"], 16))
        self._same("gas used", TRANSFER_GAS * len(block.txs), int(theirs["gasUsed"], 16))
        self._same("transactions", [tx.txid for tx in block.txs], theirs["transactions"])
        self._execute(BlockFrame(block.height, block.time, base_fee, GAS_LIMIT, COINBASE), theirs["transactions"])
        self._compare_waiting()
        for key in sorted(self.accounts):
            shown = Account(*self.link.account("0x" + key.hex()))
            self._same(f"account {key.hex()}", self.ours.account(checksum_address(key)), shown)
            self._same(f"account {key.hex()} by our state alone", self.state.account(key), shown)

    def _compare_waiting(self) -> None:
        """anvil drops what stands behind a transaction of its account that found no room in the block."""
        theirs, ours = set(self.link.waiting()), set(self.ours.mempool())
        transfers = [read_transfer(tx.raw) for txid in ours if (tx := self.ours.transaction(txid)) is not None]
        wide = {transfer.sender for transfer in transfers if transfer.gas > GAS_LIMIT // 2}
        behind = {transfer.txid for transfer in transfers if transfer.sender in wide}
        self._same("what waits", sorted(ours - behind), sorted(theirs - behind))
        if ours != theirs:
            self.seen["behind a wide one", "waits", "dropped"] += len(ours - theirs)
            self._agree()

    def _execute(self, frame: BlockFrame, txids: list[str]) -> None:
        """anvil's block by our state, without our mempool and miner."""
        execution = Execution(self.state, frame)
        for raw in self.link.raws(txids):
            assert isinstance(raw, bytes)
            execution.run(read_transfer(raw))
        self.state.replace(execution.changes())

    def _same(self, what: str, ours: object, theirs: object) -> None:
        if ours != theirs:
            raise Difference(f"block {self.ours.tip()[0]}: {what} is {ours} here and {theirs} there")


class Drawer:
    """Draws transactions that lie around the edge of what is allowed."""

    def __init__(self, pair: Pair) -> None:
        self._pair, self._chance = pair, pair.chance
        self._kinds: Mapping[str, tuple[int, Callable[[bytes, Draft], tuple[bytes, Draft]]]] = {
            "plain": (30, lambda secret, draft: (secret, draft)),
            "nonce": (8, self._nonce),
            "gap": (6, self._gap),
            "far": (1, self._far),
            "replacement": (14, self._replacement),
            "fee": (8, self._fee),
            "tip above fee": (4, self._tip),
            "gas": (6, self._gas),
            "funds": (8, self._funds),
            "all it has": (3, self._all),
            "funds with what waits": (3, self._with_waiting),
            "no money": (3, self._poor),
            "chain": (4, self._chain),
            "spoilt": (12, self._spoilt),
            "large": (5, self._large),
            "recipient": (4, self._recipient),
            "no transfer": (3, self._no_transfer),
        }

    def draw(self) -> tuple[str, bytes]:
        if self._pair.past and self._chance.random() < 0.04:
            return "again", self._chance.choice(self._pair.past[-60:])
        names = list(self._kinds)
        kind = self._chance.choices(names, [self._kinds[name][0] for name in names])[0]
        secret = self._chance.choice(self._pair.secrets)
        secret, draft = self._kinds[kind][1](secret, self._plain(secret))
        return kind, signed(secret, draft)

    # What is known of an account.

    def _account(self, secret: bytes) -> Account:
        return self._pair.ours.account(checksum_address(own_address(secret)))

    def _queue(self, secret: bytes) -> dict[int, tuple[int, int, int]]:
        """Nonce -> maximal fee, priority fee, cost of what waits."""
        waiting = (self._pair.ours.transaction(txid) for txid in self._pair.ours.mempool())
        transfers = [read_transfer(tx.raw) for tx in waiting if tx is not None]
        own = own_address(secret)
        return {t.nonce: (t.max_fee, t.priority_fee, t.cost) for t in transfers if t.sender == own}

    def _plain(self, secret: bytes) -> Draft:
        nonce, queue = self._account(secret).nonce, self._queue(secret)
        while nonce in queue:
            nonce += 1
        fee = self._chance.randrange(self._pair.ours.base_fee(), 4 * GWEI)
        to = own_address(self._chance.choice(self._pair.secrets)) if self._chance.random() < 0.5 else b"\x77" * 20
        return Draft(nonce, self._chance.randrange(fee + 1), fee, to=to, value=self._chance.randrange(ETHER // 500))

    # The kinds.

    def _nonce(self, secret: bytes, draft: Draft) -> tuple[bytes, Draft]:
        return secret, draft._replace(nonce=max(0, self._account(secret).nonce - self._chance.randrange(4)))

    def _gap(self, secret: bytes, draft: Draft) -> tuple[bytes, Draft]:
        return secret, draft._replace(nonce=draft.nonce + self._chance.randrange(1, 4))

    def _far(self, secret: bytes, draft: Draft) -> tuple[bytes, Draft]:
        return secret, draft._replace(nonce=draft.nonce + self._chance.choice([20_000, 2**40]))

    def _replacement(self, secret: bytes, draft: Draft) -> tuple[bytes, Draft]:
        queue = self._queue(secret)
        if not queue:
            return secret, draft
        nonce = self._chance.choice(sorted(queue))
        fee, tip, _ = queue[nonce]
        fee, tip = (each * self._chance.choice([90, 100, 105, 109, 110, 111, 150]) // 100 for each in (fee, tip))
        return secret, draft._replace(nonce=nonce, max_fee=fee, priority_fee=min(tip, fee))

    def _fee(self, secret: bytes, draft: Draft) -> tuple[bytes, Draft]:
        base_fee = self._pair.ours.base_fee()
        fee = self._chance.choice([0, 1, base_fee - 1, base_fee, base_fee + 1])
        return secret, draft._replace(max_fee=fee, priority_fee=self._chance.choice([0, fee]))

    def _tip(self, secret: bytes, draft: Draft) -> tuple[bytes, Draft]:
        return secret, draft._replace(priority_fee=draft.max_fee + self._chance.choice([1, GWEI]))

    def _gas(self, secret: bytes, draft: Draft) -> tuple[bytes, Draft]:
        wanted = [0, 20_999, 21_001, 50_000, GAS_LIMIT, GAS_LIMIT + 1, 2**40]
        return secret, draft._replace(gas=self._chance.choice(wanted), value=0)

    def _funds(self, secret: bytes, draft: Draft) -> tuple[bytes, Draft]:
        """One wei more than it has, or far more."""
        cost = draft.gas * draft.max_fee
        value = self._account(secret).balance - cost + self._chance.choice([1, GWEI, ETHER, 10**6 * ETHER])
        return secret, draft._replace(value=max(value, 0))

    def _all(self, secret: bytes, draft: Draft) -> tuple[bytes, Draft]:
        if self._queue(secret):
            return secret, draft
        value = self._account(secret).balance - draft.gas * draft.max_fee
        # Back to itself: otherwise all would be poor soon.
        return secret, draft._replace(value=max(value, 0), to=own_address(secret))

    def _with_waiting(self, secret: bytes, draft: Draft) -> tuple[bytes, Draft]:
        """More than it has left beside what waits, but not more than it has."""
        spent = sum(cost for _, _, cost in self._queue(secret).values())
        balance, cost = self._account(secret).balance, draft.gas * draft.max_fee
        value = max(balance - cost - self._chance.randrange(spent + 1), 0)
        return secret, draft._replace(value=value, to=own_address(secret))

    def _poor(self, secret: bytes, draft: Draft) -> tuple[bytes, Draft]:
        return self._chance.randbytes(32), draft._replace(nonce=0)

    def _chain(self, secret: bytes, draft: Draft) -> tuple[bytes, Draft]:
        return secret, draft._replace(chain_id=self._chance.choice([0, 5, 1337, 31336, 31338, 2**40]))

    def _spoilt(self, secret: bytes, draft: Draft) -> tuple[bytes, Draft]:
        return secret, draft._replace(spoil=self._chance.choice(SPOILT))

    def _large(self, secret: bytes, draft: Draft) -> tuple[bytes, Draft]:
        """Numbers at the ends of their types."""
        return secret, self._chance.choice(
            [
                draft._replace(value=2**256 - 1),
                draft._replace(value=2**256),
                draft._replace(max_fee=2**128 - 1, priority_fee=1),
                draft._replace(max_fee=2**128, priority_fee=1),
                draft._replace(nonce=2**64 - 1),
                draft._replace(nonce=2**64),
                draft._replace(gas=2**64 - 1, value=0),
                draft._replace(gas=2**64, value=0),
                draft._replace(chain_id=2**64),
            ]
        )

    def _recipient(self, secret: bytes, draft: Draft) -> tuple[bytes, Draft]:
        wanted = [b"", bytes(20), (1).to_bytes(20, "big"), (0xFFFF).to_bytes(20, "big"), b"\x77" * 19, b"\x77" * 21]
        return secret, draft._replace(to=self._chance.choice([*wanted, own_address(secret), COINBASE]))

    def _no_transfer(self, secret: bytes, draft: Draft) -> tuple[bytes, Draft]:
        listed: tuple[Item, ...] = ([b"\x77" * 20, []],)
        draft = draft._replace(gas=100_000)
        return secret, self._chance.choice([draft._replace(data=b"\x01"), draft._replace(access=listed)])


def compare(count: int, seed: int) -> Counter[tuple[str, str, str]]:
    """What was sent and said, by kind. Difference at the first that is not listed."""
    chance, clock = random.Random(seed), VirtualClock()
    with ExitStack() as stack:
        node = Anvil(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        stack.callback(node.kill)
        node.start()
        ours = stack.enter_context(closing(EthChain(KeyRing(b"differ from a node"), clock)))
        pair = Pair(ours, node, clock, chance)
        drawer = Drawer(pair)
        for _ in range(count):
            pair.send(*drawer.draw())
            if chance.random() < 0.06 or len(ours.mempool()) > _MOST_WAITING:
                pair.mine()
        pair.mine()
        return pair.seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    try:
        seen = compare(chosen.count, chosen.seed)
    except Difference as difference:
        print(f"seed {chosen.seed}: {difference}")
        return 1
    for (kind, ours, theirs), number in sorted(seen.items()):
        print(f"{number:6} {kind:22} {ours:14} {theirs if theirs != ours else ''}")
    print(f"{seen.total()} transactions; {sum(seen[each] for each in seen if each[1] != each[2])} listed differences")
    return 0


if __name__ == "__main__":
    sys.exit(main())
