"""Real nodes as judges: each is asked in its own way for its verdict on a transaction or a block.

bcash and bcoin never report a rejection over JSON-RPC. They are given a transaction by their HTTP interface, which
waits until it is judged, and what they then have in their mempool tells.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from glasstumbler.chains import guard
from glasstumbler.errors import NodeAnswer, NodeAway
from glasstumbler.nodes.core_kinds import KINDS
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.rpc import Ask, Rpc
from glasstumbler.nodes.running import Nodes

COINS = {"litecoind": "ltc", "bcash": "bch", "bcoin": "btc", "btcd": "btc"}
_NO_LIMIT: dict[str, tuple[object, ...]] = {"litecoind": (0,), "btcd": (True,)}
"""Parameter of sendrawtransaction that lets fees be as high as they like."""
_STRICT = "--require-standard=true --replace-by-fee=true --reject-absurd-fees=false"
_SILENT = frozenset({"bcash", "bcoin"})


class Judge:
    """One node; its coin's blocks are given to it one by one."""

    def __init__(self, kind: str, endpoint: Endpoint, log: Path) -> None:
        self.kind, self.coin, self._endpoint, self._log = kind, COINS[kind], endpoint, log
        self.rpc = Rpc(endpoint, self._look, timeout=120, socket_path=KINDS[kind].socket_path)

    def _look(self, ask: Ask) -> None:
        guard.check_node(self.coin, genesis=str(ask("getblockhash", 0)))

    def tip(self) -> str:
        return str(self.rpc.call("getbestblockhash"))

    def height(self) -> int:
        return int(self.rpc.call("getblockcount"))

    def block(self, height: int) -> bytes:
        return bytes.fromhex(self.rpc.call("getblock", self.rpc.call("getblockhash", height), 0))

    def waiting(self) -> frozenset[str]:
        return frozenset(self.rpc.call("getrawmempool"))

    def transaction(self, txid: str) -> bytes:
        return bytes.fromhex(self.rpc.call("getrawtransaction", txid, 0))

    def submit(self, raw: bytes) -> str:
        """What it says against a block; empty if nothing, which does not mean that it is the tip."""
        try:
            return str(self.rpc.call("submitblock", raw.hex()) or "")
        except NodeAnswer as error:
            return error.text

    def takes_block(self, raw: bytes, block_hash: str) -> bool:
        self.submit(raw)
        return self.tip() == block_hash

    def refusal(self, raw: bytes) -> str:
        """What it says against a transaction; empty if it waits in its mempool now."""
        return self._silent_refusal(raw) if self.kind in _SILENT else self._said(raw)

    def _said(self, raw: bytes) -> str:
        try:
            self.rpc.call("sendrawtransaction", raw.hex(), *_NO_LIMIT[self.kind])
        except NodeAnswer as error:
            return error.text or "refused"
        return ""

    def _silent_refusal(self, raw: bytes) -> str:
        begin, before = self._log.stat().st_size, self.waiting()
        said = self._post(raw)
        return "" if self.waiting() - before else said or self._reason(begin)

    def _reason(self, begin: int) -> str:
        """It stands in its log only, where it may come late: for people to read."""
        found: list[str] = []
        for _ in range(5):
            with self._log.open("rb") as file:
                file.seek(begin)
                found = re.findall(r"Verification failure: (.*?) \(", file.read().decode(errors="replace"))
            if found:
                break
            time.sleep(0.005)
        return found[-1] if found else "not in its mempool"

    def _post(self, raw: bytes) -> str:
        pair = base64.b64encode(f"{self._endpoint.user}:{self._endpoint.password}".encode()).decode()
        request = urllib.request.Request(
            self._endpoint.url + "broadcast",
            json.dumps({"tx": raw.hex()}).encode(),
            {"Content-Type": "application/json", "Authorization": f"Basic {pair}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=120):
                return ""
        except urllib.error.HTTPError as error:
            return str(json.loads(error.read()).get("error", {}).get("message", error.reason))
        except OSError as error:
            raise NodeAway(self.kind, str(error)) from None


@contextmanager
def judge(kind: str) -> Iterator[Judge]:
    """A node of this software with an empty chain, for as long as the block lasts. bcash and bcoin are strict as on
    their main networks (on regtest they would relay anything); a signal for replacement alone does not bother them."""
    with TemporaryDirectory(prefix="judge-") as folder:
        strict = Path(folder) / "strict"
        strict.write_text(f'#!/bin/sh\nexec {shutil.which("node")} "$@" {_STRICT}\n')
        strict.chmod(0o700)
        nodes = Nodes(Path(folder) / "nodes", dict.fromkeys(_SILENT, strict))
        try:
            found = Judge(kind, nodes.start(kind), Path(folder) / "nodes" / kind / "log")
            yield found
            found.rpc.close()  # litecoind waits for who still talks to it
        finally:
            nodes.close()
