"""What a type checker sees: the same method gives a result, something to await, or the call itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).parents[2] / "src"
RIGHT = """
from collections.abc import Coroutine
from decimal import Decimal
from typing import Any, assert_type
from glasstumbler.client import AsyncSwapV3, BearerCalls, BearerMixer, Call, SwapV2, SwapV3Calls
from glasstumbler.client.bearer import Transaction
from glasstumbler.client.xmrto import StatusV2, StatusV3

def look(mixer: BearerMixer, old: SwapV2) -> None:
    assert_type(mixer.create_transaction({"a": Decimal(1)}, delay=1), Transaction)
    assert_type(mixer.validate_address("a"), bool)
    assert_type(old.order_status_query("a"), StatusV2)
    assert_type(SwapV3Calls().order_status_query("a"), Call[StatusV3])
    assert_type(BearerCalls("k", "s").transaction("a"), Call[Transaction])

async def wait(new: AsyncSwapV3) -> None:
    await assert_type(new.order_status_query("a"), Coroutine[Any, Any, StatusV3])
    assert_type((await new.order_status_query("a")).incoming_amount_total, Decimal | None)
"""
WRONG = """
from glasstumbler.client import BearerMixer
def look(mixer: BearerMixer) -> None:
    mixer.create_transaction({"a": 0.1})
    mixer.transaction(id=5)
    mixer.transactions(most=5)
"""


def mypy(text: str, folder: Path) -> list[str]:
    (folder / "theirs.py").write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.11", "theirs.py"]
    environment = os.environ | {"MYPYPATH": str(SRC)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    return [line for line in done.stdout.splitlines() if line.startswith("theirs.py:") and ": error:" in line]


def test_every_call_is_typed(tmp_path: Path) -> None:
    assert mypy(RIGHT, tmp_path) == []
    wrong = mypy(WRONG, tmp_path)
    assert [line.split(":")[1] for line in wrong] == ["4", "5", "6"], wrong
