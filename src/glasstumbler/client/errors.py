"""What a client's call may end in, instead of a result.

ClientError
├── Unreachable         no reply, or half of one; what was asked may have been done
├── BadReply            not the JSON, the types or the size of a reply of this service
├── Untrusted           a reply that reads well and is not to be relied on
│   ├── BadSignature    its HMAC does not hold
│   ├── BadLetter       its letter of guarantee is damaged, changed, or promises something else than was ordered
│   └── WrongOrder      it speaks of another order than was asked about
└── Refused             the service's own error: carries status, code, message, field and retry_after
    ├── InvalidRequest  what was asked for is at fault
    ├── AccessDenied    no key, an unknown or a blocked one; or not from here
    ├── NotFound        no such order, or no such endpoint
    ├── RateLimited     too many requests
    └── Unavailable     the service is at fault, or has no coins: later it may answer
"""

from __future__ import annotations

from glasstumbler.errors import GlassTumblerError

_LONGEST = 500


class ClientError(GlassTumblerError):
    """Anything that a call of glasstumbler.client raises because of what came back, or did not.

    Its text is one line, whatever a server has put into it.
    """

    def __init__(self, text: str) -> None:
        shown = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text[: 2 * _LONGEST].split()))
        super().__init__(shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "...")


class Unreachable(ClientError):
    pass


class BadReply(ClientError):
    def __init__(self, asked: str, status: int, why: str, shown: str) -> None:
        super().__init__(f"{asked} answered {status} with no reply of this service: {why}; it begins {shown!r}")
        self.asked, self.status, self.why, self.shown = asked, status, why, shown


class Untrusted(ClientError):
    pass


class BadSignature(Untrusted):
    pass


class BadLetter(Untrusted):
    pass


class WrongOrder(Untrusted):
    pass


class Refused(ClientError):
    """`status` is HTTP's, `code` the service's own where it has one ("400", "XMRTO-ERROR-004", "BadAmount"), `message`
    its text. `reason` says more where the message is a fixed one; `field` is the request's field that is named there,
    or "". `retry_after`: seconds to wait, where the service says so."""

    def __init__(
        self, status: int, code: str, message: str, reason: str = "", field: str = "", retry_after: int | None = None
    ) -> None:
        super().__init__(": ".join(part for part in (code, message, reason) if part))
        self.status, self.code, self.message = status, code, message
        self.reason, self.field, self.retry_after = reason, field, retry_after


class InvalidRequest(Refused):
    pass


class AccessDenied(Refused):
    pass


class NotFound(Refused):
    pass


class RateLimited(Refused):
    pass


class Unavailable(Refused):
    pass
