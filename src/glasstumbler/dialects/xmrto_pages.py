"""What XMR.to shows to people rather than programs: the QR picture and the status page without scripts."""

from __future__ import annotations

import io
from html import escape
from typing import Any

from glasstumbler.dialects.base import Response
from glasstumbler.errors import Malformed

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Order {uuid}</title></head>
<body><h1>Order {uuid}</h1>
<p>A laboratory on private test chains: nothing here is worth money.</p>
<table>
{rows}</table></body></html>
"""
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
    """A table of the status query's fields; a nested list is written out as it is."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>\n" for name, value in fields.items())
    page = _PAGE.format(uuid=escape(str(fields["uuid"])), rows=rows)
    return Response(200, (("content-type", "text/html; charset=utf-8"),), page.encode())
