"""A private Ethereum chain in this process: our mempool and miner, executed by a real EVM.

Blocks have the header of the London rules, RLP-coded, and Keccak hashes; base fees follow EIP-1559. Two roots are
shorter than Ethereum's: `transactions root` is the hash of the RLP list of transactions, and `state root` the hash
of the last one with every account that the block changed. Both commit to the same things, without a Merkle trie.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from glasstumbler.chains.base import Block, Output
from glasstumbler.chains.eth_format import (
    CHAIN_ID,
    ETHER,
    GWEI,
    TRANSFER_GAS,
    EthFormat,
    Item,
    Transfer,
    next_base_fee,
    own_address,
    parse_address,
    read_transfer,
    rlp_decode,
    rlp_encode,
    rlp_int,
    sign_transfer,
)
from glasstumbler.chains.eth_state import Account, BlockFrame, EthState, Execution, undone
from glasstumbler.chains.guard import check_node
from glasstumbler.chains.keccak import keccak256
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.logged_chain import LoggedChain, Site
from glasstumbler.chains.snapshot import Held, State
from glasstumbler.clock import GENESIS_TIME, Clock
from glasstumbler.errors import BlockRefused, NoFunds, TransactionRefused

GAS_LIMIT: Final = 120_000_000
"""Of a block: 5,714 transfers."""
FIRST_BASE_FEE: Final = GWEI
MOST_AHEAD: Final = 10_000
"""Nonces beyond the account's own that a waiting transaction may have."""

_BUMP_PERCENT = 110
"""What a replacement must offer, in both fees."""
_RESERVED = 0xFFFF
"""Addresses up to here are the EVM's precompiled contracts and their neighbours, no accounts."""
_FAUCETS = 64
"""Accounts: a payment that a reorganisation forgets holds up only its own account's later ones."""
_FAUCET_BALANCE = 1_000_000 * ETHER
_COINBASE = keccak256(b"Glass Tumbler coinbase")[12:]
_NO_UNCLES = keccak256(rlp_encode([]))
_NO_RECEIPTS = keccak256(b"Glass Tumbler keeps no receipts")


class Header(NamedTuple):
    """The fields that are not the same in every block."""

    previous: bytes
    state_root: bytes
    transactions_root: bytes
    height: int
    gas_used: int
    time: int
    number: int
    base_fee: int

    def rlp(self) -> list[Item]:
        return [
            self.previous, _NO_UNCLES, _COINBASE, self.state_root, self.transactions_root, _NO_RECEIPTS, bytes(256),
            b"", rlp_int(self.height), rlp_int(GAS_LIMIT), rlp_int(self.gas_used), rlp_int(self.time),
            rlp_int(self.number), bytes(32), bytes(8), rlp_int(self.base_fee),
        ]  # fmt: skip

    def hash(self) -> str:
        return "0x" + keccak256(rlp_encode(self.rlp())).hex()

    def next_base_fee(self) -> int:
        """Wei per gas of the following block (EIP-1559)."""
        return next_base_fee(self.base_fee, self.gas_used, GAS_LIMIT)


