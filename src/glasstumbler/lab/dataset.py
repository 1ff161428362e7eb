"""Writes a dataset: what an observer sees and the answer key, in two folders of Parquet, and a manifest.

    OUT/observer/*.parquet   schemas.OBSERVER
    OUT/answers/*.parquet    schemas.ANSWERS
    OUT/manifest.json        seed, scenario, versions, which chains are models, row counts and SHA-256 of every file

Same seed, same versions, same bytes. Nothing is written unless everything adds up (conserve.py).
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from glasstumbler import __version__
from glasstumbler.chains.base import Chain
from glasstumbler.engine.coins import Coin
from glasstumbler.engine.order import Order
from glasstumbler.engine.payment import PaymentState
from glasstumbler.engine.policy import Policy
from glasstumbler.errors import StoreError
from glasstumbler.lab import observed, schemas, truth
from glasstumbler.lab.conserve import conserve
from glasstumbler.lab.custody import Book
from glasstumbler.lab.numbering import numbered
from glasstumbler.lab.observed import Rows
from glasstumbler.store.records import Records

FORMAT = 2
"""Of the tables: raised when a column changes its meaning."""
LIBRARIES = ("coincurve", "numpy", "py-bitcoinkernel", "pyarrow", "pyrevm")
"""That bytes of a dataset depend on."""
_GONE = frozenset((PaymentState.REPLACED, PaymentState.FAILED))
_FOLDERS = {"observer": schemas.OBSERVER, "answers": schemas.ANSWERS}


class About(msgspec.Struct, frozen=True):
    """What a run was."""

    seed: int
    scenario: str
    lightning_model: bool
    """Whether a Lightning network ran that is a model; it has no chain."""
    details: dict[str, Any] = {}
    """What else the manifest says."""


def export(
    records: Records,
    chains: Mapping[str, Chain],
    policies: Mapping[str, Policy],
    about: About,
    out: Path,
    more: Callable[[Rows], Rows] = lambda rows: {},
) -> Path:
    """The manifest's path. `records` is a snapshot of a laboratory at rest. `more`: rows of schemas.MORE, out of those
    of the other tables. RecordError if anything does not add up,
    StoreError if the folder cannot be written."""
    rows = build(records, chains, policies)
    conserve(rows, records, chains)
    rows |= more(rows)
    accounts = frozenset(coin for coin, chain in chains.items() if chain.format.one_to_one)
    return _write(numbered(rows, accounts), chains, about, out)


def build(records: Records, chains: Mapping[str, Chain], policies: Mapping[str, Policy]) -> Rows:
    """Rows of every table by its name; transactions, outputs and addresses by their names, for `numbered`."""
    swaps = frozenset(slug for slug, policy in policies.items() if policy.swap is not None)
    book = Book.whole(records)
    return {
        **observed.observe(chains),
        "public_tag": observed.tags(records, swaps),
        "order": [order_row(order, truth.shares(order, book.deposits(order))) for order in book.orders()],
        "link": [row for order in book.orders() for link in truth.order_links(book, order) for row in _link(link)],
        "hop": _hops(book, records),
        "wallet_truth": _wallets(book, records, chains),
        "service_policy": policy_rows(policies),
    }


# -- answers ----------------------------------------------------------------------------------------------------------


def order_row(order: Order, divided: truth.Shares) -> dict[str, Any]:
    return {
        "service": order.service,
        "order_id": order.id,
        "coin": order.coin,
        "payout_coin": order.payout_coin,
        "state": order.state.value,
        "fixed": order.fixed,
        "created": order.created,
        "funded": order.funded,
        "updated": order.updated,
        "deposit_address": order.address,
        "outputs": len(order.outputs),
        "credited": order.credited,
        "fee_ppm": order.terms.fee_ppm,
        "fee": sum(divided.fees),
        "excess": divided.excess,
        "code": order.code,
        "price": order.swap.price if order.swap else None,
    }


def _link(link: truth.Link) -> list[dict[str, Any]]:
    return [
        {
            "service": link.service,
            "order_id": link.order,
            "place": link.output,
            "deposit_coin": link.deposit_coin,
            "deposit_txid": part.txid,
            "deposit_vout": part.vout,
            "payout_coin": link.coin,
            "payout_txid": link.txid,
            "payout_vout": link.vout,
            "payout_height": link.height,
            "amount": part.amount,
            "payout_amount": link.amount,
            "delay_asked": link.asked,
            "delay_passed": link.passed,
            "fee": link.fee,
            "hops_between": link.hops,
            "truncated": link.truncated,
        }
        for part in link.parts
    ]


def _hops(book: Book, records: Records) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for payment in records.all_payments():
        if payment.state in _GONE:
            continue
        for number in payment.coins:
            coin = book.coin(number)
            found.append(
                {
                    "service": payment.service,
                    "coin": payment.coin,
                    "txid": payment.txid,
                    "kind": "payout" if payment.carried else "sweep",
                    **_spent(book, coin),
                }
            )
    return found


def _spent(book: Book, coin: Coin) -> dict[str, Any]:
    return {
        "input_txid": coin.txid,
        "input_vout": coin.vout,
        "amount": coin.amount,
        "origin": coin.origin.value,
        "made_by": None if coin.made_by is None else book.payment(coin.made_by).txid,
        "order_id": None if coin.order is None else book.order(coin.order).id,
        "paid_in": coin.sources,
    }


def _wallets(book: Book, records: Records, chains: Mapping[str, Chain]) -> list[dict[str, Any]]:
    return [
        {
            "coin": watched.coin,
            "address": chains[watched.coin].format.address(watched.key),
            "service": watched.service,
            "branch": watched.branch,
            "kind": watched.kind,
            "order_id": None if watched.order is None else book.order(watched.order).id,
        }
        for watched in records.all_watched()
        if watched.coin in chains  # invoices are watched too, so that each is taken once
    ]


def policy_rows(policies: Mapping[str, Policy]) -> list[dict[str, Any]]:
    whole = ("fee_ppm", "expiry", "max_delay", "sweep_every")
    each = tuple(name for name in schemas.SERVICE_POLICY.names if name in _COIN_FIELDS)
    return [
        {
            "service": slug,
            "coin": coin,
            "fee_rule": policy.fee_rule.value,
            "grouping": policy.grouping.value,
            "selection": policy.selection.value,
            **{name: getattr(policy, name) for name in whole},
            **{name: getattr(coins, name) for name in each},
        }
        for slug, policy in policies.items()
        for coin, coins in policy.coins.items()
    ]


_COIN_FIELDS = frozenset(
    (
        "min_fee_ppm",
        "max_fee_ppm",
        "per_output",
        "confirmations",
        "deposit_kind",
        "change_kind",
        "fee_rate",
        "float_pieces",
        "float_amount",
    )
)


# -- files ------------------------------------------------------------------------------------------------------------


def _write(rows: Rows, chains: Mapping[str, Chain], about: About, out: Path) -> Path:
    try:
        files = {
            f"{folder}/{name}.parquet": _write_table(rows[name], schema, out / folder / f"{name}.parquet")
            for folder, tables in _FOLDERS.items()
            for name, schema in (tables | schemas.MORE[folder]).items()
            if name in rows
        }
        return write_manifest(files, {coin: shown(chain) for coin, chain in chains.items()}, about, out)
    except OSError as error:
        raise StoreError(f"cannot write the dataset: {error}") from None


def _write_table(rows: list[dict[str, Any]], schema: pa.Schema, path: Path) -> dict[str, Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in schema]
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), path, compression="zstd")
    return {"rows": len(rows), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def shown(chain: Chain) -> dict[str, Any]:
    """What a manifest says of a chain."""
    return {"network": chain.network, "node": chain.node, "model": chain.model, "height": chain.tip()[0]}


def write_manifest(files: Mapping[str, Any], chains: Mapping[str, Mapping[str, Any]], about: About, out: Path) -> Path:
    """`files`: rows and SHA-256 of each; `chains`: what is `shown` of each. OSError if it cannot be written."""
    path = out / "manifest.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(_manifest(files, chains, about)), indent=2) + b"\n")
    return path


def _manifest(files: Mapping[str, Any], chains: Mapping[str, Mapping[str, Any]], about: About) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "notice": "Synthetic data from private test chains; the coins have no value and the services are not live.",
        "scenario": about.scenario,
        "seed": about.seed,
        "versions": {
            "glasstumbler": __version__,
            "python": ".".join(platform.python_version_tuple()[:2]),
            **{name: _version(name) for name in LIBRARIES},
        },
        "chains": chains,
        "models": [coin for coin, chain in chains.items() if chain["model"]] + ["lightning"] * about.lightning_model,
        "hidden": sorted(observed.HIDDEN & set(chains)),
        **about.details,
        "files": files,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
