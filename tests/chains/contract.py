"""What every chain promises (chains/base.py), in-process or real: subclass `ChainContract`, name the class Test...,
and give a fixture `chain`. Only the `LabChain` and `Format` interfaces are used here.
"""

import secrets
import threading
from collections.abc import Sequence
from typing import ClassVar

import pytest

from glasstumbler.chains.base import LabChain, Outpoint, Output, Place, Signed, Spend
from glasstumbler.errors import BadAddress, ChainError, NotATestNetwork, TransactionRefused

NOWHERE = "12" * 32
FINAL = 0xFFFFFFFF


class ChainContract:
    """What a chain can do is told by class attributes; a test of what it cannot do skips."""

    coin: ClassVar[str]
    amount: ClassVar[int] = 1_000_000
    """An ordinary payment, base units."""
    rate: ClassVar[int] = 2
    """An ordinary fee rate."""
    kinds: ClassVar[tuple[str, ...]] = ()
    """Address kinds whose coins the laboratory can spend."""
    broadcasts: ClassVar[bool] = True
    """Takes raw transactions."""
    spends: ClassVar[bool] = True
    """Coins can be signed by us (`Format.sign`)."""
    chains_unconfirmed: ClassVar[bool] = True
    """A coin can be spent before it is mined."""
    replaces: ClassVar[bool] = False
    """A waiting transaction gives way to one that spends the same coin and pays more."""
    forgets: ClassVar[bool] = True
    """A reorganisation can leave out a transaction for good."""
    refuses_low_fees: ClassVar[bool] = True
    refuses_dust: ClassVar[bool] = True
    one_transaction: ClassVar[bool] = True
    """`pay_many` makes one transaction."""
    persists: ClassVar[bool] = False
    """`reopen` brings the chain back as it was."""
    main_network_addresses: ClassVar[tuple[str, ...]] = ()

    def reopen(self, chain: LabChain) -> LabChain:
        raise NotImplementedError

    def fund(self, chain: LabChain, kind: str, mined: bool = True) -> Spend:
        """A coin of a fresh key, paid by the faucet."""
        secret = secrets.token_bytes(32)
        key = chain.format.own_key(kind, secret)
        txid = chain.pay(chain.format.address(key), self.amount)
        if mined:
            chain.mine()
        return Spend(self.outpoint(chain, txid, key), self.amount, kind, secret)

    def outpoint(self, chain: LabChain, txid: str, key: bytes) -> Outpoint:
        """Of the coin that this transaction paid to this key."""
        tx = chain.transaction(txid)
        assert tx is not None
        return Outpoint(txid, [output.key for output in tx.outputs].index(key))

    def spend(self, chain: LabChain, spend: Spend, rate: int | None = None, sequence: int = FINAL) -> Signed:
        """Signed: most of the coin to a fresh address, the rest of what the fee leaves back to its own key."""
        own = chain.format.own_key(spend.kind, spend.secret)
        target = chain.format.key(chain.fresh_address())
        fee = chain.format.fee([spend.kind], [target, own], self.rate if rate is None else rate)
        paid = spend.amount // 2
        outputs = [Output(target, paid), Output(own, spend.amount - paid - fee)]
        return chain.format.sign([spend], outputs, sequence)

    def waiting(self, chain: LabChain, txids: Sequence[str]) -> list[str]:
        return [txid for txid in chain.mempool() if txid in txids]

    # Reading

    def test_it_says_what_it_is(self, chain: LabChain) -> None:
        assert chain.coin == chain.format.coin == self.coin
        assert chain.network and chain.node
        assert isinstance(chain.model, bool)

    def test_blocks_link_up(self, chain: LabChain) -> None:
        before, _ = chain.tip()
        assert chain.mine(3) == before + 3
        height, tip = chain.tip()
        assert height == before + 3
        for at in range(height, max(height - 5, 0), -1):
            block = chain.block(tip)
            assert (block.height, block.hash, chain.block_hash(at)) == (at, tip, tip)
            tip = block.previous
        assert chain.block_hash(height + 1) is None
        assert chain.block_hash(-1) is None

    def test_what_is_unknown_is_none(self, chain: LabChain) -> None:
        assert chain.transaction(NOWHERE) is None
        assert chain.place(NOWHERE) is None
        with pytest.raises(ChainError):
            chain.block(NOWHERE)

    def test_no_blocks_are_mined_for_nothing(self, chain: LabChain) -> None:
        tip = chain.tip()
        chain.mine(0)
        assert chain.tip() == tip

    # Paying

    def test_a_payment_waits_and_is_mined(self, chain: LabChain) -> None:
        address = chain.fresh_address()
        txid = chain.pay(address, self.amount)
        assert self.waiting(chain, [txid]) == [txid]
        assert chain.place(txid) == Place(None, None)
        tx = chain.transaction(txid)
        assert tx is not None and tx.txid == txid
        assert [o.amount for o in tx.outputs if o.key == chain.format.key(address)] == [self.amount]
        height = chain.mine()
        assert self.waiting(chain, [txid]) == []
        assert chain.place(txid) == Place(height, chain.tip()[1])
        assert chain.transaction(txid) == tx
        assert tx in chain.block(chain.tip()[1]).txs

    def test_many_payments_wait_at_once(self, chain: LabChain) -> None:
        txids = [chain.pay(chain.fresh_address(), self.amount + n) for n in range(30)]
        assert self.waiting(chain, txids) == txids, "in order of arrival"
        chain.mine()
        assert self.waiting(chain, txids) == []
        block = chain.block(chain.tip()[1])
        assert set(txids) <= {tx.txid for tx in block.txs}

    def test_many_outputs_at_once_also_to_one_address(self, chain: LabChain) -> None:
        first, second = (chain.format.key(chain.fresh_address()) for _ in range(2))
        wanted = [Output(first, self.amount), Output(second, self.amount + 1), Output(first, self.amount + 2)]
        txid = chain.pay_many(wanted)
        place = Place(chain.mine(), chain.tip()[1])
        assert chain.place(txid) == place
        made = [o for tx in chain.block(chain.tip()[1]).txs for o in tx.outputs if o.key in (first, second)]
        assert sorted(made) == sorted(wanted)
        if self.one_transaction:
            tx = chain.transaction(txid)
            assert tx is not None and set(wanted) <= set(tx.outputs)

    def test_one_address_can_be_paid_twice(self, chain: LabChain) -> None:
        address = chain.fresh_address()
        first, second = chain.pay(address, self.amount), chain.pay(address, self.amount)
        assert first != second
        chain.mine()
        place = chain.place(first)
        assert place is not None and place == chain.place(second)

    def test_fresh_addresses_differ_and_are_test_addresses(self, chain: LabChain) -> None:
        addresses = [chain.fresh_address() for _ in range(5)]
        assert len(set(addresses)) == 5
        for address in addresses:
            assert chain.format.address(chain.format.key(address)) == address
        for kind in self.kinds:
            assert chain.format.key(chain.fresh_address(kind))

    def test_main_network_addresses_are_refused(self, chain: LabChain) -> None:
        for address in self.main_network_addresses:
            with pytest.raises(NotATestNetwork):
                chain.pay(address, self.amount)
        with pytest.raises(BadAddress):
            chain.pay("no address", self.amount)

    def test_the_mempool_can_be_walked_while_it_changes(self, chain: LabChain) -> None:
        for _ in range(3):
            chain.pay(chain.fresh_address(), self.amount)
        before = len(chain.mempool())
        for _ in chain.mempool():
            chain.pay(chain.fresh_address(), self.amount)
        assert len(chain.mempool()) == 2 * before

    def test_several_threads(self, chain: LabChain) -> None:
        paid: list[str] = []

        def pay() -> None:
            for _ in range(5):
                paid.append(chain.pay(chain.fresh_address(), self.amount))

        threads = [threading.Thread(target=pay) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            chain.mine()
        for thread in threads:
            thread.join(60)
        height = chain.mine()
        assert len(set(paid)) == 20
        places = [chain.place(txid) for txid in paid]
        assert all(place is not None and place.height is not None for place in places)
        blocks = [chain.block(chain.block_hash(at) or "") for at in range(height - 3, height + 1)]
        mined = [tx.txid for block in blocks for tx in block.txs]
        assert [mined.count(txid) for txid in paid] == [1] * 20

    # Spending our own coins

    def test_each_kind_of_coin_can_be_spent(self, chain: LabChain) -> None:
        for kind in self.kinds:
            signed = self.spend(chain, self.fund(chain, kind))
            assert signed.fee > 0
            assert chain.broadcast(signed.raw) == signed.txid
            tx = chain.transaction(signed.txid)
            assert tx is not None and tx.raw == signed.raw
            chain.mine()
            place = chain.place(signed.txid)
            assert place is not None and place.height == chain.tip()[0], kind

    def test_broadcasting_again_is_harmless(self, chain: LabChain) -> None:
        if not (self.broadcasts and self.spends):
            pytest.skip("takes no raw transactions")
        signed = self.spend(chain, self.fund(chain, self.kinds[0]))
        for _ in range(2):
            assert chain.broadcast(signed.raw) == signed.txid
        assert list(chain.mempool()).count(signed.txid) == 1
        chain.mine()
        place = chain.place(signed.txid)
        assert chain.broadcast(signed.raw) == signed.txid
        assert self.waiting(chain, [signed.txid]) == []
        assert chain.place(signed.txid) == place

    def test_many_at_once_and_one_refused_keeps_back_no_other(self, chain: LabChain) -> None:
        if not (self.broadcasts and self.spends):
            pytest.skip("takes no raw transactions")
        one, two = (self.spend(chain, self.fund(chain, self.kinds[0])) for _ in range(2))
        said = chain.broadcast_all([one.raw, b"\0" * 10, two.raw, one.raw])
        assert [refused is None for refused in said] == [True, False, True, True]
        assert self.waiting(chain, [one.txid, two.txid]) == [one.txid, two.txid]
        chain.mine()
        assert chain.broadcast_all([two.raw]) == [None]
        assert all(chain.place(signed.txid) == Place(*chain.tip()) for signed in (one, two))

    def test_a_coin_can_be_spent_before_it_is_mined(self, chain: LabChain) -> None:
        if not (self.spends and self.chains_unconfirmed):
            pytest.skip("spends only what is mined")
        parent = self.fund(chain, self.kinds[0], mined=False)
        child = self.spend(chain, parent)
        chain.broadcast(child.raw)
        chain.mine()
        assert chain.place(child.txid) == chain.place(parent.outpoint.txid)

    def test_the_second_of_two_spends_is_refused(self, chain: LabChain) -> None:
        if not self.spends:
            pytest.skip("cannot be spent by us")
        coin = self.fund(chain, self.kinds[0])
        first, second = (self.spend(chain, coin) for _ in range(2))
        assert first.txid != second.txid
        chain.broadcast(first.raw)
        with pytest.raises(TransactionRefused) as refused:
            chain.broadcast(second.raw)
        assert refused.value.reason in ("conflict", "nonce")
        assert chain.place(first.txid) == Place(None, None)
        assert chain.place(second.txid) is None
        chain.mine()
        with pytest.raises(TransactionRefused) as refused:
            chain.broadcast(second.raw)
        assert refused.value.reason in ("conflict", "nonce", "missing-inputs")

    def test_replacement_by_fee(self, chain: LabChain) -> None:
        if not self.spends:
            pytest.skip("cannot be spent by us")
        coin = self.fund(chain, self.kinds[0])
        first = self.spend(chain, coin, sequence=0xFFFFFFFD)
        better = self.spend(chain, coin, rate=self.rate * 3, sequence=0xFFFFFFFD)
        chain.broadcast(first.raw)
        if not self.replaces:
            with pytest.raises(TransactionRefused, match="conflict"):
                chain.broadcast(better.raw)
            assert chain.place(first.txid) == Place(None, None)
            return
        assert chain.broadcast(better.raw) == better.txid
        assert chain.place(first.txid) is None
        assert self.waiting(chain, [first.txid, better.txid]) == [better.txid]
        with pytest.raises(TransactionRefused) as refused:
            chain.broadcast(first.raw)
        assert refused.value.reason in ("fee-too-low", "conflict", "nonce")
        height = chain.mine()
        place = chain.place(better.txid)
        assert place is not None and place.height == height
        assert chain.place(first.txid) is None

    # Refusals

    def test_malformed_bytes_are_refused(self, chain: LabChain) -> None:
        if not self.broadcasts:
            pytest.skip("takes no raw transactions")
        tx = chain.transaction(chain.pay(chain.fresh_address(), self.amount))
        assert tx is not None
        for raw in (b"", b"\x00", b"no transaction", tx.raw[:-1], tx.raw + b"\x00", tx.raw[: len(tx.raw) // 2]):
            with pytest.raises(TransactionRefused) as refused:
                chain.broadcast(raw)
            assert refused.value.reason == "malformed"

    def test_a_coin_that_is_not_there_is_refused(self, chain: LabChain) -> None:
        if not self.spends:
            pytest.skip("cannot be spent by us")
        nothing = Spend(Outpoint(NOWHERE, 0), self.amount, self.kinds[0], secrets.token_bytes(32))
        with pytest.raises(TransactionRefused) as refused:
            chain.broadcast(self.spend(chain, nothing).raw)
        assert refused.value.reason in ("missing-inputs", "funds", "nonce")

    def test_another_keys_signature_is_refused(self, chain: LabChain) -> None:
        if not self.spends:
            pytest.skip("cannot be spent by us")
        for kind in self.kinds:
            stolen = self.fund(chain, kind)._replace(secret=secrets.token_bytes(32))
            signed = self.spend(chain, stolen)
            with pytest.raises(TransactionRefused) as refused:
                chain.broadcast(signed.raw)
            assert refused.value.reason in ("bad-signature", "funds", "nonce"), kind
            assert chain.place(signed.txid) is None

    def test_a_fee_that_is_too_low_is_refused(self, chain: LabChain) -> None:
        if not (self.spends and self.refuses_low_fees):
            pytest.skip("any fee will do")
        signed = self.spend(chain, self.fund(chain, self.kinds[0]), rate=0)
        with pytest.raises(TransactionRefused) as refused:
            chain.broadcast(signed.raw)
        assert refused.value.reason == "fee-too-low"

    def test_dust_is_refused(self, chain: LabChain) -> None:
        if not (self.spends and self.refuses_dust):
            pytest.skip("any amount will do")
        coin = self.fund(chain, self.kinds[0])
        key = chain.format.own_key(coin.kind, coin.secret)
        fee = chain.format.fee([coin.kind], [key, key], self.rate)
        dust = chain.format.dust // 2  # for every kind of output: those with a witness may be smaller than others
        signed = chain.format.sign([coin], [Output(key, dust), Output(key, coin.amount - dust - fee)])
        with pytest.raises(TransactionRefused) as refused:
            chain.broadcast(signed.raw)
        assert refused.value.reason == "dust"
        with pytest.raises(TransactionRefused) as refused:
            chain.pay(chain.fresh_address(), dust)
        assert refused.value.reason == "dust"

    # Reorganisations

    def test_a_reorganisation_returns_what_it_took(self, chain: LabChain) -> None:
        txids = [chain.pay(chain.fresh_address(), self.amount)]
        chain.mine()
        txids.append(chain.pay(chain.fresh_address(), self.amount))
        height = chain.mine()
        stale = chain.block(chain.tip()[1])
        assert chain.reorg(2) == height + 1 == chain.tip()[0]
        assert [chain.place(txid) for txid in txids] == [Place(None, None)] * 2
        assert self.waiting(chain, txids) == txids
        assert chain.block_hash(height) != stale.hash
        assert chain.block(stale.hash) == stale, "stale blocks stay readable"
        for at in (height - 1, height, height + 1):
            block = chain.block(chain.block_hash(at) or "")
            assert not set(txids) & {tx.txid for tx in block.txs}
            assert block.previous == chain.block_hash(at - 1)
        mined = chain.mine()
        assert [chain.place(txid) for txid in txids] == [Place(mined, chain.tip()[1])] * 2

    def test_what_a_reorganisation_forgets_is_gone(self, chain: LabChain) -> None:
        if not self.forgets:
            pytest.skip("what was sent stays known")
        kept, lost = (chain.pay(chain.fresh_address(), self.amount) for _ in range(2))
        chain.mine()
        chain.reorg(1, forget=[lost])
        assert chain.place(lost) is None and chain.transaction(lost) is None
        assert chain.place(kept) == Place(None, None)
        chain.mine(2)
        assert chain.place(lost) is None
        assert chain.place(kept) is not None

    def test_a_forgotten_spend_can_be_made_otherwise(self, chain: LabChain) -> None:
        if not self.forgets:
            pytest.skip("what was sent stays known")
        if not self.spends:
            pytest.skip("cannot be spent by us")
        coin = self.fund(chain, self.kinds[0])
        first, second = (self.spend(chain, coin) for _ in range(2))
        chain.broadcast(first.raw)
        chain.mine()
        chain.reorg(1, forget=[first.txid])
        assert chain.broadcast(second.raw) == second.txid
        chain.mine()
        assert chain.place(first.txid) is None
        assert chain.place(second.txid) == Place(*chain.tip())

    def test_payments_go_on_after_a_reorganisation(self, chain: LabChain) -> None:
        for _ in range(3):
            chain.pay(chain.fresh_address(), self.amount)
            chain.mine()
            chain.reorg(1)
        txid = chain.pay(chain.fresh_address(), self.amount)
        chain.mine()
        assert chain.place(txid) == Place(*chain.tip())
        assert len(chain.mempool()) == 0

    def test_a_reorganisation_of_nothing_or_too_much_is_refused(self, chain: LabChain) -> None:
        tip = chain.tip()
        for depth in (0, -1, tip[0] + 1):
            with pytest.raises(ChainError):
                chain.reorg(depth)
        assert chain.tip() == tip

    # Deposits and payouts, as orders see them

    def paid_to(self, chain: LabChain, txid: str, key: bytes) -> list[int]:
        tx = chain.transaction(txid)
        return [output.amount for output in tx.outputs if output.key == key] if tx else []

    def test_some_wait_while_others_are_mined(self, chain: LabChain) -> None:
        """To one address: in a block, in the mempool, and both seen at the same time."""
        address = chain.fresh_address()
        key = chain.format.key(address)
        mined = chain.pay(address, self.amount)
        chain.mine()
        waiting = chain.pay(address, self.amount + 1)
        assert chain.place(mined) == Place(*chain.tip())
        assert chain.place(waiting) == Place(None, None)
        assert [self.paid_to(chain, txid, key) for txid in (mined, waiting)] == [[self.amount], [self.amount + 1]]

    def test_confirmations_count_up_and_begin_anew_after_a_reorganisation(self, chain: LabChain) -> None:
        txid = chain.pay(chain.fresh_address(), self.amount)
        first = chain.mine()
        for confirmations in (1, 2, 3):
            place = chain.place(txid)
            assert place == Place(first, chain.block_hash(first))
            assert chain.tip()[0] - first + 1 == confirmations
            chain.mine()
        chain.reorg(4)
        assert chain.place(txid) == Place(None, None)
        again = chain.mine()
        assert chain.place(txid) == Place(again, chain.tip()[1]) and again > first

    def test_a_payout_is_exact_and_so_is_its_fee(self, chain: LabChain) -> None:
        if not self.spends:
            pytest.skip("cannot be spent by us")
        for kind in self.kinds:
            coin = self.fund(chain, kind)
            own = chain.format.own_key(kind, coin.secret)
            target = chain.format.key(chain.fresh_address())
            fee = chain.format.fee([kind], [target, own], self.rate)
            paid = self.amount // 3
            signed = chain.format.sign([coin], [Output(target, paid), Output(own, coin.amount - paid - fee)])
            assert signed.fee == fee
            chain.broadcast(signed.raw)
            chain.mine()
            assert chain.place(signed.txid) == Place(*chain.tip())
            assert self.paid_to(chain, signed.txid, target) == [paid], kind

    def test_a_deposit_that_is_replaced_gives_way_to_what_replaced_it(self, chain: LabChain) -> None:
        if not (self.spends and self.replaces):
            pytest.skip("replaces nothing")
        coin = self.fund(chain, self.kinds[0])
        first = self.spend(chain, coin, sequence=0xFFFFFFFD)
        deposit = chain.transaction(chain.broadcast(first.raw))
        assert deposit is not None
        key = deposit.outputs[0].key
        better = self.spend(chain, coin, rate=self.rate * 3, sequence=0xFFFFFFFD)
        chain.broadcast(better.raw)
        chain.mine()
        assert self.paid_to(chain, first.txid, key) == self.paid_to(chain, better.txid, key) == []
        assert chain.place(better.txid) == Place(*chain.tip())

    def test_a_mined_deposit_that_is_double_spent_is_gone_for_good(self, chain: LabChain) -> None:
        if not (self.spends and self.forgets):
            pytest.skip("what was sent stays known")
        coin = self.fund(chain, self.kinds[0])
        first, second = (self.spend(chain, coin) for _ in range(2))
        chain.broadcast(first.raw)
        chain.mine()
        chain.reorg(1, forget=[first.txid])
        chain.broadcast(second.raw)
        chain.mine()
        with pytest.raises(TransactionRefused):
            chain.broadcast(first.raw)
        chain.mine(2)
        assert chain.transaction(first.txid) is None and chain.place(first.txid) is None
        assert chain.place(second.txid) is not None

    def test_a_reorganisation_takes_what_builds_on_each_other_and_brings_it_back(self, chain: LabChain) -> None:
        if not (self.spends and self.chains_unconfirmed):
            pytest.skip("spends only what is mined")
        parent = self.fund(chain, self.kinds[0])
        child = self.spend(chain, parent)
        chain.broadcast(child.raw)
        chain.mine()
        both = [parent.outpoint.txid, child.txid]
        chain.reorg(2)
        assert self.waiting(chain, both) == both
        chain.mine()
        assert [chain.place(txid) for txid in both] == [Place(*chain.tip())] * 2

    def test_what_waits_can_be_forgotten_too(self, chain: LabChain) -> None:
        if not self.forgets:
            pytest.skip("what was sent stays known")
        chain.mine()
        kept, lost = (chain.pay(chain.fresh_address(), self.amount) for _ in range(2))
        chain.reorg(1, forget=[lost])
        assert self.waiting(chain, [kept, lost]) == [kept]
        chain.mine()
        assert chain.place(lost) is None
        assert chain.place(kept) == Place(*chain.tip())

    # Coming back

    def test_what_came_at_once_comes_back(self, chain: LabChain) -> None:
        """A replacement that came with what it replaces, too."""
        if not (self.persists and self.broadcasts and self.spends):
            pytest.skip("in memory only, or takes no raw transactions")
        coin = self.fund(chain, self.kinds[0])
        first = self.spend(chain, coin, sequence=0xFFFFFFFD)
        better = self.spend(chain, coin, rate=self.rate * 3, sequence=0xFFFFFFFD)
        other = self.spend(chain, self.fund(chain, self.kinds[0]))
        said = chain.broadcast_all([first.raw, better.raw, other.raw])
        assert [refused is None for refused in said] == [True, self.replaces, True]
        held = [better.txid, other.txid] if self.replaces else [first.txid, other.txid]
        chain = self.reopen(chain)
        assert self.waiting(chain, [first.txid, better.txid, other.txid]) == held
        chain.close()

    def test_a_closed_chain_comes_back(self, chain: LabChain) -> None:
        if not self.persists:
            pytest.skip("in memory only")
        mined = chain.pay(chain.fresh_address(), self.amount)
        chain.mine()
        chain.reorg(1)
        chain.mine()
        waiting = [chain.pay(chain.fresh_address(), self.amount) for _ in range(3)]
        tip, place, last = chain.tip(), chain.place(mined), chain.fresh_address()
        chain = self.reopen(chain)
        assert chain.tip() == tip
        assert chain.place(mined) == place
        assert self.waiting(chain, waiting) == waiting
        assert chain.fresh_address() != last
        txid = chain.pay(chain.fresh_address(), self.amount)
        assert chain.mine() == tip[0] + 1
        assert [chain.place(t) for t in (*waiting, txid)] == [Place(*chain.tip())] * 4
        chain.close()
