"""Servers on their ports: the hub on P, each service alone on P+1 and on. Started and stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from glasstumbler import log
from glasstumbler.errors import GlassTumblerError, SettingsError
from glasstumbler.house import House
from glasstumbler.web.asgi import ServiceApp
from glasstumbler.web.hub import hub

_BACKLOG = 2048
_IDLE_SECONDS = 0.25
"""Between two looks at chains and due work."""
_AFTER_FAILURE_SECONDS = 5


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # one handler serves all servers


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. SettingsError if it cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    return listening


class Serving:
    """The hub and the services of one house. `first` is the hub's port; 0 takes free ports for all. `turning` False:
    the house moves on only at the lab's calls, so that a run repeats byte for byte."""

    def __init__(self, house: House, host: str, first: int, block_interval: int = 0, turning: bool = True) -> None:
        self._house, self._interval, self._turning = house, block_interval, turning
        apps: dict[str, Any] = {"hub": hub(house)}
        apps |= {slug: ServiceApp(service) for slug, service in house.services.items()}
        self.sockets: dict[str, socket.socket] = {}
        try:
            for place, name in enumerate(apps):
                self.sockets[name] = bind(host, first + place if first else 0)
        except GlassTumblerError:
            self.close()
            raise
        self._servers = {name: _server(app) for name, app in apps.items()}
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def url(self, name: str) -> str:
        host, port = self.sockets[name].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def close(self) -> None:
        for listening in self.sockets.values():
            listening.close()

    def stop(self) -> None:
        """From any thread; before `run` it stops as soon as it has begun."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        else:
            self._stopping.set()

    async def run(self, ready: Callable[[], None] | None = None) -> None:
        """Until `stop` or a signal; what was accepted is finished first. `ready` is called once both would end it."""
        loop = self._loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, self.stop)
        if ready is not None:
            ready()
        serving = [
            asyncio.create_task(server.serve(sockets=[self.sockets[name]])) for name, server in self._servers.items()
        ]
        work = [asyncio.create_task(self._turn_again_and_again())] if self._turning else []
        if self._interval:
            work.append(asyncio.create_task(self._mine_again_and_again()))
        await self._stopping.wait()
        for server in self._servers.values():
            server.should_exit = True
        await asyncio.gather(*serving)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)

    async def _turn_again_and_again(self) -> None:
        while not self._stopping.is_set():
            pause = _IDLE_SECONDS
            try:
                await asyncio.to_thread(self._house.turn, wait=False)
            except Exception as error:
                _report("turn failed; it is tried again", error)
                pause = _AFTER_FAILURE_SECONDS
            await asyncio.sleep(pause)

    async def _mine_again_and_again(self) -> None:
        while not self._stopping.is_set():
            await asyncio.sleep(self._interval)
            if not self._house.ground.holding:
                continue
            for coin, chain in self._house.chains.items():
                try:
                    await asyncio.to_thread(chain.mine, 1)
                except Exception as error:
                    _report("no block was mined; the next is tried in time", error, coin=coin)


def _report(event: str, error: Exception, **fields: object) -> None:
    """What has a name is told in a line; what nobody thought of, with its trace."""
    if isinstance(error, GlassTumblerError):
        log.error(event, reason=str(error), **fields)
    else:
        log.exception(event, **fields)


def run(serving: Serving, ready: Callable[[], None] | None = None) -> None:
    """Serve on the fastest event loop that is installed (uvloop), until `stop` or a signal."""
    with asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory()) as runner:
        runner.run(serving.run(ready))


def _server(app: Any) -> _Server:
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
        backlog=_BACKLOG,
    )
    return _Server(config)
