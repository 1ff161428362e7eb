"""How a service behaves: fees, limits, delays, coins. The engine knows policies; it knows no service by name."""

from __future__ import annotations

from enum import StrEnum

import msgspec

HOUR = 3600
DAY = 24 * HOUR


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
    fee_rate: int
    """sat/vB, or wei per gas on Ethereum."""
    min_deposit: int = 0
    """Of an order with an open amount [INF]."""
    max_deposit: int | None = None
    min_payout: int = 0
    """Of one output with an exact amount [INF]."""
    max_payout: int | None = None
    per_output: int = 0
    """Network part per output: the maximum where it floats, else exact [INF]."""
    flat: int = 0
    """Network part per order [INF]."""
    min_fee_ppm: int = 0
    """The lowest service fee that a client may choose; a code lowers it."""
    max_fee_ppm: int = 50_000
    float_pieces: int = 20
    """Coins of its own that a service begins with ..."""
    float_amount: int = 0
    """... and the size of each."""
    confirmations: int = 1
    """That a deposit needs [INF]."""


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to `amount` sat a swap needs `confirmations` of its deposit; amount None: without limit."""

    amount: int | None
    confirmations: int


class CodeTier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From a mixed volume (whole coins) on, a code takes `discount_ppm` off the lowest fee [INF]."""

    volume: int
    discount_ppm: int


class SwapPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits in sat; rate in sat for 1 XMR."""

    lower: int = 100_000
    upper: int = 2_000_000_000
    ln_lower: int = 15_000
    ln_upper: int = 770_000
    zero_conf: bool = True
    zero_conf_max: int = 10_000_000
    tiers: tuple[Tier, ...] = (Tier(None, 1),)
    """Confirmations above the zero-conf limit [INF from client history: all of them 1]."""
    base_rate: int = 700_000
    """Where the seeded price walk starts."""
    swing_ppm: int = 30_000
    """How far the walk strays from there."""
    xmr_places: int = 7
    """An amount in XMR is rounded up to these decimals [INF]."""
    min_probability_ppm: int = 50_000
    """A Lightning invoice below this chance of success is refused (error 018) [INF]."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    coins: dict[str, CoinPolicy]
    fee_rule: FeeRule = FeeRule.ON_PAYOUTS
    fee_ppm: int = 20_000
    """Service fee where the client does not choose, parts per million [INF]."""
    choose_fee: bool = False
    """The client chooses the service fee within the coin's limits."""
    floating_network_fee: bool = False
    """An output gives up a random part of `per_output`, not all of it."""
    expiry: int = 72 * HOUR
    """Seconds from creation."""
    max_delay: int = 72 * HOUR
    max_outputs: int = 10
    """[INF]"""
    grouping: Grouping = Grouping.ORDER
    max_batch: int = 40
    """Outputs in one transaction of a batch."""
    selection: Selection = Selection.OLDEST
    max_inputs: int = 200
    """Coins in one transaction."""
    sweep_every: int | None = None
    """Deposits are gathered into one coin at this interval, seconds; None: spent as they came."""
    sweep_least: int = 4
    """... when so many wait."""
    settle_confirmations: int = 1
    """After which a payout counts as settled [INF]."""
    bump_after: int = 6
    """Blocks without confirmation after which a payout's fee is raised."""
    codes: bool = False
    """Customers are kept from their own earlier coins by a code."""
    code_tiers: tuple[CodeTier, ...] = ()
    referral_ppm: int = 0
    """Share of the service fee that is booked to a referral code [INF]."""
    swap: SwapPolicy | None = None
    letter_days: int = 7
    """How long a letter of guarantee says it is valid [INF]."""
    letters: bool = False
    id_prefix: str = ""
    id_alphabet: str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    id_length: int = 16
