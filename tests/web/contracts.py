"""Every reply that passes through a client here is held to its service's contract."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Any

import httpx
import schemathesis
from schemathesis.core.result import Ok

FOLDER = resources.files("glasstumbler.dialects") / "openapi"


@lru_cache
def contract(slug: str) -> Any:
    operations = schemathesis.openapi.from_path(str(FOLDER / f"{slug}.yaml")).get_all_operations()
    found = [result.ok() for result in operations if isinstance(result, Ok)]
    return {(operation.method.upper(), operation.path): operation for operation in found}


def hold(slug: str, root: str, reply: httpx.Response) -> None:
    """Fails if the contract does not know this reply. `root` is what stands before the contract's own paths."""
    reply.request.read()
    reply.read()
    if reply.is_redirect:
        return
    path = reply.request.url.path.removeprefix(root)
    for (method, template), operation in contract(slug).items():
        prefix, brace, _ = template.partition("{")
        if method == reply.request.method and (path.startswith(prefix) if brace else path == template):
            operation.validate_response(reply)
            return
    assert reply.status_code in (404, 405), f"{reply.request.method} {path} stands in no contract"