class EthChain(LoggedChain[Transfer]):
    """LabChain of chains/base.py. `ring` is the laboratory's: the faucet's and the fresh addresses come from them."""

    coin = "eth"

    def __init__(self, ring: KeyRing, clock: Clock, folder: Path | None = None) -> None:
        check_node("eth", chain_id=CHAIN_ID)
        super().__init__(ring, clock, folder)
        self.format = EthFormat()
        self._faucets = [ring.secret("eth", "faucet", "float", index) for index in range(_FAUCETS)]
        self._turn = 0
        self._clear()
        self._queues: dict[bytes, dict[int, Transfer]] = {}
        self._spending: dict[bytes, int] = {}
        self._incoming: dict[bytes, int] = {}
        self._header = _genesis(self._state)
        """Of the tip."""
        self._parsed: tuple[bytes, Header, list[Transfer]] = _block_bytes(self._header, []), self._header, []
        self._open(self._parsed[0])

    def account(self, address: str) -> Account:
        """Balance and nonce after the tip."""
        with self._lock:
            return self._state.account(parse_address(address))

    def base_fee(self) -> int:
        """Wei per gas of the next block."""
        with self._lock:
            return self._header.next_base_fee()

    # Faucet and the lab's own wallet.

    def pay(self, address: str, amount: int) -> str:
        return self.pay_many([Output(self.format.key(address), amount)])

    def pay_many(self, outputs: Sequence[Output]) -> str:
        with self._lock:
            return [self._pay(output) for output in outputs][-1]

    def fresh_address(self, kind: str | None = None) -> str:
        with self._lock:
            secret = self._ring.secret("eth", "lab", "lab", self._log.next_number("fresh"))
            return self.format.address(self.format.own_key(kind or "account", secret))

    def _pay(self, output: Output) -> str:
        max_fee = max(2 * GWEI, 2 * self.base_fee())
        need = output.amount + TRANSFER_GAS * max_fee
        for _ in self._faucets:
            secret = self._faucets[self._turn % _FAUCETS]
            self._turn += 1
            key = own_address(secret)
            queue = self._queues.get(key, {})
            account = self._state.account(key)
            if account.balance - self._spending.get(key, 0) >= need:
                nonce = _first_free(account.nonce, queue)
                return self.broadcast(sign_transfer(secret, nonce, output.key, output.amount, max_fee).raw)
        raise NoFunds(f"no faucet account has {need} wei")

    def reorg(self, depth: int, forget: Collection[str] = ()) -> int:
        with self._lock:
            height = super().reorg(depth, forget)
            self._fill_gaps()
            return height

    def _fill_gaps(self) -> None:
        """What a reorganisation forgot must not hold up the faucet's later payments: nothing, paid to itself, takes
        the place of a missing nonce."""
        for secret in self._faucets:
            key = own_address(secret)
            queue = self._queues.get(key, {})
            while queue and (nonce := _first_free(self._state.account(key).nonce, queue)) < max(queue):
                self.broadcast(sign_transfer(secret, nonce, key, 0, max(2 * GWEI, 2 * self.base_fee())).raw)

    # Rules of the mempool.

    def _read(self, raw: bytes) -> Transfer:
        return read_transfer(raw)

    def _check(self, parsed: Transfer, returning: bool) -> Collection[str]:
        _check_form(parsed)
        if parsed.max_fee < self.base_fee() and not returning:
            raise TransactionRefused("fee-too-low", f"{parsed.max_fee} wei per gas; the base fee is {self.base_fee()}")
        account = self._state.account(parsed.sender)
        if parsed.nonce < account.nonce:
            raise TransactionRefused("nonce", f"{parsed.nonce} is used; the account is at {account.nonce}")
        if parsed.nonce > account.nonce + MOST_AHEAD:
            raise TransactionRefused("chain-limit", f"{parsed.nonce} is too far beyond {account.nonce}")
        queue = self._queues.get(parsed.sender, {})
        rival = queue.get(parsed.nonce)
        if rival is not None:
            _check_replacement(parsed, rival)
        spent = self._spending.get(parsed.sender, 0) - (rival.cost if rival is not None else 0) + parsed.cost
        available = account.balance + (self._incoming.get(parsed.sender, 0) if returning else 0)
        if spent > available:
            raise TransactionRefused("funds", f"{spent} wei with what waits; the account has {available}")
        return [rival.txid] if rival is not None else []

    def _entered(self, parsed: Transfer) -> None:
        self._queues.setdefault(parsed.sender, {})[parsed.nonce] = parsed
        _add(self._spending, parsed.sender, parsed.cost)
        _add(self._incoming, parsed.to, parsed.value)

    def _left(self, parsed: Transfer) -> None:
        queue = self._queues[parsed.sender]
        del queue[parsed.nonce]
        if not queue:
            del self._queues[parsed.sender]
        _add(self._spending, parsed.sender, -parsed.cost)
        _add(self._incoming, parsed.to, -parsed.value)

    # Blocks.

    def _build(self, site: Site, waiting: Iterable[Transfer]) -> bytes:
        frame = self._frame(site.height, site.time)
        execution = Execution(self._state, frame)
        chosen = _choose(execution, waiting)
        header = Header(
            bytes.fromhex(site.previous[2:]),
            _state_root(self._header.state_root, execution.changes()),
            _transactions_root(chosen),
            site.height,
            TRANSFER_GAS * len(chosen),
            site.time,
            site.number,
            frame.base_fee,
        )
        return _block_bytes(header, chosen)

    def _frame(self, height: int, time: int) -> BlockFrame:
        return BlockFrame(height, time, self._header.next_base_fee(), GAS_LIMIT, _COINBASE)

    def _parse(self, raw: bytes) -> tuple[Header, list[Transfer]]:
        """Each block is wanted twice in a row, to be shown and to be connected."""
        parsed = self._parsed
        if parsed[0] != raw:
            parsed = self._parsed = raw, *_read_whole_block(raw)
        return parsed[1:]

    def _decode(self, raw: bytes) -> Block:
        return _block(*self._parse(raw))

    def _connect(self, raw: bytes, block: Block) -> None:
        header, transfers = self._parse(raw)
        if header.height == 0:
            self._header = header
            return
        execution = Execution(self._state, self._frame(header.height, header.time))
        try:
            for transfer in transfers:
                execution.run(transfer)
        except TransactionRefused as problem:
            raise BlockRefused(f"block {header.height}: {problem}") from None
        changes = execution.changes()
        made = header._replace(
            previous=bytes.fromhex(self._hashes[-1][2:]),
            state_root=_state_root(self._header.state_root, changes),
            transactions_root=_transactions_root(transfers),
            gas_used=TRANSFER_GAS * len(transfers),
            base_fee=self._header.next_base_fee(),
        )
        if made != header:
            raise BlockRefused(f"block {header.height}: its header does not fit its transactions")
        self._state.replace(changes)
        self._header = header

    def _disconnect(self, raw: bytes) -> None:
        header, transfers = self._parse(raw)
        below, _ = _split(self._raw(_hash_text(header.previous)))
        self._state.replace(undone(self._state, transfers, header.base_fee, _COINBASE))
        self._header = below

    # State.

    def _held(self) -> Held:
        return Held(list(self._hashes), dict(self._standing), accounts=self._state.accounts())

    def _restore(self, state: State) -> None:
        self._state = EthState({key: Account(int.from_bytes(much, "big"), n) for key, much, n in state.accounts})
        self._header, _ = _split(self._raw(self._hashes[-1]))

    def _clear(self) -> None:
        self._state = EthState({own_address(secret): Account(_FAUCET_BALANCE, 0) for secret in self._faucets})


