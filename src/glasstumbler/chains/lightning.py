"""The Lightning model: real BOLT11 invoices on regtest, preimages, routes with a chance of success, moving liquidity.

A model: no peer-to-peer protocol, no HTLCs, no channel transactions on the BTC chain; a payment moves at once or not
at all. What is kept from the real network: invoices signed by node keys, a preimage as the proof of payment, channels
with a balance on each side that payments use up, fees by hop, an invoice that is paid once.

All state is in one SQLite file, so that a restarted laboratory knows what it issued and paid.
"""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from glasstumbler.chains import bolt11
from glasstumbler.chains.bolt11 import Invoice
from glasstumbler.chains.guard import check_node
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.lightning_graph import Channel, Graph, hub_channels, own_channels
from glasstumbler.chains.lightning_graph import Path as Way
from glasstumbler.clock import Clock
from glasstumbler.engine.commands import Route
from glasstumbler.errors import BadInvoice, ChainError, InvoiceExpired, InvoiceUsed, NoRoute, PaymentFailed, StoreError

LAB: Final = "lab"
"""The node that issues invoices: nobody's service."""
NETWORK: Final = "regtest"
_HUBS: Final = [f"hub-{number:02}" for number in range(1, 13)]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS nodes (alias TEXT PRIMARY KEY, public BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS channels (
    number INTEGER PRIMARY KEY,
    a TEXT NOT NULL REFERENCES nodes (alias),
    b TEXT NOT NULL REFERENCES nodes (alias),
    capacity INTEGER NOT NULL,      -- msat
    balance INTEGER NOT NULL,       -- msat that a can send to b
    base_msat INTEGER NOT NULL,
    ppm INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS invoices (
    number INTEGER PRIMARY KEY,
    payment_hash BLOB NOT NULL UNIQUE,
    preimage BLOB NOT NULL,
    expires INTEGER NOT NULL        -- epoch seconds
);
CREATE TABLE IF NOT EXISTS payments (
    key TEXT PRIMARY KEY,           -- the payer's own, for asking again
    payment_hash BLOB NOT NULL,
    payer TEXT NOT NULL,
    amount_msat INTEGER NOT NULL,
    time INTEGER NOT NULL,
    preimage BLOB,                  -- null: it failed, for this reason
    fee_msat INTEGER,
    route TEXT,
    reason TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS paid_once ON payments (payment_hash) WHERE preimage IS NOT NULL;
"""


class LightningPayment(NamedTuple):
    """A payment that went through. `route` names the nodes from payer to payee; hashes and preimage in hex."""

    payment_hash: str
    preimage: str
    amount_msat: int
    fee_msat: int
    route: tuple[str, ...]
    time: int


class LightningNetwork:
    """Safe from any thread. `services` are the aliases of the nodes that pay."""

    coin = "msat"
    network = NETWORK
    node = "in-process"
    model = True

    def __init__(
        self,
        ring: KeyRing,
        clock: Clock,
        chance: random.Random,
        services: Sequence[str],
        folder: Path | None = None,
    ) -> None:
        """`folder` None: in memory; otherwise lightning.sqlite there, made or reopened. `chance` draws the channels
        of nodes that are new. StoreError if the file cannot be used or belongs to another seed."""
        check_node("lightning", network=NETWORK)
        self._ring, self._clock, self._chance = ring, clock, chance
        self._lock = threading.RLock()
        self._db = _connect(folder)
        try:
            with self._db:
                self._load([*_HUBS, LAB, *services])
        except BaseException:
            self._db.close()
            raise

    def invoice(self, amount_msat: int, expiry: int = bolt11.DEFAULT_EXPIRY, description: str = "") -> str:
        """A BOLT11 invoice of the lab's node; `expiry` in seconds. BadInvoice if the amount is not positive."""
        if amount_msat <= 0:
            raise BadInvoice("an invoice is for a positive amount")
        now = self._clock.now()
        secret = self._secret(LAB)
        with self._writing():
            (number,) = self._db.execute("SELECT count(*) FROM invoices").fetchone()
            preimage = sha256(b"preimage" + secret + number.to_bytes(8, "big")).digest()
            asked = Invoice(
                payment_hash=sha256(preimage).digest(),
                payment_secret=sha256(b"payment secret" + preimage).digest(),
                timestamp=now,
                amount_msat=amount_msat,
                description=description,
                expiry=expiry,
            )
            text = bolt11.encode(asked, secret)
            self._db.execute(
                "INSERT INTO invoices VALUES (?, ?, ?, ?)", (number, asked.payment_hash, preimage, asked.expires)
            )
        return text

    def lookup(self, payment_hash: str) -> str | None:
        """State of an invoice of the lab's node: open, paid or expired; None if it never issued one."""
        digest = bytes.fromhex(payment_hash)
        with self._lock:
            row = self._db.execute("SELECT expires FROM invoices WHERE payment_hash = ?", (digest,)).fetchone()
            if row is None:
                return None
            if self._is_paid(digest):
                return "paid"
            return "expired" if self._clock.now() > row[0] else "open"

    def check_route(self, invoice: str, payer: str) -> Route:
        """How many ways without a common channel could carry it, and the chance of the likeliest; Route(0, 0.0) if
        there is none. BadInvoice, NotATestNetwork, InvoiceExpired, InvoiceUsed."""
        asked = bolt11.decode(invoice)
        with self._lock:
            self._check(asked)
            ways = self._ways(asked, payer)
        return Route(len(ways), ways[0].probability if ways else 0.0)

    def paid(self, key: str) -> LightningPayment | None:
        """What became of the payment under this key; None if it was never tried. PaymentFailed if it failed."""
        with self._lock:
            row = self._db.execute(
                "SELECT payment_hash, preimage, amount_msat, fee_msat, route, time, reason FROM payments WHERE key = ?",
                (key,),
            ).fetchone()
        if row is None:
            return None
        digest, preimage, amount, fee, route, time, reason = row
        if preimage is None:
            raise PaymentFailed(reason)
        return LightningPayment(digest.hex(), preimage.hex(), amount, fee, tuple(route.split()), time)

    def pay(self, payer: str, invoice: str, key: str) -> LightningPayment:
        """Pay an invoice from this node. `key` is the payer's own: under the same key the first outcome is told again
        and nothing is paid twice. Under another key, a paid invoice is InvoiceUsed.

        Ways are tried from the likeliest on. BadInvoice, NotATestNetwork, InvoiceExpired, NoRoute leave no trace;
        PaymentFailed (no way had the liquidity) is kept as the outcome of the key.
        """
        asked = bolt11.decode(invoice)
        with self._lock:
            done = self.paid(key)
            if done is not None:
                if done.payment_hash != asked.payment_hash.hex():
                    raise ChainError(f"the key {key} has paid another invoice")
                return done
            self._check(asked)
            ways = self._ways(asked, payer)
            if not ways:
                raise NoRoute(f"no channels from {payer} to the payee can carry {asked.amount_msat} msat")
            way = next((way for way in ways if way.has_liquidity()), None)
            row = self._db.execute(
                "SELECT preimage FROM invoices WHERE payment_hash = ?", (asked.payment_hash,)
            ).fetchone()
            if way is None or row is None:
                reason = "no way had the liquidity" if row else "the payee knows no such payment hash"
                raise self._failed(payer, asked, key, reason)
            return self._settle(payer, asked, key, way, row[0])

    def sendable(self, payer: str) -> int:
        """What a node's own channels hold on its side, msat."""
        with self._lock:
            return sum(channel.sendable(payer) for channel in self._graph.channels if payer in (channel.a, channel.b))

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # Inside.

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._lock, self._db:
                yield
        except sqlite3.Error as error:
            raise StoreError(f"the Lightning store did not take a change: {error}") from error

    def _secret(self, alias: str) -> bytes:
        return self._ring.secret("lightning", alias, "lab", 0)

    def _load(self, aliases: Sequence[str]) -> None:
        """Nodes and channels from the file; nodes that it does not know join the network."""
        known = dict(self._db.execute("SELECT alias, public FROM nodes"))
        keys = {alias: self._ring.public("lightning", alias, "lab", 0) for alias in {*known, *aliases}}
        if any(keys[alias] != public for alias, public in known.items()):
            raise StoreError("the Lightning network in this folder was begun with another seed")
        self._alias = {public: alias for alias, public in keys.items()}
        columns = ", ".join(Channel.__struct_fields__)
        rows = self._db.execute(f"SELECT {columns} FROM channels")
        self._graph = Graph((Channel(*row) for row in rows), hidden=keys.keys() - set(_HUBS))
        for alias in aliases:
            if alias not in known:
                self._db.execute("INSERT INTO nodes VALUES (?, ?)", (alias, keys[alias]))
        if not known:
            self._add(list(hub_channels(_HUBS, self._chance)))
        for alias in aliases:
            if alias not in known and alias not in _HUBS:
                first = len(self._graph.channels) + 1
                self._add(list(own_channels(alias, _HUBS, first, alias != LAB, self._chance)))

    def _add(self, channels: Sequence[Channel]) -> None:
        for channel in channels:
            self._graph.add(channel)
            self._db.execute("INSERT INTO channels VALUES (?, ?, ?, ?, ?, ?, ?)", msgspec.structs.astuple(channel))

    def _is_paid(self, payment_hash: bytes) -> bool:
        query = "SELECT 1 FROM payments WHERE payment_hash = ? AND preimage IS NOT NULL"
        return self._db.execute(query, (payment_hash,)).fetchone() is not None

    def _check(self, asked: Invoice) -> None:
        if not asked.amount_msat:
            raise BadInvoice("the invoice names no amount")
        if self._is_paid(asked.payment_hash):
            raise InvoiceUsed("this invoice was paid already")
        if self._clock.now() > asked.expires:
            raise InvoiceExpired("this invoice has expired")

    def _ways(self, asked: Invoice, payer: str) -> list[Way]:
        if payer not in self._alias.values():
            raise ChainError(f"no Lightning node is called {payer}")
        payee = self._alias.get(asked.payee or b"")
        if payee is None or payee == payer:
            return []
        return self._graph.paths(payer, payee, asked.amount_msat or 0)

    def _settle(self, payer: str, asked: Invoice, key: str, way: Way, preimage: bytes) -> LightningPayment:
        route = [hop.node for hop in way.hops] + [way.hops[-1].channel.other(way.hops[-1].node)]
        with self._writing():
            self._db.execute(
                "INSERT INTO payments (key, payment_hash, payer, amount_msat, time, preimage, fee_msat, route)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key,
                    asked.payment_hash,
                    payer,
                    asked.amount_msat,
                    self._clock.now(),
                    preimage,
                    way.fee,
                    " ".join(route),
                ),
            )
            for hop in way.hops:
                sent = -hop.amount if hop.node == hop.channel.a else hop.amount
                self._db.execute(
                    "UPDATE channels SET balance = balance + ? WHERE number = ?", (sent, hop.channel.number)
                )
        for hop in way.hops:
            hop.channel.move(hop.node, hop.amount)
        done = self.paid(key)
        if done is None:
            raise ChainError(f"the payment under {key} was not kept")
        return done

    def _failed(self, payer: str, asked: Invoice, key: str, reason: str) -> PaymentFailed:
        with self._writing():
            self._db.execute(
                "INSERT INTO payments (key, payment_hash, payer, amount_msat, time, reason) VALUES (?, ?, ?, ?, ?, ?)",
                (key, asked.payment_hash, payer, asked.amount_msat, self._clock.now(), reason),
            )
        return PaymentFailed(reason)


def _connect(folder: Path | None) -> sqlite3.Connection:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    name = ":memory:" if folder is None else str(folder / "lightning.sqlite")
    try:
        connection = sqlite3.connect(name, check_same_thread=False, timeout=10)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(_SCHEMA)
    except sqlite3.Error as problem:
        raise StoreError(f"the Lightning store {name} cannot be used: {problem}") from problem
    return connection
