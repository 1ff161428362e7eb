"""How a service behaves: fees, limits, delays, coins. The engine knows policies; it knows no service by name."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

HOUR = 3600
DAY = 24 * HOUR
Units = Annotated[int, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=366 * DAY)]
Span = Annotated[int, msgspec.Meta(ge=1, le=366 * DAY)]
Ppm = Annotated[int, msgspec.Meta(ge=0, lt=1_000_000)]
"""Parts per million, less than the whole."""


class FeeRule(StrEnum):
    """How a service's fee is reckoned."""

    ON_PAYOUTS = "on_payouts"
    """fee = percent of the payouts' sum + network part; the deposit is sum + fee (bearer family)."""
    ON_RECEIVED = "on_received"
    """The percentage is of what comes in; each output gives up its own network part (code family)."""


class Grouping(StrEnum):
    """Which payouts share a transaction."""

    ORDER = "order"  # one withdrawal transaction for an order
    OUTPUT = "output"  # one for each output
    BATCH = "batch"  # what is due together goes together, whoever it belongs to


class Selection(StrEnum):
    """Which coins pay first."""

    OLDEST = "oldest"
    LARGEST = "largest"
    SMALLEST = "smallest"
    RANDOM = "random"


class CoinPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A service's dealings in one coin; amounts are base units of it."""

    deposit_kind: str
    """Address type of deposit addresses."""
    change_kind: str
    """Address type of change, sweeps and the float."""
    fee_rate: Units
    """sat/vB, or wei per gas on Ethereum."""
    min_deposit: Units = 0
    """Of an order with an open amount [INF]."""
    max_deposit: Units | None = None
    min_payout: Units = 0
    """Of one output with an exact amount [INF]."""
    max_payout: Units | None = None
    per_output: Units = 0
    """Network part per output: the maximum where it floats, else exact [INF]."""
    flat: Units = 0
    """Network part per order [INF]."""
    min_fee_ppm: Ppm = 0
    """The lowest service fee that a client may choose; a code lowers it."""
    max_fee_ppm: Ppm = 50_000
    float_pieces: Annotated[int, msgspec.Meta(ge=0, le=5_000)] = 20
    """Coins of its own that a service begins with ..."""
    float_amount: Units = 0
    """... and the size of each."""
    confirmations: Annotated[int, msgspec.Meta(ge=0, le=100)] = 1
    """That a deposit needs [INF]."""

    def __post_init__(self) -> None:
        _ordered("min_deposit", self.min_deposit, "max_deposit", self.max_deposit)
        _ordered("min_payout", self.min_payout, "max_payout", self.max_payout)
        _ordered("min_fee_ppm", self.min_fee_ppm, "max_fee_ppm", self.max_fee_ppm)


def _ordered(low: str, least: int, high: str, most: int | None) -> None:
    if most is not None and least > most:
        raise ValueError(f"{low} ({least}) is above {high} ({most})")


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to `amount` sat a swap needs `confirmations` of its deposit; amount None: without limit."""

    amount: Units | None
    confirmations: Annotated[int, msgspec.Meta(ge=0, le=100)]


class CodeTier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From a mixed volume (whole coins) on, a code takes `discount_ppm` off the lowest fee [INF]."""

    volume: Units
    discount_ppm: Ppm


class SwapPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits in sat; rate in sat for 1 XMR."""

    lower: Units = 100_000
    upper: Units = 2_000_000_000
    ln_lower: Units = 15_000
    ln_upper: Units = 770_000
    zero_conf: bool = True
    zero_conf_max: Units = 10_000_000
    tiers: tuple[Tier, ...] = (Tier(None, 1),)
    """Confirmations above the zero-conf limit [INF from client history: all of them 1]."""
    base_rate: Annotated[int, msgspec.Meta(ge=1)] = 700_000
    """Where the seeded price walk starts."""
    swing_ppm: Ppm = 30_000
    """How far the walk strays from there."""
    xmr_places: Annotated[int, msgspec.Meta(ge=0, le=12)] = 7
    """An amount in XMR is rounded up to these decimals [INF]."""
    min_probability_ppm: Ppm = 50_000
    """A Lightning invoice below this chance of success is refused (error 018) [INF]."""

    def __post_init__(self) -> None:
        _ordered("lower", self.lower, "upper", self.upper)
        _ordered("ln_lower", self.ln_lower, "ln_upper", self.ln_upper)
        if not self.tiers or self.tiers[-1].amount is not None:
            raise ValueError("the last of the tiers must be without an amount: it is for all larger swaps")


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    coins: dict[str, CoinPolicy]
    fee_rule: FeeRule = FeeRule.ON_PAYOUTS
    fee_ppm: Ppm = 20_000
    """Service fee where the client does not choose, parts per million [INF]."""
    choose_fee: bool = False
    """The client chooses the service fee within the coin's limits."""
    floating_network_fee: bool = False
    """An output gives up a random part of `per_output`, not all of it."""
    expiry: Span = 72 * HOUR
    """Seconds from creation."""
    max_delay: Seconds = 72 * HOUR
    max_outputs: Count = 10
    """[INF]"""
    grouping: Grouping = Grouping.ORDER
    max_batch: Count = 40
    """Outputs in one transaction of a batch."""
    selection: Selection = Selection.OLDEST
    max_inputs: Count = 200
    """Coins in one transaction."""
    sweep_every: Span | None = None
    """Deposits are gathered into one coin at this interval, seconds; None: spent as they came."""
    sweep_least: Annotated[int, msgspec.Meta(ge=2, le=1_000)] = 4
    """... when so many wait."""
    settle_confirmations: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    """After which a payout counts as settled [INF]."""
    bump_after: Count = 6
    """Blocks without confirmation after which a payout's fee is raised."""
    codes: bool = False
    """Customers are kept from their own earlier coins by a code."""
    code_tiers: tuple[CodeTier, ...] = ()
    referral_ppm: Ppm = 0
    """Share of the service fee that is booked to a referral code [INF]."""
    swap: SwapPolicy | None = None
    letter_days: Count = 7
    """How long a letter of guarantee says it is valid [INF]."""
    letters: bool = False
    id_prefix: str = ""
    id_alphabet: Annotated[str, msgspec.Meta(min_length=10)] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    id_length: Annotated[int, msgspec.Meta(ge=6, le=64)] = 16
