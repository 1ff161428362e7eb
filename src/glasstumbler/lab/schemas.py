"""The dataset's tables, column by column. `observer` is what anyone can see; `answers` is the key.

Amounts are whole base units of the row's coin (satoshi, wei, piconero; `msat`: a thousandth of a satoshi), as
decimal128(38, 0), which holds every coin's supply. Times are epoch seconds, UTC. Hashes are the hex text that nodes
show. Transactions, outputs and addresses have numbers, each coin's own, by which all other tables speak of them.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

AMOUNT: Final = pa.decimal128(38, 0)
_TEXT, _INT, _LONG, _BOOL, _TIME = pa.string(), pa.int32(), pa.int64(), pa.bool_(), pa.int64()


def _column(name: str, kind: pa.DataType, doc: str) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"doc": doc})


def _maybe(name: str, kind: pa.DataType, doc: str) -> pa.Field:
    return pa.field(name, kind, nullable=True, metadata={"doc": doc})


def _schema(doc: str, *fields: pa.Field) -> pa.Schema:
    return pa.schema(list(fields), metadata={"doc": doc})


_COIN = _column("coin", _TEXT, "btc, bch, ltc, eth or xmr")
_SERVICE = _column("service", _TEXT, "slug of the service")
_ORDER = _column("order_id", _TEXT, "public name of the order")

BLOCK = _schema(
    "Blocks of the active chains.",
    _COIN,
    _column("height", _INT, "0 is the genesis block"),
    _column("hash", _TEXT, "of the block"),
    _column("previous", _TEXT, "hash of the block before"),
    _column("time", _TIME, "that the block states"),
    _column("txs", _INT, "transactions in it"),
    _maybe("issued", AMOUNT, "new coins: what the coinbase pays above the fees; null where amounts are hidden"),
)
TX = _schema(
    "Transactions of those blocks.",
    _COIN,
    _column("tx", _LONG, "number of the transaction on its chain, from 0, block by block"),
    _column("txid", _TEXT, "as nodes show it"),
    _column("height", _INT, "of its block"),
    _column("place", _INT, "in the block, from 0"),
    _column("coinbase", _BOOL, "whether it creates coins"),
    _column("inputs", _INT, "0 where they are hidden"),
    _column("outputs", _INT, "that it pays"),
    _column("bytes", _INT, "of its serialisation"),
    _maybe("fee", AMOUNT, "inputs less outputs; null for a coinbase and where amounts are hidden"),
)
INPUT = _schema(
    "What transactions spend; coinbases spend nothing, Monero's rings are not shown.",
    _COIN,
    _column("tx", _LONG, "the spending transaction"),
    _column("place", _INT, "of the input, from 0"),
    _maybe("output", _LONG, "number of the output that is spent; null on Ethereum"),
    _maybe("account", _LONG, "Ethereum: number of the sender's address; null elsewhere"),
    _maybe("nonce", _LONG, "Ethereum: of the sender; null elsewhere"),
    _column("amount", AMOUNT, "of the output that is spent; Ethereum: value and fee"),
)
OUTPUT = _schema(
    "What transactions pay.",
    _COIN,
    _column("output", _LONG, "number of the output on its chain, from 0, transaction by transaction"),
    _column("tx", _LONG, "the paying transaction"),
    _column("vout", _INT, "place in the transaction"),
    _maybe("address", _LONG, "number of the address; null where there is none or it is hidden"),
    _maybe("amount", AMOUNT, "null where it is hidden"),
)
ADDRESS = _schema(
    "Addresses that were paid (Ethereum: or have sent), summed up.",
    _COIN,
    _column("address", _LONG, "number of the address on its chain, from 0, as they first appear"),
    _column("name", _TEXT, "the address in test-network form"),
    _column("first_height", _INT, "where it first appears"),
    _column("last_height", _INT, "of its last payment"),
    _column("outputs", _INT, "that pay to it"),
    _column("received", AMOUNT, "by them together"),
)
PUBLIC_TAG = _schema(
    "What an investigator could know from outside: addresses of which the owner is public.",
    _COIN,
    _column("address", _LONG, "number of the address that is tagged"),
    _column("label", _TEXT, "the service's slug"),
    _column("category", _TEXT, "mixer or swap"),
    _column("source", _TEXT, "how it came to be known"),
)

ORDER = _schema(
    "Orders.",
    _SERVICE,
    _ORDER,
    _column("coin", _TEXT, "of the deposit"),
    _column("payout_coin", _TEXT, "msat for Lightning"),
    _column("state", _TEXT, "of the order at the end of the run"),
    _column("fixed", _BOOL, "exact amounts were asked for"),
    _column("created", _TIME, "when it was placed"),
    _maybe("funded", _TIME, "when deposits sufficed"),
    _column("updated", _TIME, "last change of state"),
    _column("deposit_address", _TEXT, "where it was to be paid"),
    _column("outputs", _INT, "payouts that were asked for"),
    _column("credited", AMOUNT, "deposits, base units of coin"),
    _column("fee_ppm", _INT, "service fee, parts per million"),
    _column("fee", AMOUNT, "all that the order paid beside its payouts; 0 in a swap, whose price holds it"),
    _column("excess", AMOUNT, "deposited above what the order takes"),
    _maybe("code", _TEXT, "that kept the customer from their own coins"),
    _maybe("price", _TEXT, "of a swap: BTC for 1 XMR"),
)
LINK = _schema(
    "Beneficial truth: what each deposit gave to each payout. A payout's rows add up to it.",
    _SERVICE,
    _ORDER,
    _column("place", _INT, "of the payout in its order, from 0"),
    _column("deposit_coin", _TEXT, "chain of the deposit"),
    _maybe("deposit_output", _LONG, "number of the output that paid it in; null: it is on no block any more"),
    _column("payout_coin", _TEXT, "msat for Lightning"),
    _maybe("payout_output", _LONG, "number of the output that paid it out; null: Lightning, or not mined"),
    _maybe("payment_hash", _TEXT, "of a Lightning payment"),
    _maybe("payout_height", _INT, "null: not mined, or Lightning"),
    _column("amount", AMOUNT, "that this deposit gave, base units of payout_coin"),
    _column("payout_amount", AMOUNT, "of the whole payout"),
    _column("delay_asked", _LONG, "seconds"),
    _column("delay_passed", _LONG, "seconds from funding to payment"),
    _column("fee", AMOUNT, "the payout's part of the order's fee, base units of deposit_coin"),
    _maybe("hops_between", _INT, "transactions from a deposit of the order to the payout in custody; null: never meet"),
    _column("truncated", _BOOL, "the walk for hops_between was cut off"),
)
HOP = _schema(
    "Custody truth: every coin that a service's payment spent, and where it came from. Walk made_by to go back.",
    _SERVICE,
    _column("coin", _TEXT, "of the chain"),
    _maybe("tx", _LONG, "the payment; null: not mined"),
    _column("kind", _TEXT, "payout, or sweep: it gathers the service's own coins"),
    _maybe("output", _LONG, "number of the output that is spent; null on Ethereum"),
    _maybe("account", _LONG, "Ethereum: number of the account's address; null elsewhere, and for what is not mined"),
    _maybe("nonce", _LONG, "Ethereum; null elsewhere"),
    _column("amount", AMOUNT, "of the coin; Ethereum: all that the account held"),
    _column("origin", _TEXT, "float, deposit, change, sweep or stray"),
    _maybe("made_by", _LONG, "the service's payment that made the coin (change, sweep)"),
    _maybe("order_id", _TEXT, "of the order that it was deposited for"),
    _column("paid_in", pa.list_(_LONG), "Ethereum: transactions that paid into the account, whatever made it"),
)
WALLET_TRUTH = _schema(
    "Every address that a service controls.",
    _COIN,
    _column("address", _TEXT, "in test-network form"),
    _SERVICE,
    _column("branch", _TEXT, "deposit, change, sweep or float"),
    _column("kind", _TEXT, "type of the address"),
    _maybe("order_id", _TEXT, "of a deposit address"),
)
SERVICE_POLICY = _schema(
    "How the services deal, a row for each coin.",
    _SERVICE,
    _column("coin", _TEXT, "msat for Lightning"),
    _column("fee_rule", _TEXT, "what the percentage is of: on_payouts or on_received"),
    _column("fee_ppm", _INT, "where the client does not choose"),
    _column("min_fee_ppm", _INT, "that a client may choose"),
    _column("max_fee_ppm", _INT, "that a client may choose"),
    _column("per_output", AMOUNT, "network part of an output, at most"),
    _column("confirmations", _INT, "that a deposit needs"),
    _column("expiry", _LONG, "seconds"),
    _column("max_delay", _LONG, "seconds"),
    _column("grouping", _TEXT, "which payouts share a transaction"),
    _column("selection", _TEXT, "which coins pay first"),
    _maybe("sweep_every", _LONG, "seconds"),
    _column("deposit_kind", _TEXT, "address type"),
    _column("change_kind", _TEXT, "address type"),
    _column("fee_rate", AMOUNT, "sat/vB or wei per gas"),
    _column("float_pieces", _INT, "coins that the service began with"),
    _column("float_amount", AMOUNT, "of each"),
)

PRICE = _schema(
    "The swap's price, as anyone could have read it; in datasets of simulations in which it runs.",
    _column("time", _TIME, "when it was asked, once a block"),
    _column("base", _TEXT, "coin that is priced"),
    _column("quote", _TEXT, "coin that it is priced in"),
    _column("price", pa.float64(), "quote for one base"),
)
RAW_BLOCK = _schema(
    "Blocks of the active chains of btc, bch and ltc as nodes have them, in datasets of signed simulations.",
    _COIN,
    _column("height", _INT, "of the block"),
    _column("raw", pa.large_binary(), "the consensus serialisation"),
)
OWNER = _schema(
    "Who owns the addresses of the background economy, and those that customers were paid at.",
    _COIN,
    _column("address", _LONG, "number of the address on its chain"),
    _column("owner", _LONG, "number of the owner on its chain"),
    _column("role", _TEXT, "customer, person, exchange, employer or peeler"),
)
SPLIT = _schema(
    "How orders are divided for training and testing. Leave one service out: the column service is the fold.",
    _SERVICE,
    _ORDER,
    _column("volume", _INT, "orders a day in the phase of the run in which it was placed"),
    _column("period", _TEXT, "by time within its phase: train (the first 60 %), validation (20 %), test (20 %)"),
)

OBSERVER: Final = {
    "block": BLOCK,
    "tx": TX,
    "input": INPUT,
    "output": OUTPUT,
    "address": ADDRESS,
    "public_tag": PUBLIC_TAG,
}
ANSWERS: Final = {
    "order": ORDER,
    "link": LINK,
    "hop": HOP,
    "wallet_truth": WALLET_TRUTH,
    "service_policy": SERVICE_POLICY,
}
MORE: Final = {"observer": {"price": PRICE, "raw_block": RAW_BLOCK}, "answers": {"owner": OWNER, "split": SPLIT}}
"""Tables of simulations only."""
