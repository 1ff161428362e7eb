"""The yardstick: `POST /api/createTransaction` as it is conventionally built today.

FastAPI, pydantic models in and out, SQLAlchemy 2's async ORM on aiosqlite, one session and one commit for each
request, SQLite in WAL mode with synchronous FULL, uvicorn with uvloop and httptools, one process. It does the same
work as the laboratory: looks up the API key, validates addresses and amounts (with the laboratory's own address code,
so that neither side gains there), derives a fresh deposit key (likewise), writes order, outputs, watched key and a
hash-chained journal entry, and signs the reply with HMAC. A lock lets one request at a time append to the chain of
entries, as a chain needs it: without it, SQLite's own lock would be waited for by polling.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field, field_validator
from sqlalchemy import ForeignKey, LargeBinary, String, event, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.keys import KeyRing
from glasstumbler.clock import iso_offset
from glasstumbler.dialects import php
from glasstumbler.errors import BadAddress, NotATestNetwork

COIN = 10**8
FEE_PPM, PER_OUTPUT, LEAST = 20_000, 5_000, 100_000
EXPIRY = 72 * 3600
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
API_KEY = "benchmark"
BTC = FORMATS["btc"]


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    key_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    secret: Mapped[str]
    blocked: Mapped[bool] = mapped_column(default=False)


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(16), unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    status: Mapped[str] = mapped_column(index=True)
    address: Mapped[str] = mapped_column(default="")
    deposit: Mapped[int]
    fee: Mapped[int]
    delay: Mapped[int]
    ref_code: Mapped[str | None]
    created: Mapped[int]
    updated: Mapped[int]
    expires: Mapped[int] = mapped_column(index=True)
    outputs: Mapped[list["Output"]] = relationship(back_populates="order")


class Output(Base):
    __tablename__ = "outputs"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    address: Mapped[str]
    amount: Mapped[int]
    order: Mapped[Order] = relationship(back_populates="outputs")


class WatchedKey(Base):
    __tablename__ = "watched_keys"
    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))


class JournalEntry(Base):
    __tablename__ = "journal"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str]
    hash: Mapped[bytes] = mapped_column(LargeBinary)


class CreateIn(BaseModel):
    payouts: dict[str, Decimal] = Field(min_length=1, max_length=10)
    delay: int = Field(ge=0, le=72)
    ref_code: str | None = Field(default=None, alias="refCode", max_length=64)

    @field_validator("payouts")
    @classmethod
    def check(cls, payouts: dict[str, Decimal]) -> dict[str, Decimal]:
        for address, amount in payouts.items():
            try:
                BTC.key(address)
            except (BadAddress, NotATestNetwork) as error:
                raise ValueError(str(error)) from None
            units = amount * COIN
            if units != int(units) or units < LEAST:
                raise ValueError(f"{amount} is not an amount that can be paid")
        return payouts


class CreateOut(BaseModel):
    id: str
    status: str
    depositAddress: str  # noqa: N815
    depositAmount: float  # noqa: N815
    payouts: dict[str, str]
    fee: float
    delay: str
    updated: str
    created: str
    signature: str


def make_app(path: Path) -> FastAPI:
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    ring = KeyRing(secrets.token_bytes(32))
    appending = asyncio.Lock()

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA busy_timeout=5000")
        cursor.close()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with sessions() as session:
            session.add(Account(key_hash=_hash(API_KEY), secret="s" * 40))
            await session.commit()
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)

    async def session() -> AsyncIterator[AsyncSession]:
        async with sessions() as opened:
            yield opened

    Session = Annotated[AsyncSession, Depends(session)]  # noqa: N806

    async def customer(session: Session, authorization: Annotated[str, Header()]) -> Account:
        key = authorization.removeprefix("Bearer ")
        account = await session.scalar(select(Account).where(Account.key_hash == _hash(key)))
        if account is None:
            raise HTTPException(401, "Missing or invalid API key.")
        if account.blocked:
            raise HTTPException(403, "Account blocked or API access denied.")
        return account

    @app.post("/api/createTransaction")
    async def create(wanted: CreateIn, account: Annotated[Account, Depends(customer)], session: Session) -> CreateOut:
        total = sum(int(amount * COIN) for amount in wanted.payouts.values())
        fee = (total * FEE_PPM * 2 + 10**6) // (2 * 10**6) + PER_OUTPUT * len(wanted.payouts)
        now = int(time.time())
        order = Order(
            name="".join(secrets.choice(ALPHABET) for _ in range(16)),
            account_id=account.id,
            status="pending",
            deposit=total + fee,
            fee=fee,
            delay=wanted.delay,
            ref_code=wanted.ref_code,
            created=now,
            updated=now,
            expires=now + EXPIRY,
            outputs=[Output(address=a, amount=int(amount * COIN)) for a, amount in wanted.payouts.items()],
        )
        async with appending:
            session.add(order)
            await session.flush()
            key = BTC.own_key("p2wpkh", ring.secret("btc", "btcmix", "deposit", order.id))
            order.address = BTC.address(key)
            session.add(WatchedKey(key=key, order_id=order.id))
            last = await session.scalar(select(JournalEntry).order_by(JournalEntry.id.desc()).limit(1))
            body = f"order {order.id} {order.name} {order.address} {order.deposit} {now}"
            session.add(JournalEntry(body=body, hash=_link(last.hash if last else bytes(32), body)))
            await session.commit()
        fields: dict[str, Any] = {
            "id": order.name,
            "status": order.status,
            "depositAddress": order.address,
            "depositAmount": Decimal(order.deposit) / COIN,
            "payouts": dict.fromkeys(wanted.payouts, "0"),
            "fee": Decimal(order.fee) / COIN,
            "delay": str(order.delay),
            "updated": iso_offset(order.updated),
            "created": iso_offset(order.created),
        }
        return CreateOut(**fields, signature=php.sign(fields, account.secret))

    return app


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _link(previous: bytes, body: str) -> bytes:
    return hashlib.sha256(previous + body.encode()).digest()
