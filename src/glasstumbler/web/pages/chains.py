"""The explorer: chains, blocks, transactions, addresses, and clusters of addresses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from glasstumbler.chains.base import LabChain
from glasstumbler.errors import ChainError, GlassTumblerError, UnknownEndpoint
from glasstumbler.explorer.look import END, BlockRow, Look
from glasstumbler.web.pages import chain_views
from glasstumbler.web.pages.site import HEADERS, Site

T = TypeVar("T")
_BLOCKS, _NEWEST, _TXS, _WAITING, _MOVES, _MEMBERS = 25, 6, 25, 25, 50, 50
"""On one page."""


def routes(site: Site) -> list[BaseRoute]:
    pages = _Pages(site)
    return [
        site.route("/chains", pages.chains),
        site.route("/chains/{coin}", pages.chain),
        site.route("/chains/{coin}/block/{which}", pages.block),
        site.route("/chains/{coin}/tx/{txid}", pages.transaction),
        site.route("/chains/{coin}/tx/{txid}/raw", pages.raw),
        site.route("/chains/{coin}/address/{address}", pages.address),
        site.route("/chains/{coin}/cluster/{member}", pages.cluster),
    ]


class _Pages:
    def __init__(self, site: Site) -> None:
        self._site, self._house, self._explorer = site, site.house, site.explorer

    async def chains(self, request: Request) -> Response:
        found = await self._site.in_thread(self._all)
        lightning = self._house.lightning
        return self._site.page(request, "chains.html", section="explorer", chains=found, lightning=lightning)

    async def chain(self, request: Request) -> Response:
        values = await self._work(request, partial(self._chain, top=number(request, "from", END)))
        return self._site.page(request, "chain.html", section="explorer", **values)

    async def block(self, request: Request) -> Response:
        which, first = request.path_params["which"], number(request, "first", 0)
        values = await self._work(request, partial(self._block, which=which, first=first))
        return self._site.page(request, "block.html", section="explorer", **values)

    async def transaction(self, request: Request) -> Response:
        txid, first = request.path_params["txid"], number(request, "first", 0)
        values = await self._work(request, partial(self._transaction, txid=txid, first=first))
        return self._site.page(request, "transaction.html", section="explorer", **values)

    async def raw(self, request: Request) -> Response:
        """The bytes of a transaction as hexadecimal text."""
        txid = request.path_params["txid"]
        tx = await self._work(request, lambda chain: chain.transaction(txid))
        if tx is None:
            raise _no_transaction(request.path_params["coin"])
        return Response(tx.raw.hex() + "\n", 200, HEADERS, "text/plain; charset=utf-8")

    async def address(self, request: Request) -> Response:
        address, before = request.path_params["address"], number(request, "before", END)
        values = await self._work(request, partial(self._address, address=address, before=before))
        return self._site.page(request, "address.html", section="explorer", **values)

    async def cluster(self, request: Request) -> Response:
        member, after = request.path_params["member"], number(request, "after", 0)
        values = await self._work(request, partial(self._cluster, member=member, after=after))
        return self._site.page(request, "cluster.html", section="explorer", **values)

    # -- in threads ---------------------------------------------------------------------------------------------------

    async def _work(self, request: Request, work: Callable[[LabChain], T]) -> T:
        coin = request.path_params["coin"]
        chain = self._house.chains.get(coin)
        if chain is None:
            raise UnknownEndpoint(f"no chain is called {coin!r} here; there are {', '.join(self._house.chains)}")
        return await self._site.in_thread(work, chain)

    def _all(self) -> list[dict[str, Any]]:
        return [self._glance(chain) for chain in self._house.chains.values()]

    def _glance(self, chain: LabChain) -> dict[str, Any]:
        with self._explorer.look(chain.coin) as look:
            try:
                tip, waiting, away = chain.tip()[0], len(chain.mempool()), None
            except ChainError as error:
                tip, waiting, away = look.height, 0, str(error)
            return {
                **_about(chain, look, tip),
                "waiting": waiting,
                "away": away,
                "blocks": look.blocks(tip, _NEWEST) if away else _newest(chain, look, tip, _NEWEST),
            }

    def _chain(self, chain: LabChain, top: int) -> dict[str, Any]:
        with self._explorer.look(chain.coin) as look:
            tip = chain.tip()[0]
            top = max(0, min(top, tip))
            waiting = self._explorer.waiting[chain.coin].txs()
            shown = waiting[-_WAITING:][::-1]
            return {
                **_about(chain, look, tip),
                "blocks": _newest(chain, look, top, _BLOCKS),
                "top": top,
                "older": top - _BLOCKS if top >= _BLOCKS else None,
                "newer": min(top + _BLOCKS, tip) if top < tip else None,
                "waiting": len(waiting),
                "lines": self._house.store.read(lambda records: chain_views.lines(chain, records, shown)),
            }

    def _block(self, chain: LabChain, which: str, first: int) -> dict[str, Any]:
        tip = chain.tip()[0]
        block_hash = chain.block_hash(int(which)) if _is_number(which) and int(which) <= tip else which
        try:
            block = chain.block(block_hash or "")
        except GlassTumblerError:
            raise UnknownEndpoint(f"The {chain.coin} chain has no such block.") from None
        some = block.txs[first : first + _TXS]
        lines = self._house.store.read(lambda records: chain_views.lines(chain, records, some))
        return {
            "coin": chain.coin,
            "block": block,
            "tip": tip,
            "active": chain.block_hash(block.height) == block.hash,
            "size": sum(len(tx.raw) for tx in block.txs),
            "lines": lines,
            "first": first,
            "page": _TXS,
            "hidden": chain.coin in chain_views.HIDDEN,
        }

    def _transaction(self, chain: LabChain, txid: str, first: int) -> dict[str, Any]:
        waiting = self._explorer.waiting[chain.coin]
        with self._explorer.look(chain.coin) as look:
            shown = self._house.store.read(
                lambda records: chain_views.transaction(chain, waiting, look, records, txid, first)
            )
            if shown is None:
                raise _no_transaction(chain.coin)
            return {**_about(chain, look, chain.tip()[0]), "shown": shown, "most": chain_views.SIDE_MOST}

    def _address(self, chain: LabChain, address: str, before: int) -> dict[str, Any]:
        key = chain.format.key(address)
        waiting = list(self._explorer.waiting[chain.coin].touching(key))
        mark = self._house.store.read(lambda records: chain_views.owners(records, chain.coin, [key])).get(key)
        with self._explorer.look(chain.coin) as look:
            found = look.address(key)
            moves = look.moves(found.n, before, _MOVES + 1) if found else []
            cluster = look.cluster(found.n) if found else None
            return {
                **_about(chain, look, chain.tip()[0]),
                "address": chain_views.name_of(chain.format, key) or address,
                "found": found,
                "mark": mark,
                "hidden": chain.coin in chain_views.HIDDEN,
                "accounts": chain.format.one_to_one,
                "moves": moves[:_MOVES],
                "more": moves[_MOVES - 1].n if len(moves) > _MOVES else None,
                "before": before if before < END else None,
                "cluster": cluster,
                "waiting": [] if before < END else [(tx.txid, _brings(tx.outputs, key)) for tx in waiting[:_MOVES]],
            }

    def _cluster(self, chain: LabChain, member: str, after: int) -> dict[str, Any]:
        with self._explorer.look(chain.coin) as look:
            cluster = look.cluster(int(member)) if _is_number(member) else None
            if cluster is None:
                raise UnknownEndpoint(f"The {chain.coin} chain has no such cluster (any more).")
            members = look.members(cluster.n, after, _MEMBERS + 1)
            shown, form = members[:_MEMBERS], chain.format
            keys = [each.key for each in shown]
            marks = self._house.store.read(lambda records: chain_views.owners(records, chain.coin, keys))
            return {
                **_about(chain, look, chain.tip()[0]),
                "cluster": cluster,
                "said": chain_views.said(cluster.owners),
                "members": [(each, chain_views.name_of(form, each.key), marks.get(each.key)) for each in shown],
                "more": shown[-1].n if len(members) > _MEMBERS else None,
            }


def number(request: Request, name: str, otherwise: int) -> int:
    """Of the query; whatever is no number of sensible length counts as not given."""
    given = request.query_params.get(name, "")
    return int(given) if _is_number(given) else otherwise


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15


def _about(chain: LabChain, look: Look, tip: int) -> dict[str, Any]:
    return {
        "coin": chain.coin,
        "network": chain.network,
        "node": chain.node,
        "model": chain.model,
        "tip": tip,
        "behind": max(tip - look.height, 0),
    }


def _newest(chain: LabChain, look: Look, top: int, limit: int) -> list[BlockRow]:
    """From the cache; what it lacks by height and hash only."""
    known = {row.height: row for row in look.blocks(top, limit)}
    return [
        known.get(height) or BlockRow(height, chain.block_hash(height) or "", -1, -1, -1)
        for height in range(top, max(top - limit, -1), -1)
    ]


def _brings(outputs: Any, key: bytes) -> int:
    return sum(output.amount for output in outputs if output.key == key)


def _no_transaction(coin: str) -> UnknownEndpoint:
    return UnknownEndpoint(
        f"Neither the {coin} chain nor its mempool has this transaction (any more): it may have been replaced, or a "
        "reorganisation may have dropped it."
    )
