"""`glasstumbler demo`: a laboratory in memory on a virtual clock, served on loopback, driven by lab/demo.py."""

from __future__ import annotations

import time
from contextlib import closing, nullcontext
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from rich.console import Console

from glasstumbler.audit_house import audit_house
from glasstumbler.clock import VirtualClock
from glasstumbler.errors import StoreError
from glasstumbler.house import House
from glasstumbler.lab import dataset, report
from glasstumbler.lab.customers import Keys
from glasstumbler.lab.demo import Outcome, Written, demo, show
from glasstumbler.place import NodeKind
from glasstumbler.terminal import say_json
from glasstumbler.vault import Vault, key_row
from glasstumbler.web.background import served

_SECONDS = 60
"""For one request."""


def run_demo(seed: int, out: Path, nodes: NodeKind = "in-process", as_json: bool = False) -> int:
    """Exit code 0 only if every order completed, every check held and the audit is clean. Real nodes run in a folder
    that is gone afterwards. `as_json`: one document; what is being done goes to standard error."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write to {out}: {error.strerror}") from None
    console = Console(highlight=False, stderr=as_json)
    with (
        TemporaryDirectory(prefix="glasstumbler-demo-") if nodes == "real" else nullcontext() as folder,
        closing(_house(Path(folder) if folder else None, seed, nodes, console)) as house,
    ):
        house.start()
        # Without turns of its own the house moves on at the lab's calls only: same seed, same bytes.
        with (
            served(house, turning=False) as serving,
            httpx.Client(base_url=serving.url("hub"), timeout=_SECONDS, trust_env=False) as client,
        ):
            ended = demo(
                client,
                {slug: _keys(house, slug) for slug, service in house.services.items() if service.keyed},
                console,
                lambda: audit_house(house),
                lambda outcome: _write(house, seed, outcome, out),
            )
            if as_json:
                say_json(ended.document())
            else:
                show(console, ended)
            return 0 if ended.holds else 1


def _house(folder: Path | None, seed: int, nodes: NodeKind, console: Console) -> House:
    """On real nodes the clock begins now: LND follows a chain only if its last block is of today."""
    vault = Vault(sha256(f"glasstumbler demo {seed}".encode()).digest())
    clock = VirtualClock() if nodes == "in-process" else VirtualClock(int(time.time()))
    return House(folder, vault, clock, seed, {"lab": {"rate_limits": "off"}}, nodes=nodes, say=console.print)


def _keys(house: House, slug: str) -> Keys:
    key = house.vault.first_key(slug)
    return Keys(key, house.vault.account(key_row(slug, key, 0)).secret)


def _write(house: House, seed: int, outcome: Outcome, out: Path) -> Written:
    about = dataset.About(seed, "demo", house.lightning is not None and house.lightning.model)
    with house.store.snapshot() as records:
        manifest = dataset.export(records, house.chains, house.policies, about, out / "dataset")
    return Written(manifest.parent, report.write(outcome, seed, out / "report.html"))
