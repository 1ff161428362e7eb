"""Bitcoin Core's own consensus engine (libbitcoinkernel, PyPI `py-bitcoinkernel`, module `pbk`) as a judge.

Only the regression-test network can be opened. The engine judges whole BTC blocks, and the scripts of BTC and LTC
transactions. Where no wheel of it exists for a platform, `AVAILABLE` is False, nothing here may be called, and the
chains run on their own checks and say so in their `node`.
"""

from __future__ import annotations

import ctypes
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from glasstumbler.chains.base import Output
from glasstumbler.errors import BlockRefused, ChainError, TransactionRefused

try:
    import pbk
    from pbk.capi import bindings as engine
except (ImportError, OSError, RuntimeError):
    AVAILABLE = False
else:
    AVAILABLE = True
    engine.btck_logging_disable()  # it would buffer a megabyte, waiting for a listener

_FUTURE = 7200
"""Seconds that a block may be ahead of the engine's clock (Core: MAX_FUTURE_BLOCK_TIME)."""


class Kernel:
    """One regtest chain in the engine's hands. Not safe from several threads; its calls release the GIL.

    `folder` None keeps the databases in memory; the block files then lie in a temporary folder until `close`.
    """

    def __init__(self, folder: Path | None = None, now: int = 0) -> None:
        """`now`: the laboratory's time. The engine does not open a chain whose tip lies far ahead of its own clock."""
        _let_pass(now)
        self._temporary = Path(tempfile.mkdtemp(prefix="regtest-")) if folder is None else None
        home = (folder or self._temporary or Path()).absolute()
        try:
            self._manager: Any = _open(home, in_memory=folder is None)
        except RuntimeError as error:
            raise ChainError(f"the consensus engine cannot open {home}: {error}") from error
        self._chain: Any = self._manager.get_active_chain()

    def tip(self) -> tuple[int, str]:
        height = int(self._chain.height)
        return height, self.hash_at(height)

    def hash_at(self, height: int) -> str:
        return str(self._chain.block_tree_entries[height].block_hash)

    def raw_block(self, height: int) -> bytes:
        return bytes(self._manager.blocks[self._chain.block_tree_entries[height]])

    def raw_blocks(self, first: int) -> Iterator[bytes]:
        """The active chain's blocks from this height upwards."""
        for height in range(first, self._chain.height + 1):
            yield self.raw_block(height)

    def process(self, raw: bytes, tip: str) -> None:
        """Judge a block and connect it where it has the most work. `tip` is the hash that the active chain must end
        with afterwards: the block's own, or the present one where a competing branch is not yet long enough.

        The engine raises for a block that is malformed by itself, and passes over one that is wrong in its place (a
        double spend, a bad signature) in silence, so the tip tells. BlockRefused in both cases.
        """
        _let_pass(int.from_bytes(raw[68:72], "little"))
        try:
            # Not pbk.Block(raw): it would unpack every byte to a Python integer first.
            block = pbk.Block._from_handle(engine.btck_block_create(raw, len(raw)))
            self._manager.process_block(block)
        except (pbk.KernelException, ValueError) as error:
            raise BlockRefused(f"the consensus engine refused the block: {error}") from error
        if (seen := self.tip()[1]) != tip:
            raise BlockRefused(f"the consensus engine's tip is {seen}, not {tip}")

    def close(self) -> None:
        """Write everything out and let go of the folder; harmless if done already."""
        self._chain = None
        if self._manager is not None:
            self._manager.__exit__(None, None, None)
            self._manager = None
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)


def _open(home: Path, in_memory: bool) -> Any:
    context = pbk.make_context(pbk.ChainType.REGTEST)
    options = pbk.ChainstateManagerOptions(context, str(home), str(home / "blocks"))
    options.set_worker_threads_num(1)  # beside the calling one: a block's scripts are judged on two cores
    options.update_block_tree_db_in_memory(in_memory)
    options.update_chainstate_db_in_memory(in_memory)
    return pbk.ChainstateManager(options)


def latest_time() -> int | None:
    """The latest block time that the engine takes; None where its clock can be told to follow."""
    return None if _test_clock() is not None else int(time.time()) + _FUTURE - 600


def _let_pass(block_time: int) -> None:
    """The laboratory's clock may be days ahead of the machine's: move the engine's test clock there.

    It is one for the whole process, and only ever moved forwards, which can only make the engine take more.
    """
    global _moved_to
    if block_time > max(_moved_to, int(time.time())) + _FUTURE // 2 and (move := _test_clock()) is not None:
        _moved_to = block_time
        move(ctypes.c_int64(block_time))


_moved_to = 0


def _test_clock() -> Any:
    """Core's own `SetMockTime(int64_t)`, where the library shows it (its name differs with the platform's `long`)."""
    for name in ("_Z11SetMockTimel", "_Z11SetMockTimex"):
        if (found := getattr(pbk.capi.library.BITCOINKERNEL_LIB, name, None)) is not None:
            return found
    return None


def _brief(name: str) -> Any:
    """A C function that takes a microsecond, called without letting go of Python's lock: with the lock let go, it
    would wait for the other threads each time it comes back."""
    if not AVAILABLE:
        return None
    found = getattr(ctypes.PyDLL(None, handle=pbk.capi.library.BITCOINKERNEL_LIB._handle), name)
    known = getattr(engine, name)
    found.restype, found.argtypes = known.restype, known.argtypes
    return found


_transaction_create, _transaction_destroy = _brief("btck_transaction_create"), _brief("btck_transaction_destroy")
_script_create, _script_destroy = _brief("btck_script_pubkey_create"), _brief("btck_script_pubkey_destroy")
_output_create, _output_destroy = _brief("btck_transaction_output_create"), _brief("btck_transaction_output_destroy")
_precomputed_create = _brief("btck_precomputed_transaction_data_create")
_precomputed_destroy = _brief("btck_precomputed_transaction_data_destroy")

_FLAGS = 0x20E15
"""BIP16, 66, 147, 65, 112, 141, 341: everything that consensus asks for (pbk.ScriptVerificationFlags.ALL)."""


def verify_inputs(raw: bytes, spent: Sequence[Output]) -> None:
    """Run every input's script against the outputs it spends, in input order. Knows no chain: it serves LTC too,
    whose signatures are the same. TransactionRefused("bad-signature") names the first input that fails.

    Goes to the C functions directly: the wrapper's constructors cost more than the signature check.
    """
    transaction = _transaction_create(raw, len(raw))
    if not transaction:
        raise TransactionRefused("malformed", "the engine cannot read it")
    scripts = [_script_create(key, len(key)) for key, _ in spent]
    outputs = [_output_create(s, o.amount) for s, o in zip(scripts, spent, strict=True)]
    array = (ctypes.POINTER(engine.btck_TransactionOutput) * len(outputs))(*outputs)
    precomputed = _precomputed_create(transaction, array, len(outputs))
    status = ctypes.c_ubyte(0)
    try:
        for index, (script, output) in enumerate(zip(scripts, spent, strict=True)):
            if not engine.btck_script_pubkey_verify(
                script, output.amount, transaction, precomputed, index, _FLAGS, status
            ):
                raise TransactionRefused("bad-signature", f"input {index} fails its script")
    finally:
        _precomputed_destroy(precomputed)
        for held in outputs:
            _output_destroy(held)
        for held in scripts:
            _script_destroy(held)
        _transaction_destroy(transaction)
