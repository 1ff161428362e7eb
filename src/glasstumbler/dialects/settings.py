"""What the documents leave open about the wire, as settings: one line changes a decision."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Most = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class CodesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of the code mixer (document 1)."""

    info_amounts: Literal["number", "string"] = "number"
    """Type of min_amount, max_amount and exactly_amount in order/info. The document shows numbers; a client that was
    mended against the original service wants strings."""
    code_info_coins: tuple[str, ...] = ("btc", "bch", "ltc")
    """Coins that code/info names, in this order: the document leaves eth out."""
    fee_info_coins: tuple[str, ...] = ("btc", "bch", "ltc", "eth")
    """Coins that fee/info names, in this order."""
    delay_minutes_max: Annotated[int, msgspec.Meta(ge=0, le=4320)] = 4320
    """Documented."""


class BearerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of the bearer-key mixers (documents 2 to 4)."""

    bare_lists: bool = True
    """Documents 3 and 4 show payouts as a bare list of addresses: taken there as an open amount in equal parts.
    False refuses it. Document 2 knows maps only."""
    delay_hours_max: Annotated[int, msgspec.Meta(ge=0, le=8760)] = 72
    """No document names a limit; 72 h is the life of an unpaid order."""
    limit_default: Most = 30
    """Documented page size."""
    limit_max: Most = 1000
    """Most records of one page; the documents name no limit."""
    ref_code_max: Most = 64
    """Longest refCode in characters; the documents name no limit."""

    def __post_init__(self) -> None:
        if self.limit_default > self.limit_max:
            raise ValueError(f"limit_default ({self.limit_default}) is above limit_max ({self.limit_max})")


class XmrtoSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of the swap (document 5)."""

    recommended_mixin: Most = 16
    """Ring size that the status recommends: that of a present-day Monero chain."""
    btc_num_confirmations_threshold: Most = 144
    """Documented. Counting of payout confirmations stops here."""
    create_pp_in_v3: bool = True
    """Whether order_create_pp stands under v3 too: a client of 2020 still calls it there."""
    state_str: bool = True
    """Whether the v3 status repeats `state` as `state_str`, the spelling of document 5's example."""
    qr_characters_max: Most = 512
    """Longest text that gen_qrcode draws."""
