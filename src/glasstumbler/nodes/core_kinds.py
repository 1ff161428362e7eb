"""What differs between the Core-style nodes, as tables: who they are, what their rules want, how they say no."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from glasstumbler.chains.networks import BLOCK_VERSION
from glasstumbler.chains.utxo_book import START_HEIGHT
from glasstumbler.errors import TransactionRefused

_DEPLOYMENTS: Final = 0b111
"""CSV, segwit and taproot: the bits that a block votes for them with (BIP 9)."""
_VOTED: Final = 3 * 144
"""Height from which what every block voted for is in force: one period each of defined, started and locked in."""


class CoreKind(NamedTuple):
    """One row a software."""

    coin: str
    shows: str
    """What its user agent holds, and that of no other software here."""
    replaceable: bool = False
    """It lets a waiting transaction be replaced by one that pays more (BIP 125), where the coin has that."""
    cannot_spend: tuple[str, ...] = ()
    """Address kinds whose coins it keeps out of its mempool, whatever the signature."""
    silent: bool = False
    """`sendrawtransaction` answers with a txid whatever becomes of the transaction: its mempool tells."""
    socket_path: str = ""
    """See rpc.py."""
    forgets: bool = True
    """Its mempool can be made to drop a transaction: see core_reorg.py."""
    block_version: int = BLOCK_VERSION
    segwit_height: int = 0
    """Of the first block that may hold a witness."""
    start: int = START_HEIGHT
    """That a new chain is mined to."""


KINDS: Final[Mapping[str, CoreKind]] = MappingProxyType(
    {
        "bitcoind": CoreKind("btc", "/Satoshi:", replaceable=True),
        "litecoind": CoreKind("ltc", "/LitecoinCore:"),
        "btcd": CoreKind(
            "btc",
            "/btcd:",
            replaceable=True,
            socket_path="/ws",
            forgets=False,
            block_version=BLOCK_VERSION | _DEPLOYMENTS,
            segwit_height=_VOTED,
            start=_VOTED + 1,
        ),
        "bcoin": CoreKind(
            "btc",
            "/bcoin:",
            cannot_spend=("p2tr",),
            silent=True,
            block_version=BLOCK_VERSION | _DEPLOYMENTS,
            segwit_height=_VOTED,
            start=_VOTED + 1,
        ),
        "bcash": CoreKind("bch", "/bcash:", silent=True),
    }
)

KNOWN: Final = re.compile(
    r"already (in|exists|known|have)|txn-already|^(rejected: )?duplicate$|^inconclusive$",
    re.IGNORECASE,
)
"""How nodes say that they have a transaction or block, or keep it beside their chain: no refusal."""

_REASONS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"decode failed|deserializ|malformed|invalid hex", "malformed"),
        (r"dust", "dust"),
        (
            r"min relay fee|min fee not met|insufficient fee|insufficient priority|under the required|mempool full",
            "fee-too-low",
        ),
        (r"replacement .* (fee|rate)|insufficient absolute fee|higher fee|max-fee", "fee-too-low"),
        (r"txn-mempool-conflict|already spent|bad-txns-spends-conflicting|inputs-spent|double.?spend", "conflict"),
        (r"missing.?inputs|inputs-missingorspent|orphan|unknown or fully.spent", "missing-inputs"),
        (r"script-verify|failed to validate input|signature|mandatory", "bad-signature"),
        (r"too-long-mempool-chain|ancestors|descendants", "chain-limit"),
        (r"premature-spend|immature|coinbase maturity|before required maturity", "immature"),
        (r"bip68|non-final|sequence lock|not finalized", "locked"),
        (r"in-belowout|less than.*(sum|total)|spends? more|which is less than", "funds"),
    )
)
"""First match wins. Core's, btcd's and their forks' own words."""


def refusal(text: str) -> TransactionRefused:
    """What a node said against a transaction, as one of our reasons."""
    reason = next((reason for pattern, reason in _REASONS if pattern.search(text)), "other")
    return TransactionRefused(reason, text)