def read_block(raw: bytes) -> Block:
    """A block as the log keeps it; BlockRefused if it is none of ours."""
    return _block(*_read_block(raw))


def _block(header: Header, transfers: Sequence[Transfer]) -> Block:
    txs = tuple(transfer.tx() for transfer in transfers)
    return Block(header.height, header.hash(), _hash_text(header.previous), header.time, txs)


def read_whole_block(raw: bytes) -> Block:
    """As `read_block`; BlockRefused also if its header does not name its transactions."""
    return _block(*_read_whole_block(raw))


def _read_whole_block(raw: bytes) -> tuple[Header, list[Transfer]]:
    header, transfers = _read_block(raw)
    if header.transactions_root != _transactions_root(transfers):
        raise BlockRefused(f"block {header.height}: its header does not fit its transactions")
    return header, transfers


def _hash_text(value: bytes) -> str:
    return "0x" + value.hex()


def _first_free(nonce: int, queue: Mapping[int, Transfer]) -> int:
    while nonce in queue:
        nonce += 1
    return nonce


def _add(totals: dict[bytes, int], key: bytes, amount: int) -> None:
    total = totals.get(key, 0) + amount
    if total:
        totals[key] = total
    else:
        totals.pop(key, None)


def _check_form(transfer: Transfer) -> None:
    if transfer.chain_id != CHAIN_ID:
        raise TransactionRefused("other", f"signed for chain {transfer.chain_id}; this private chain is {CHAIN_ID}")
    if not TRANSFER_GAS <= transfer.gas <= GAS_LIMIT:
        raise TransactionRefused("other", f"a gas limit of {transfer.gas}; a transfer takes {TRANSFER_GAS}")
    if transfer.priority_fee > transfer.max_fee:
        raise TransactionRefused("malformed", "the priority fee is above the fee's maximum (EIP-1559)")
    if int.from_bytes(transfer.to, "big") <= _RESERVED:
        raise TransactionRefused("other", "the recipient is no account but a precompiled contract")


