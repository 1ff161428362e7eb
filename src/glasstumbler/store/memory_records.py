"""`Records` over dictionaries: the same documents, digests and entries, found without a database.

Every list comes in the order that the queries of `Records` name, so the same units leave the same entries.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Final, Never

from glasstumbler.engine import desk, ledger
from glasstumbler.engine.coins import Coin
from glasstumbler.engine.desk import Deposit, DepositState
from glasstumbler.engine.order import Order
from glasstumbler.engine.payment import Payment, PaymentState
from glasstumbler.errors import RecordError, StoreError
from glasstumbler.store.records import Records, Row
from glasstumbler.store.rows import Code, KeyRow, Watched

KeepEntry = Callable[[bytes], None]
"""Takes the body of each entry, in order."""
_OPEN: Final = (PaymentState.STORED, PaymentState.SENT, PaymentState.MINED)
_ARRIVAL: Final = attrgetter("first_seen", "txid", "vout")
_PLACE: Final = attrgetter("txid", "vout")
_NUMBER: Final = attrgetter("number")
_HEIGHT: Final = itemgetter(0)


class _NoDatabase:
    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Never:
        raise StoreError(f"a record in memory answers no SQL: {sql}")

    executemany = stream = execute


class MemoryRecords(Records):
    """One for the whole run. What it hands out is the document itself."""

    def __init__(self, keep: KeepEntry | None) -> None:
        super().__init__(_NoDatabase())
        self._head = (0, ledger.GENESIS_HASH)
        self._kept: list[bytes] | None = None if keep else []
        self._keep: KeepEntry = keep or self._kept.append  # type: ignore[union-attr]
        self.booked: dict[str, int] = defaultdict(int)
        """The balance of the account `coins`, all services together."""
        self._orders: dict[int, Order] = {}
        self._named: dict[tuple[str, str], Order] = {}
        self._states: dict[int, str] = {}
        self._counts: dict[tuple[str, str], int] = defaultdict(int)
        self._wakes = _Wakes()
        self._watched: dict[tuple[str, bytes], Watched] = {}
        self._floats: dict[tuple[str, str], list[Watched]] = defaultdict(list)
        self._deposits: dict[tuple[str, str], dict[int, Deposit]] = defaultdict(dict)
        """By coin and txid, then by vout."""
        self._by_order: dict[int, list[Deposit]] = defaultdict(list)
        self._ripening: dict[str, dict[tuple[str, int], Deposit]] = defaultdict(dict)
        self._coins_by_number: dict[int, Coin] = {}
        self._coins_at: dict[tuple[str, str], list[Coin]] = defaultdict(list)
        self._ready: dict[tuple[str, str], list[int]] = defaultdict(list)
        """Numbers of coins that are mined and not spent, rising."""
        self._is_ready: set[int] = set()
        self._payments_by_number: dict[int, Payment] = {}
        self._payments_at: dict[tuple[str, str], list[Payment]] = defaultdict(list)
        self._under_way: dict[str, dict[int, Payment]] = defaultdict(dict)
        self._newest: dict[str, int] = defaultdict(int)
        self._mixed: set[str] = set()
        self._codes: dict[tuple[str, str], Code] = {}
        self._keys: dict[tuple[str, bytes], KeyRow] = {}
        self._facts: dict[str, str] = {}
        self._blocks: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self._told_blocks: dict[str, list[str]] = defaultdict(list)
        """Each as its digest wants it."""

    @property
    def written(self) -> tuple[int, int]:
        """Changes whenever a unit has changed something."""
        return self.head()[0], len(self._docs) + len(self._moved)

    # -- the chain of entries ---------------------------------------------------------------------------------

    def head(self) -> tuple[int, bytes]:
        assert self._head is not None
        return self._head

    def _add_entry(self, number: int, entry: ledger.Entry, raw: bytes, link: bytes) -> None:
        self._keep(raw)
        for account, coin, amount in entry.postings:
            if account == ledger.COINS:
                self.booked[coin] += amount

    def entries(self, first: int = 1) -> Iterator[tuple[int, bytes, bytes]]:
        """StoreError if they were given away."""
        if self._kept is None:
            raise StoreError("the entries of this record were written to a file")
        previous = ledger.GENESIS_HASH
        for number, raw in enumerate(self._kept, 1):
            previous = ledger.link(previous, number, raw)
            if number >= first:
                yield number, raw, previous

    # -- orders -----------------------------------------------------------------------------------------------

    def add_order(self, order: Order) -> None:
        self._orders[order.number] = self._named[order.service, order.id] = order
        self.save_order(order)

    def save_order(self, order: Order) -> None:
        number, state = order.number, order.state.value
        self._note("order", str(number), order)
        before = self._states.get(number)
        if before != state:
            if before is not None:
                self._counts[order.service, before] -= 1
            self._counts[order.service, state] += 1
            self._states[number] = state
        self._wakes.set(number, desk.wake(order))

    def order(self, service: str, name: str) -> Order | None:
        return self._named.get((service, name))

    def has_order(self, service: str, name: str) -> bool:
        return (service, name) in self._named

    def order_by_number(self, number: int) -> Order:
        if number not in self._orders:
            raise RecordError(None, f"order {number} is missing")
        return self._orders[number]

    def orders_by_number(self, numbers: Collection[int]) -> dict[int, Order]:
        return {number: self._orders[number] for number in sorted(numbers) if number in self._orders}

    def due_orders(self, now: int, limit: int, after: tuple[int, int] = (-1, 0)) -> list[Order]:
        return [self._orders[number] for number in self._wakes.until(now, limit, after)]

    def next_wake(self, after: int) -> int | None:
        return self._wakes.next(after)

    def order_states(self) -> dict[tuple[str, str], int]:
        return self._counts

    def all_orders(self) -> Iterator[Order]:
        return iter(self._orders.values())

    # -- keys that are paid to ----------------------------------------------------------------------------------

    def watch(self, watched: Watched) -> None:
        self._docs.append(("watch", f"{watched.coin}:{watched.key.hex()}", ledger.digest(repr(watched[2:]).encode())))
        self._watched[watched.coin, watched.key] = watched
        if watched.branch == "float":
            self._floats[watched.service, watched.coin].append(watched)

    def watched(self, coin: str, keys: Collection[bytes]) -> dict[bytes, Watched]:
        known = self._watched
        return {key: known[coin, key] for key in keys if (coin, key) in known}

    def all_watched(self) -> Iterator[Watched]:
        return iter(self._watched.values())

    def float_keys(self, service: str, coin: str) -> list[Watched]:
        return self._floats[service, coin]

    def float_places(self, service: str, coin: str) -> set[int]:
        return {
            each.index
            for each in self._coins_by_number.values()
            if (each.service, each.coin, each.branch) == (service, coin, "float")
        }

    # -- deposits -----------------------------------------------------------------------------------------------

    def put_deposit(self, deposit: Deposit, mature: int | None) -> None:
        deposit.mature = mature
        self._note("deposit", f"{deposit.coin}:{deposit.txid}:{deposit.vout}", deposit)
        there = self._deposits[deposit.coin, deposit.txid]
        if deposit.vout not in there:
            there[deposit.vout] = deposit
            self._by_order[deposit.order].append(deposit)
        if mature is not None and deposit.state is DepositState.SEEN:
            self._ripening[deposit.coin][deposit.txid, deposit.vout] = deposit
        else:
            self._ripening[deposit.coin].pop((deposit.txid, deposit.vout), None)

    def deposits_of_all(self, orders: Collection[int]) -> dict[int, list[Deposit]]:
        return {number: sorted(self._by_order.get(number, ()), key=_ARRIVAL) for number in orders}

    def deposits_in(self, coin: str, txids: Collection[str]) -> list[Deposit]:
        known = self._deposits
        found = [each for txid in txids if (coin, txid) in known for each in known[coin, txid].values()]
        return sorted(found, key=_PLACE)

    def maturing(self, coin: str, height: int) -> list[Deposit]:
        found = [each for each in self._ripening[coin].values() if each.mature is not None and each.mature <= height]
        return sorted(found, key=attrgetter("mature", "txid", "vout"))

    def unmined_deposits(self, coin: str) -> list[Deposit]:
        found = [
            each for each in self.all_deposits()
            if each.coin == coin and each.state is not DepositState.GONE and each.height is None
        ]  # fmt: skip
        return sorted(found, key=_PLACE)

    def all_deposits(self) -> Iterator[Deposit]:
        for there in self._deposits.values():
            yield from there.values()

    # -- coins --------------------------------------------------------------------------------------------------

    def add_coin(self, coin: Coin) -> None:
        self._coins_by_number[coin.number] = coin
        self._coins_at[coin.coin, coin.txid].append(coin)
        self.save_coin(coin)

    def save_coin(self, coin: Coin) -> None:
        number = coin.number
        self._note("coin", str(number), coin)
        ready = coin.spent_by is None and coin.height is not None
        if ready is (number in self._is_ready):
            return
        numbers = self._ready[coin.service, coin.coin]
        if ready:
            self._is_ready.add(number)
            insort(numbers, number)
        else:
            self._is_ready.remove(number)
            del numbers[bisect_left(numbers, number)]

    def coin(self, number: int) -> Coin:
        if number not in self._coins_by_number:
            raise RecordError(None, f"coin {number} is missing")
        return self._coins_by_number[number]

    def coins(self, numbers: Collection[int]) -> dict[int, Coin]:
        return {number: self._coins_by_number[number] for number in sorted(numbers)}

    def coin_at(self, coin: str, txid: str, vout: int) -> Coin | None:
        return next((each for each in self._coins_at.get((coin, txid), ()) if each.vout == vout), None)

    def account_coins(self, coin: str, address: str) -> Iterator[Coin]:
        return iter(sorted(self._coins_at.get((coin, address), ()), key=_PLACE, reverse=True))

    def coins_in(self, coin: str, txids: Collection[str]) -> list[Coin]:
        known = self._coins_at
        return sorted((each for txid in txids if (coin, txid) in known for each in known[coin, txid]), key=_PLACE)

    def ready_coins(self, service: str, coin: str, limit: int) -> list[Coin]:
        known = self._coins_by_number
        return [known[number] for number in self._ready[service, coin][:limit]]

    def all_coins(self) -> Iterator[Coin]:
        return iter(self._coins_by_number.values())

    # -- payments -----------------------------------------------------------------------------------------------

    def add_payment(self, payment: Payment) -> None:
        self._payments_by_number[payment.number] = payment
        self._payments_at[payment.coin, payment.txid].append(payment)
        self.save_payment(payment)

    def save_payment(self, payment: Payment, mature: int | None = None) -> None:
        payment.mature = mature
        self._note("payment", str(payment.number), payment)
        if payment.state in _OPEN:
            if payment.number < self._newest[payment.coin] and payment.number not in self._under_way[payment.coin]:
                self._mixed.add(payment.coin)
            self._newest[payment.coin] = max(self._newest[payment.coin], payment.number)
            self._under_way[payment.coin][payment.number] = payment
        else:
            self._under_way[payment.coin].pop(payment.number, None)

    def payment(self, number: int) -> Payment:
        if number not in self._payments_by_number:
            raise RecordError(None, f"payment {number} is missing")
        return self._payments_by_number[number]

    def payments(self, numbers: Collection[int]) -> dict[int, Payment]:
        return {number: self._payments_by_number[number] for number in sorted(numbers)}

    def payments_in(self, coin: str, txids: Collection[str]) -> list[Payment]:
        known = self._payments_at
        return sorted((each for txid in txids if (coin, txid) in known for each in known[coin, txid]), key=_NUMBER)

    def open_payments(self, coin: str, states: Iterable[PaymentState], limit: int = 100_000) -> list[Payment]:
        wanted = tuple(states)
        return sorted((each for each in self._under_way[coin].values() if each.state in wanted), key=_NUMBER)[:limit]

    def on_their_way(self, coin: str, limit: int) -> list[tuple[int, str, PaymentState]]:
        found: list[tuple[int, str, PaymentState]] = []
        for each in self._in_number_order(coin):
            if each.state is not PaymentState.MINED:
                found.append((each.number, each.txid, each.state))
                if len(found) == limit:
                    break
        return found

    def _in_number_order(self, coin: str) -> Iterable[Payment]:
        """Payments under way. They come in that order, unless one comes back."""
        if coin in self._mixed:
            self._mixed.remove(coin)
            self._under_way[coin] = dict(sorted(self._under_way[coin].items()))
        return self._under_way[coin].values()

    def settling(self, coin: str, height: int) -> list[Payment]:
        found = [
            each
            for each in self._under_way[coin].values()
            if each.state is PaymentState.MINED and each.mature is not None and each.mature <= height
        ]
        return sorted(found, key=_NUMBER)

    def all_payments(self) -> Iterator[Payment]:
        return iter(self._payments_by_number.values())

    # -- API keys, codes ----------------------------------------------------------------------------------------

    def add_key(self, key: KeyRow) -> None:
        self._note("account", key.id, key)
        self._keys[key.service, key.key_hash] = key

    def key(self, service: str, key_hash: bytes) -> KeyRow | None:
        return self._keys.get((service, key_hash))

    def code(self, service: str, code: str) -> Code | None:
        return self._codes.get((service, code))

    def put_code(self, code: Code) -> None:
        self._note("code", str(code.number), code)
        self._codes[code.service, code.code] = code

    def all_codes(self) -> Iterator[Code]:
        return iter(self._codes.values())

    # -- where we stand -----------------------------------------------------------------------------------------

    def next(self, name: str) -> int:
        number = self._counters[name] = self._counters.get(name, 0) + 1
        return number

    def cursor(self, coin: str) -> tuple[int, str] | None:
        blocks = self._blocks[coin]
        return blocks[-1] if blocks else None

    def push_block(self, coin: str, height: int, block_hash: str, keep: int) -> None:
        blocks, told = self._blocks[coin], self._told_blocks[coin]
        blocks.append((height, block_hash))
        told.append(repr(blocks[-1]))
        gone = bisect_right(blocks, height - keep, key=_HEIGHT)
        del blocks[:gone], told[:gone]
        self._moved.add(coin)

    def pop_block(self, coin: str, height: int) -> None:
        blocks = self._blocks[coin] = [block for block in self._blocks[coin] if block[0] != height]
        self._told_blocks[coin] = [*map(repr, blocks)]
        self._moved.add(coin)

    def cursor_digest(self, coin: str) -> str:
        return ledger.digest(f"[{', '.join(self._told_blocks[coin])}]".encode())

    def meta(self, key: str) -> str | None:
        return self._facts.get(key)

    def set_meta(self, key: str, value: str) -> None:
        self._docs.append(("meta", key, ledger.digest(value.encode())))
        self._facts[key] = value

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        raise StoreError(f"a record in memory answers no SQL: {sql}")


class _Wakes:
    """Orders by the time at which something is next due."""

    def __init__(self) -> None:
        self._when: dict[int, int] = {}
        self._times: list[int] = []
        self._at: dict[int, set[int]] = {}

    def set(self, number: int, when: int | None) -> None:
        before = self._when.get(number)
        if before == when:
            return
        if before is not None:
            self._leave(number, before)
        if when is None:
            del self._when[number]
            return
        self._when[number] = when
        if when in self._at:
            self._at[when].add(number)
        else:
            self._at[when] = {number}
            insort(self._times, when)

    def _leave(self, number: int, when: int) -> None:
        at = self._at[when]
        at.remove(number)
        if not at:
            del self._at[when], self._times[bisect_left(self._times, when)]

    def until(self, now: int, limit: int, after: tuple[int, int]) -> list[int]:
        """By time, then by number, behind `after`."""
        found: list[int] = []
        first, past = after
        for when in self._times[bisect_left(self._times, first) : bisect_right(self._times, now)]:
            numbers = sorted(self._at[when])
            found += numbers if when > first else numbers[bisect_right(numbers, past) :]
            if len(found) >= limit:
                break
        return found[:limit]

    def next(self, after: int) -> int | None:
        at = bisect_right(self._times, after)
        return self._times[at] if at < len(self._times) else None
