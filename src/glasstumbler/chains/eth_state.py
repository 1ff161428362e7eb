"""Ethereum's accounts, and blocks of transfers executed on them by revm (a real EVM, through pyrevm).

The EVM judges every transfer (nonce, chain id, funds, gas) and moves its value. pyrevm 0.3.7 runs a message without
the transaction round it: the gas is charged, the nonce raised and the tip paid here, as the Yellow Paper says (6.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pyrevm import EVM, AccountInfo, BlockEnv, CfgEnv, Env, TxEnv

from glasstumbler.chains.eth_format import CHAIN_ID, TRANSFER_GAS, Transfer
from glasstumbler.errors import TransactionRefused

_RULES = "CANCUN"


class Account(NamedTuple):
    """Balance in wei, and the nonce of its next transaction."""

    balance: int
    nonce: int


class BlockFrame(NamedTuple):
    """What a transfer can see of its block. `base_fee` in wei per gas, `time` in epoch seconds."""

    height: int
    time: int
    base_fee: int
    gas_limit: int
    coinbase: bytes


EMPTY = Account(0, 0)


class EthState:
    """All accounts after the tip."""

    def __init__(self, accounts: Mapping[bytes, Account]) -> None:
        self._accounts = dict(accounts)

    def account(self, key: bytes) -> Account:
        return self._accounts.get(key, EMPTY)

    def accounts(self) -> dict[bytes, Account]:
        """All that are not empty, by address."""
        return dict(sorted(self._accounts.items()))

    def replace(self, accounts: Mapping[bytes, Account]) -> None:
        """Set these accounts."""
        for key, account in accounts.items():
            if account == EMPTY:
                self._accounts.pop(key, None)
            else:
                self._accounts[key] = account


class Execution:
    """One block's transfers, on a copy of the accounts that they touch."""

    def __init__(self, state: EthState, frame: BlockFrame) -> None:
        self._state, self._frame = state, frame
        self._loaded: set[bytes] = set()
        self._changed: set[bytes] = set()
        self._tips = 0
        self._evm = EVM(
            env=Env(
                cfg=CfgEnv(chain_id=CHAIN_ID),
                block=BlockEnv(
                    number=frame.height,
                    coinbase=_hex(frame.coinbase),
                    timestamp=frame.time,
                    basefee=frame.base_fee,
                    gas_limit=frame.gas_limit,
                ),
            ),
            spec_id=_RULES,
        )

    def nonce(self, key: bytes) -> int:
        return self._account(key).nonce

    def run(self, transfer: Transfer) -> None:
        """TransactionRefused, with nothing changed: fee-too-low, nonce, funds, other (the EVM's word)."""
        if transfer.max_fee < self._frame.base_fee:
            raise TransactionRefused("fee-too-low", f"{transfer.max_fee} wei per gas; the block wants more")
        sender = self._account(transfer.sender)
        if transfer.nonce != sender.nonce:
            raise TransactionRefused("nonce", f"{transfer.nonce}; the account is at {sender.nonce}")
        if transfer.cost > sender.balance:
            raise TransactionRefused("funds", f"{transfer.cost} wei; the account has {sender.balance}")
        self._account(transfer.to)
        price = transfer.price(self._frame.base_fee)
        self._call(transfer, price)
        after = self._account(transfer.sender)
        self._set(transfer.sender, Account(after.balance - TRANSFER_GAS * price, after.nonce + 1))
        self._tips += TRANSFER_GAS * (price - self._frame.base_fee)
        self._changed |= {transfer.sender, transfer.to, self._frame.coinbase}

    def changes(self) -> dict[bytes, Account]:
        """Every account that the block changed, as it is after it, the tips paid to the coinbase."""
        coinbase = self._account(self._frame.coinbase)
        self._set(self._frame.coinbase, coinbase._replace(balance=coinbase.balance + self._tips))
        self._tips = 0
        return {key: self._account(key) for key in sorted(self._changed)}

    def _call(self, transfer: Transfer, price: int) -> None:
        caller, to = _hex(transfer.sender), _hex(transfer.to)
        self._evm.set_tx_env(
            TxEnv(
                caller=caller,
                gas_limit=transfer.gas,
                gas_price=price,
                to=to,
                value=transfer.value,
                chain_id=transfer.chain_id,
                nonce=transfer.nonce,
            )
        )
        try:
            self._evm.message_call(caller=caller, to=to, value=transfer.value, gas=transfer.gas, gas_price=price)
        except RuntimeError as judgement:
            raise TransactionRefused("other", f"the EVM: {judgement}") from None

    def _account(self, key: bytes) -> Account:
        """As the EVM has it; brought into it at the first look."""
        if key not in self._loaded:
            self._set(key, self._state.account(key))
            self._loaded.add(key)
        info = self._evm.basic(_hex(key))
        return Account(info.balance, info.nonce)

    def _set(self, key: bytes, account: Account) -> None:
        # pyrevm's type stubs leave the balance out.
        info = AccountInfo(balance=account.balance, nonce=account.nonce)  # type: ignore[call-arg]
        self._evm.insert_account_info(_hex(key), info)


def undone(state: EthState, transfers: Sequence[Transfer], base_fee: int, coinbase: bytes) -> dict[bytes, Account]:
    """What the accounts that the tip's transfers changed were before it: a transfer says all that it did."""
    before: dict[bytes, Account] = {}

    def add(key: bytes, amount: int, nonces: int = 0) -> None:
        account = before.get(key) or state.account(key)
        before[key] = Account(account.balance + amount, account.nonce + nonces)

    for transfer in transfers:
        price = transfer.price(base_fee)
        add(transfer.sender, transfer.value + TRANSFER_GAS * price, -1)
        add(transfer.to, -transfer.value)
        add(coinbase, -TRANSFER_GAS * (price - base_fee))
    return before


def _hex(key: bytes) -> str:
    return "0x" + key.hex()
