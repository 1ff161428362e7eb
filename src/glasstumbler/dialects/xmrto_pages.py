"""What XMR.to shows to people rather than programs: the QR picture and the status page without scripts."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from glasstumbler.dialects.base import Response
from glasstumbler.errors import Malformed

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">{refresh}
<title>Order {uuid} - test network only</title>
<style>
:root {{ color-scheme: light dark; --ink: #17242b; --soft: #4f5e66; --bg: #fbfcfc; --card: #f0f4f5; --edge: #c3ced3;
  --own: #0b6a7c; }}
@media (prefers-color-scheme: dark) {{
:root {{ --ink: #e4ecef; --soft: #a7b7bf; --bg: #12191d; --card: #1a2429; --edge: #3a4a52; --own: #5fd0e0; }} }}
body {{ margin: 0; font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--bg); }}
.banner {{ background: #7a1f1f; color: #fff; text-align: center; margin: 0; padding: .35rem 1rem; }}
main {{ max-width: 46rem; margin: 0 auto; padding: 1rem; }}
h1 {{ font-size: 1.5rem; margin: .5rem 0; }}
h2 {{ font-size: 1.15rem; margin: 1.5rem 0 .3rem; }}
p {{ overflow-wrap: anywhere; }}
.state {{ background: var(--card); border: 1px solid var(--edge); border-radius: .5rem; padding: .8rem 1.2rem; }}
.state b {{ color: var(--own); font-size: 1.2rem; }}
code, td {{ font-family: ui-monospace, monospace; overflow-wrap: anywhere; font-size: .92em; }}
svg {{ background: #fff; border-radius: .5rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0;
  border-bottom: 1px solid var(--edge); }}
th {{ color: var(--soft); font-weight: 400; }}
@media (max-width: 30rem) {{ th, td {{ display: block; border: 0; padding: 0; }} td {{ padding-bottom: .5rem; }} }}
</style></head>
<body><p class="banner"><b>TEST NETWORK</b> A laboratory on private chains; nothing here is worth money.</p>
<main><h1>Order <code>{uuid}</code></h1>
<div class="state"><p><b>{state}</b></p><p>{todo}</p>{picture}</div>
<h2>The order</h2>
<table><tbody>
{rows}</tbody></table></main></body></html>
"""
_REFRESH = '<meta http-equiv="refresh" content="10">'
_PENDING = frozenset(("TO_BE_CREATED", "UNPAID", "UNDERPAID", "PAID_UNCONFIRMED", "PAID"))
"""States that pass: the page asks for itself again."""
_WAITING = frozenset(("UNPAID", "UNDERPAID"))
_TODO: Mapping[str, str] = {
    "TO_BE_CREATED": "The order is being made.",
    "UNPAID": "Send {remaining_amount_incoming} XMR to {receiving_subaddress} within {seconds_till_timeout} seconds.",
    "UNDERPAID": "Not all has come in: send {remaining_amount_incoming} XMR more to {receiving_subaddress} "
    "within {seconds_till_timeout} seconds.",
    "PAID_UNCONFIRMED": "Your payment is there; confirmations missing: {incoming_num_confirmations_remaining}.",
    "PAID": "Your payment is confirmed; {btc_amount} BTC are being sent to {btc_dest_address}.",
    "BTC_SENT": "{btc_amount} BTC were sent to {btc_dest_address}.",
    "TIMED_OUT": "The time for the payment is over.",
    "REJECTED": "The service does not pay to this destination.",
    "PAYMENT_FAILED": "The bitcoin could not be sent.",
}
_PIXELS = 4


def picture(data: str, most: int) -> Response:
    """PNG of a QR code (ISO/IEC 18004, error correction L or better); Malformed if the text is empty or too long."""
    import segno  # only who asks for a picture waits for it

    if not 0 < len(data) <= most:
        raise Malformed(f"must have from 1 to {most} characters", "data")
    png = io.BytesIO()
    try:
        segno.make_qr(data, error="l").save(png, kind="png", scale=_PIXELS)
    except (segno.DataOverflowError, UnicodeError):
        raise Malformed("does not fit into a QR code", "data") from None
    return Response(200, (("content-type", "image/png"),), png.getvalue())


def status_page(fields: dict[str, Any]) -> Response:
    """The v3 status query's fields: what to do in a sentence, where to pay as a picture, and all of them as a table."""
    state, texts = str(fields.get("state")), {name: escape(str(value)) for name, value in fields.items()}
    page = _PAGE.format(
        uuid=texts["uuid"],
        state=escape(state),
        todo=_TODO.get(state, "").format_map(texts),
        refresh=_REFRESH if state in _PENDING else "",
        picture=_payment_picture(fields) if state in _WAITING else "",
        rows="".join(f"<tr><th>{name}</th><td>{value}</td></tr>\n" for name, value in _cells(fields)),
    )
    return Response(200, (("content-type", "text/html; charset=utf-8"),), page.encode())


def _payment_picture(fields: dict[str, Any]) -> str:
    import segno

    uri = f"monero:{fields['receiving_subaddress']}?tx_amount={fields['remaining_amount_incoming']}"
    return segno.make_qr(uri, error="m").svg_inline(scale=_PIXELS, border=3, light="#fff")


def _cells(fields: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values as HTML; of a payment each part has a row of its own."""
    for name, value in fields.items():
        if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            for each in value:
                yield from ((escape(f"{name}: {part}"), escape(str(inner))) for part, inner in each.items())
        else:
            yield escape(name), escape("none" if value == [] else str(value))
