"""One tree of errors. A dialect renders a `Rejection` or an `Unavailable` in its own shape.

GlassTumblerError
├── NotATestNetwork            a main-network thing was shown to us: names what was seen and what is allowed
│   └── RefusedNode            a node whose genesis, chain id or nettype is not on the allow-list
├── SettingsError              a setting is unknown, malformed or contradicts another
├── RecordError                the record does not add up: carries the number of the entry
├── StoreError                 the store is locked, damaged, of another version or on a read-only disk
├── DatasetError               a dataset lacks a table, has other columns, or bytes that its manifest does not know
├── MethodError                a tracing method failed, or gave links that cannot be
├── ResultsError               a file of scores is missing, damaged or of another version
├── SparkError                 Spark is not installed, does not start, or a job of it failed
├── IllegalTransition          an event that the order's table does not know in this state
├── ChainError                 a chain or node failed us
│   ├── TransactionRefused     not accepted to the mempool: carries a reason code
│   ├── BlockRefused           our own block was judged invalid
│   ├── NodeAway               a node does not answer, or not as a node does
│   ├── NodeAnswer             a node answered with an error: carries its code
│   ├── HostGone               the process that held the chains went away in the middle of a call
│   ├── PaymentWaits           a Lightning payment is on its way, or cannot leave now: to be asked about again
│   └── PaymentFailed          a Lightning payment did not go through
├── NoFunds                    a wallet has too few spendable coins
├── Rejection                  the request is at fault: carries `field` and a text
│   ├── Malformed              not JSON, wrong type, missing or unknown field
│   ├── BadAddress             not an address of this coin on this test network
│   ├── BadAmount              not an amount (`currency` tells of which coin)
│   ├── OutOfBounds            an amount beyond the limits
│   ├── BadCurrency            a currency that the service does not take
│   ├── BadShares              percentages that do not add up
│   ├── BadDelay               a delay out of range
│   ├── BadFee                 a service fee out of range
│   ├── BadInvoice             not a Lightning invoice of this network
│   ├── InvoiceExpired
│   ├── InvoiceUsed            the preimage is already known
│   ├── NoRoute                no route is likely to carry the payment
│   ├── BadPaymentUrl          a payment-protocol URL that the laboratory does not answer
│   ├── BadPaymentRequest      ... that it answers, but what stands there cannot be paid
│   ├── WrongState             the order is not in a state that allows this
│   ├── UnknownOrder           no such order (or another customer's)
│   ├── UnknownEndpoint
│   ├── WrongMethod            carries the methods that are allowed
│   ├── TooLarge               a body over the limit
│   ├── KeyMissing             no key, or a key that nobody was given
│   ├── KeyBlocked
│   └── TooManyRequests        carries `retry_after` in seconds
└── Unavailable                the service is at fault
    ├── Maintenance
    ├── Overloaded
    ├── OutOfFunds             the service cannot cover the order
    └── Forced                 an answer that the lab told the service to give (carries the code)
"""

from __future__ import annotations


class GlassTumblerError(Exception):
    """Anything that Glass Tumbler reports in one clear line."""


class NotATestNetwork(GlassTumblerError):
    def __init__(self, what: str, seen: str, allowed: str) -> None:
        super().__init__(f"{what}: saw {seen}; allowed here: {allowed} (test networks only)")
        self.what, self.seen, self.allowed = what, seen, allowed


class RefusedNode(NotATestNetwork):
    pass


class SettingsError(GlassTumblerError):
    pass


class RecordError(GlassTumblerError):
    def __init__(self, number: int | None, text: str) -> None:
        super().__init__(f"entry {number}: {text}" if number is not None else text)
        self.number = number


class StoreError(GlassTumblerError):
    pass


class DatasetError(GlassTumblerError):
    pass


class MethodError(GlassTumblerError):
    pass


class ResultsError(GlassTumblerError):
    pass


class SparkError(GlassTumblerError):
    pass


class IllegalTransition(GlassTumblerError):
    pass


class ChainError(GlassTumblerError):
    pass


class TransactionRefused(ChainError):
    """`reason` is one of: malformed, missing-inputs, conflict, bad-signature, fee-too-low, dust,
    chain-limit, immature, nonce, funds, locked, other."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"transaction refused ({reason}): {text}")
        self.reason, self.text = reason, text


class BlockRefused(ChainError):
    pass


class NodeAway(ChainError):
    def __init__(self, kind: str, why: str) -> None:
        super().__init__(f"the {kind} node is away: {why}")
        self.kind, self.why = kind, why


class NodeAnswer(ChainError):
    """`code` and `text` are the node's own; 0 where it gave no code."""

    def __init__(self, kind: str, method: str, code: int, text: str) -> None:
        super().__init__(f"{kind} answered {method} with: {text} ({code})")
        self.kind, self.method, self.code, self.text = kind, method, code, text


class HostGone(ChainError):
    pass


class PaymentWaits(ChainError):
    pass


class PaymentFailed(ChainError):
    pass


class NoFunds(GlassTumblerError):
    pass


class Rejection(GlassTumblerError):
    """The request is at fault. `field` is the path of the offending field as the client wrote it."""

    def __init__(self, text: str, field: str = "") -> None:
        super().__init__(f"{field}: {text}" if field else text)
        self.field, self.text = field, text


class Malformed(Rejection):
    pass


class BadAddress(Rejection):
    pass


class BadAmount(Rejection):
    def __init__(self, text: str, field: str = "", currency: str = "btc") -> None:
        super().__init__(text, field)
        self.currency = currency


class OutOfBounds(Rejection):
    pass


class BadCurrency(Rejection):
    pass


class BadShares(Rejection):
    pass


class BadDelay(Rejection):
    pass


class BadFee(Rejection):
    pass


class BadInvoice(Rejection):
    pass


class InvoiceExpired(Rejection):
    pass


class InvoiceUsed(Rejection):
    pass


class NoRoute(Rejection):
    pass


class BadPaymentUrl(Rejection):
    pass


class BadPaymentRequest(Rejection):
    pass


class WrongState(Rejection):
    pass


class UnknownOrder(Rejection):
    pass


class UnknownEndpoint(Rejection):
    pass


class WrongMethod(Rejection):
    def __init__(self, text: str, allowed: tuple[str, ...]) -> None:
        super().__init__(text)
        self.allowed = allowed


class TooLarge(Rejection):
    pass


class KeyMissing(Rejection):
    pass


class KeyBlocked(Rejection):
    pass


class TooManyRequests(Rejection):
    def __init__(self, text: str, retry_after: int) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class Unavailable(GlassTumblerError):
    pass


class Maintenance(Unavailable):
    pass


class Overloaded(Unavailable):
    pass


class OutOfFunds(Unavailable):
    pass


class Forced(Unavailable):
    """The lab asked for this answer; `code` is the service's own (401, "XMRTO-ERROR-007", ...)."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the laboratory asked for the answer {code}")
        self.code = code
