"""The five services: a slug, a dialect, a policy each. A sixth is one dialect file and one table here.

What a document says of a service's dealings is marked [DOC]; everything else is our choice, made so that the five
differ on their chains: see docs/services.md. A TOML file or the environment changes any of it (settings.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from glasstumbler.dialects.base import Dialect
from glasstumbler.dialects.bearer import BRANDINGS, Bearer
from glasstumbler.dialects.codes import Codes
from glasstumbler.dialects.settings import BearerSettings, CodesSettings, XmrtoSettings
from glasstumbler.dialects.xmrto import Xmrto
from glasstumbler.engine.policy import (
    DAY,
    HOUR,
    CodeTier,
    CoinPolicy,
    FeeRule,
    Grouping,
    Policy,
    Selection,
    SwapPolicy,
)

BTC = 10**8
GWEI = 10**9
ETHER = 10**18
XMR = 10**12

_BEARER_BTC = CoinPolicy(
    deposit_kind="p2wpkh",  # [DOC] the sample addresses
    change_kind="p2wpkh",
    fee_rate=5,
    min_payout=100_000,
    min_deposit=200_000,
    max_payout=50 * BTC,
    max_deposit=100 * BTC,
    per_output=5_000,
    float_pieces=40,
    float_amount=5 * BTC,
)

BTCMIX = Policy(
    coins={"btc": _BEARER_BTC},
    fee_ppm=20_000,
    expiry=72 * HOUR,  # [DOC] the expired sample
    grouping=Grouping.ORDER,  # [DOC] one txid for all payouts
    selection=Selection.OLDEST,
    referral_ppm=100_000,
)

COINJOIN = Policy(
    coins={"btc": msgspec.structs.replace(_BEARER_BTC, change_kind="p2tr", fee_rate=8)},
    fee_ppm=20_000,
    expiry=72 * HOUR,
    grouping=Grouping.ORDER,
    selection=Selection.LARGEST,
    sweep_every=6 * HOUR,
    referral_ppm=100_000,
)

WHIR = Policy(
    coins={"btc": msgspec.structs.replace(_BEARER_BTC, change_kind="p2sh-p2wpkh", fee_rate=3)},
    fee_ppm=30_000,  # [DOC] the footer
    expiry=72 * HOUR,
    grouping=Grouping.ORDER,
    selection=Selection.RANDOM,
    sweep_every=DAY,
    referral_ppm=100_000,
)

BESTMIXER = Policy(
    coins={
        "btc": CoinPolicy(
            deposit_kind="p2pkh",
            change_kind="p2pkh",
            fee_rate=12,
            min_deposit=500_000,  # [DOC] sample
            max_deposit=12_345_600_000,  # [DOC] sample
            min_payout=50_000,
            per_output=40_000,
            min_fee_ppm=10_000,  # [DOC]
            max_fee_ppm=50_000,  # [DOC]
            float_pieces=40,
            float_amount=8 * BTC,
        ),
        "bch": CoinPolicy(
            deposit_kind="p2pkh",
            change_kind="p2pkh",
            fee_rate=2,
            min_deposit=1_000_000,
            max_deposit=12_345_600_000,
            min_payout=100_000,
            per_output=20_000,
            min_fee_ppm=30_000,  # [DOC]
            max_fee_ppm=50_000,
            float_pieces=40,
            float_amount=8 * BTC,
        ),
        "ltc": CoinPolicy(
            deposit_kind="p2wpkh",
            change_kind="p2sh-p2wpkh",
            fee_rate=20,
            min_deposit=5_000_000,
            max_deposit=12_345_600_000,
            min_payout=500_000,
            per_output=100_000,
            min_fee_ppm=30_000,  # [DOC]
            max_fee_ppm=50_000,
            float_pieces=40,
            float_amount=8 * BTC,
        ),
        "eth": CoinPolicy(
            deposit_kind="account",
            change_kind="account",
            fee_rate=20 * GWEI,
            min_deposit=ETHER // 20,
            max_deposit=150 * ETHER,
            min_payout=ETHER // 200,
            per_output=21_000 * 40 * GWEI,
            min_fee_ppm=30_000,
            max_fee_ppm=50_000,
            float_pieces=10,
            float_amount=400 * ETHER,
        ),
    },
    fee_rule=FeeRule.ON_RECEIVED,
    choose_fee=True,  # [DOC]
    floating_network_fee=True,  # [DOC]
    expiry=DAY,
    max_delay=72 * HOUR,  # [DOC] 4320 minutes
    grouping=Grouping.OUTPUT,
    selection=Selection.SMALLEST,
    codes=True,  # [DOC]
    code_tiers=(CodeTier(10, 2_000), CodeTier(100, 5_000)),
    letters=True,  # [DOC]
    id_length=10,  # [DOC]
)

XMRTO = Policy(
    coins={
        "xmr": CoinPolicy(deposit_kind="subaddress", change_kind="subaddress", fee_rate=0, float_pieces=0),
        "btc": CoinPolicy(
            deposit_kind="p2wpkh",
            change_kind="p2wpkh",
            fee_rate=15,
            float_pieces=60,
            float_amount=10 * BTC,
        ),
        "msat": CoinPolicy(deposit_kind="channel", change_kind="channel", fee_rate=0, float_pieces=0),
    },
    expiry=15 * 60,  # [DOC] example of 900 s
    grouping=Grouping.BATCH,
    selection=Selection.OLDEST,
    id_prefix="xmrto-",  # [DOC]
    id_alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
    id_length=6,  # [DOC]
    swap=SwapPolicy(),
)


class Kind(NamedTuple):
    """A service as shipped."""

    slug: str
    policy: Policy
    settings: type[msgspec.Struct]
    dialect: Callable[[msgspec.Struct], Dialect]


SERVICES: dict[str, Kind] = {
    "bestmixer": Kind("bestmixer", BESTMIXER, CodesSettings, Codes),  # type: ignore[arg-type]
    "btcmix": Kind("btcmix", BTCMIX, BearerSettings, lambda s: Bearer(BRANDINGS["btcmix"], s)),  # type: ignore[arg-type]
    "coinjoin": Kind("coinjoin", COINJOIN, BearerSettings, lambda s: Bearer(BRANDINGS["coinjoin"], s)),  # type: ignore[arg-type]
    "whir": Kind("whir", WHIR, BearerSettings, lambda s: Bearer(BRANDINGS["whir"], s)),  # type: ignore[arg-type]
    "xmrto": Kind("xmrto", XMRTO, XmrtoSettings, Xmrto),  # type: ignore[arg-type]
}
"""In the order of their ports."""


class About(NamedTuple):
    """How a service is called where people read, and what it does in a sentence."""

    name: str
    does: str


ABOUT: dict[str, About] = {
    "bestmixer": About("BestMixer-style", "A mixer for four coins: you choose the fee, each output's share and delay."),
    "btcmix": About("BtcMix", "A mixer with a key and signed replies: exact amounts, and one delay for all."),
    "coinjoin": About("CoinJoin", "The same family of API, with its own field types and its own way to choose coins."),
    "whir": About("whir", "The same family again, with a fee of three percent and coins chosen at random."),
    "xmrto": About("XMR.to", "A swap: Monero comes in, bitcoin goes out, on chain or by Lightning."),
}