def _check_replacement(transfer: Transfer, rival: Transfer) -> None:
    for offered, wanted in ((transfer.max_fee, rival.max_fee), (transfer.priority_fee, rival.priority_fee)):
        if offered * 100 < wanted * _BUMP_PERCENT:
            raise TransactionRefused("conflict", f"nonce {rival.nonce} waits already, and this pays not 10 % more")


def _choose(execution: Execution, waiting: Iterable[Transfer]) -> list[Transfer]:
    """What the block takes, in order of arrival; what comes too early for its account's nonce waits for its turn."""
    chosen: list[Transfer] = []
    early: dict[tuple[bytes, int], Transfer] = {}
    room = GAS_LIMIT
    for arrived in waiting:
        transfer: Transfer | None = arrived
        while transfer is not None and transfer.gas <= room:
            if transfer.nonce > execution.nonce(transfer.sender):
                early[transfer.sender, transfer.nonce] = transfer
                break
            try:
                execution.run(transfer)
            except TransactionRefused:
                break  # not in this block: the base fee is above it, or its funds have not arrived
            chosen.append(transfer)
            room -= TRANSFER_GAS
            transfer = early.pop((transfer.sender, transfer.nonce + 1), None)
    return chosen


def _state_root(last: bytes, changes: dict[bytes, Account]) -> bytes:
    accounts: list[Item] = [[key, rlp_int(account.balance), rlp_int(account.nonce)] for key, account in changes.items()]
    return keccak256(last + rlp_encode(accounts))


def _transactions_root(transfers: Sequence[Transfer]) -> bytes:
    return keccak256(rlp_encode([transfer.raw for transfer in transfers]))


def _block_bytes(header: Header, transfers: Sequence[Transfer]) -> bytes:
    return rlp_encode([header.rlp(), [transfer.raw for transfer in transfers], []])


def _read_block(raw: bytes) -> tuple[Header, list[Transfer]]:
    """BlockRefused if it is no block of ours."""
    header, raws = _split(raw)
    try:
        return header, [read_transfer(raw) for raw in raws]
    except TransactionRefused as problem:
        raise BlockRefused(f"the block is damaged: {problem}") from None


def _split(raw: bytes) -> tuple[Header, list[bytes]]:
    """The header, and the transactions unread."""
    try:
        item = rlp_decode(raw)
        if not isinstance(item, list) or len(item) != 3 or not all(isinstance(part, list) for part in item):
            raise BlockRefused("the block has not three lists")
        fields, raws = item[0], item[1]
        flat = [field for field in fields if isinstance(field, bytes)]
        number = [int.from_bytes(field, "big") for field in flat]
        header = Header(flat[0], flat[3], flat[4], number[8], number[10], number[11], number[12], number[15])
        if header.rlp() != fields:
            raise BlockRefused("the block's header is not of this chain")
        return header, [raw for raw in raws if isinstance(raw, bytes)]
    except (ValueError, IndexError) as problem:
        raise BlockRefused(f"the block is damaged: {problem}") from None


def _genesis(state: EthState) -> Header:
    root = _state_root(keccak256(b"Glass Tumbler"), state.accounts())
    return Header(bytes(32), root, _transactions_root([]), 0, 0, GENESIS_TIME, 0, FIRST_BASE_FEE)
