"""One server in a process of its own: `python -m bench.server fastapi|storeless FOLDER`.

It prints its URL and key, then serves.

The laboratory itself needs none of this: `glasstumbler serve` is measured as it is.
"""

from __future__ import annotations

import gc
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn

from bench import fastapi_app
from bench.storeless import NoStore
from glasstumbler.cli import GARBAGE
from glasstumbler.clock import RealClock
from glasstumbler.house import House
from glasstumbler.vault import Vault, key_row
from glasstumbler.web.asgi import Gate, ServiceApp

SERVICE = "btcmix"


def fastapi(folder: Path) -> tuple[Any, str]:
    return fastapi_app.make_app(folder / "orders.db"), fastapi_app.API_KEY


def storeless(folder: Path) -> tuple[Any, str]:
    vault = Vault.of_folder(folder)
    house = House(folder, vault, RealClock(), None, {"lab": {"rate_limits": "off", "chains": ["btc"]}})
    key = vault.first_key(SERVICE)
    house.store.close()
    service = house.services[SERVICE]
    service._store = NoStore(key_row(SERVICE, key, 0))  # type: ignore[assignment]
    return ServiceApp(service, Gate(1_000)), key


APPS = {"fastapi": fastapi, "storeless": storeless}


def main() -> None:
    gc.set_threshold(*GARBAGE)
    app, key = APPS[sys.argv[1]](Path(sys.argv[2]))
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"{SERVICE} http://127.0.0.1:{listening.getsockname()[1]} {key}", flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, loop="uvloop", http="httptools")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
