"""The five contracts against the live server: whatever is sent, the reply is one that the contract knows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import glasstumbler.dialects
from tests.web.server import Lab

FOLDER = Path(glasstumbler.dialects.__file__).parent / "openapi"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
KEY = re.compile(r"[A-Za-z0-9]{10}")
MODERATE = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)


def contract(slug: str) -> Any:
    return schemathesis.openapi.from_path(FOLDER / f"{slug}.yaml", config=schemathesis.Config.from_dict({"seed": 20}))


def send(case: Any, slug: str, lab: Lab) -> None:
    """With a key that is good, so that the request gets past the door."""
    headers = {"Authorization": f"Bearer {lab.keys[slug]}"} if slug in ("btcmix", "coinjoin", "whir") else {}
    if slug == "bestmixer" and isinstance(case.body, dict) and KEY.fullmatch(str(case.body.get("api_key", ""))):
        case.body = case.body | {"api_key": lab.keys[slug]}
    case.call_and_validate(base_url=lab.urls[slug], headers=headers, checks=CHECKS, timeout=20)


def fuzzed(slug: str) -> Any:
    """Tests of every operation, with data that fits the contract and data that does not."""

    def test(case: Any, lab: Lab) -> None:
        send(case, slug, lab)

    return contract(slug).parametrize()(MODERATE(test))


test_bestmixer = fuzzed("bestmixer")
test_btcmix = fuzzed("btcmix")
test_coinjoin = fuzzed("coinjoin")
test_whir = fuzzed("whir")
test_xmrto = fuzzed("xmrto")


@pytest.mark.parametrize("slug", ["bestmixer", "btcmix", "coinjoin", "whir", "xmrto"])
def test_hub_hands_out_contracts_that_say_where_the_service_stands(slug: str, lab: Lab) -> None:
    served = lab.hub.get(f"/openapi/{slug}.yaml")
    assert served.status_code == 200 and served.headers["content-type"] == "application/yaml"
    own = (FOLDER / f"{slug}.yaml").read_text()
    assert served.text == own.replace("  - url: /\n", f"  - url: /{slug}\n", 1) != own
