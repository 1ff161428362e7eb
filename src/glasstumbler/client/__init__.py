"""A client of Glass Tumbler's services: every call of every dialect, to be sent at once or awaited.

It speaks to a laboratory on private test chains and has no host of its own: each client takes the URL that a laboratory
prints. Replies are typed, amounts are Decimals of whole coins; signatures and letters of guarantee are checked before
anything of a reply is handed out.
Whatever goes wrong is a ClientError (errors.py draws the tree).

    with BearerMixer(url, key, secret) as btcmix, Lab(hub) as lab:
        order = btcmix.create_transaction({lab.address(): "0.01"}, delay=1)
        lab.pay(order.deposit_address, order.deposit_amount)

`AsyncBearerMixer` and the like have the same calls, to be awaited. `BearerCalls` and the like only make them: each a
request, and how its reply is read.
"""

from __future__ import annotations

from glasstumbler.client.bearer import BearerCalls
from glasstumbler.client.calls import Call, Reply, Request
from glasstumbler.client.codes import CodeCalls, Exact, Share, read_letter
from glasstumbler.client.errors import (
    AccessDenied,
    BadLetter,
    BadReply,
    BadSignature,
    ClientError,
    InvalidRequest,
    NotFound,
    RateLimited,
    Refused,
    Unavailable,
    Unreachable,
    Untrusted,
    WrongOrder,
)
from glasstumbler.client.faces import SECONDS, Async, Sync
from glasstumbler.client.lab import LabCalls
from glasstumbler.client.xmrto import SwapV2Calls, SwapV3Calls

__all__ = [
    "AccessDenied",
    "AsyncBearerMixer",
    "AsyncCodeMixer",
    "AsyncLab",
    "AsyncSwapV2",
    "AsyncSwapV3",
    "BadLetter",
    "BadReply",
    "BadSignature",
    "BearerCalls",
    "BearerMixer",
    "Call",
    "ClientError",
    "CodeCalls",
    "CodeMixer",
    "Exact",
    "InvalidRequest",
    "Lab",
    "LabCalls",
    "NotFound",
    "RateLimited",
    "Refused",
    "Reply",
    "Request",
    "Share",
    "SwapV2",
    "SwapV2Calls",
    "SwapV3",
    "SwapV3Calls",
    "Unavailable",
    "Unreachable",
    "Untrusted",
    "WrongOrder",
    "read_letter",
]


class BearerMixer(BearerCalls, Sync):
    """BtcMix, CoinJoin or whir of a laboratory."""

    def __init__(self, url: str, key: str, secret: str, timeout: float = SECONDS) -> None:
        BearerCalls.__init__(self, key, secret)
        Sync.__init__(self, url, timeout)


class AsyncBearerMixer(BearerCalls, Async):
    def __init__(self, url: str, key: str, secret: str, timeout: float = SECONDS) -> None:
        BearerCalls.__init__(self, key, secret)
        Async.__init__(self, url, timeout)


class CodeMixer(CodeCalls, Sync):
    """BestMixer of a laboratory."""

    def __init__(self, url: str, key: str, letter_key: bytes | None = None, timeout: float = SECONDS) -> None:
        CodeCalls.__init__(self, key, letter_key)
        Sync.__init__(self, url, timeout)


class AsyncCodeMixer(CodeCalls, Async):
    def __init__(self, url: str, key: str, letter_key: bytes | None = None, timeout: float = SECONDS) -> None:
        CodeCalls.__init__(self, key, letter_key)
        Async.__init__(self, url, timeout)


class SwapV2(SwapV2Calls, Sync):
    """XMR.to of a laboratory, API version 2."""


class AsyncSwapV2(SwapV2Calls, Async):
    pass


class SwapV3(SwapV3Calls, Sync):
    """XMR.to of a laboratory, API version 3."""


class AsyncSwapV3(SwapV3Calls, Async):
    pass


class Lab(LabCalls, Sync):
    """The laboratory itself; `url` is its hub."""

    def __init__(self, url: str, token: str = "", timeout: float = SECONDS) -> None:
        LabCalls.__init__(self, token)
        Sync.__init__(self, url, timeout)


class AsyncLab(LabCalls, Async):
    def __init__(self, url: str, token: str = "", timeout: float = SECONDS) -> None:
        LabCalls.__init__(self, token)
        Async.__init__(self, url, timeout)
