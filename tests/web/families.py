"""Every family of pages, with a sample of each: what a browser test opens. A route that stands in neither table fails
tests/web/test_families.py."""

from __future__ import annotations

from typing import Final

FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "/": ("/",),
    "/services": ("/services",),
    "/services/{slug}": ("/services/bestmixer", "/services/xmrto"),
    "/services/{slug}/order": (
        *("/services/bestmixer/order", "/services/bestmixer/order?way=amounts", "/services/btcmix/order"),
        *("/services/coinjoin/order", "/services/whir/order?way=equal", "/services/xmrto/order"),
        *("/services/xmrto/order?way=invoice", "/services/xmrto/order?way=url"),
    ),
    "/orders": ("/orders", "/orders?state=failed"),
    "/orders/{slug}/{order}": ("/orders/whir/{whir}", "/orders/bestmixer/{bestmixer}", "/orders/xmrto/{xmrto}"),
    "/glass": ("/glass",),
    "/glass/{slug}/{id}": ("/glass/coinjoin/{coinjoin}", "/glass/xmrto/{xmrto}"),
    "/chains": ("/chains",),
    "/chains/{coin}": ("/chains/btc", "/chains/xmr"),
    "/chains/{coin}/block/{which}": ("/chains/btc/block/{height}",),
    "/chains/{coin}/tx/{txid}": ("/chains/btc/tx/{txid}",),
    "/chains/{coin}/address/{address}": ("/chains/btc/address/{address}",),
    "/search": ("/search?q=1", "/search?q=nothing"),
    "/ledger": ("/ledger",),
    "/ledger/{number}": ("/ledger/3",),
    "/console": ("/console",),
    "/console/{slug}": ("/console/bestmixer", "/console/xmrto"),
    "/console/{slug}/{operation}": ("/console/whir/createTransaction",),
    "/console/requests": ("/console/requests",),
    "/console/requests/{number:int}": ("/console/requests/{asked}",),
    "/console/lab": ("/console/lab",),
    "/console/webhooks": ("/console/webhooks",),
    "/docs": ("/docs", "/docs?q=signature"),
    "/docs/{name}": ("/docs/architecture", "/docs/api-btcmix", "/docs/methods", "/docs/performance"),
}
"""By route; a name in braces is of tests.browser.test_families.shown. What no route answers: "/nothing"."""
NO_SAMPLES: Final = {
    "/chains/{coin}/cluster/{member}": "nobody in this laboratory spends two addresses together",
    "/orders/{slug}/{order}/events": "a stream",
    "/orders/{slug}/{order}/letter": "a file",
    "/chains/{coin}/tx/{txid}/raw": "a file",
    "/docs/pictures/{name}": "a picture",
    "/glass/{slug}/{id}/methods": "a part of the glass, checked there",
    "/static/{mark}/{name:path}": "files",
}
SAMPLES: Final = ["/nothing", *(sample for samples in FAMILIES.values() for sample in samples)]
