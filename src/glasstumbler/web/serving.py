"""Servers on their ports: the hub on P, each service alone on P+1 and on. Started and stopped together.

They listen before the house is open, which may take a while when its chains are long: until then the hub's /readyz and
every service say 503. They stop in this order: no new connections; what was read whole is answered; then the house.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

import uvicorn

from glasstumbler import log, services
from glasstumbler.chains import guard
from glasstumbler.errors import GlassTumblerError, Overloaded, SettingsError
from glasstumbler.house import House
from glasstumbler.limits import Limits
from glasstumbler.story import Story
from glasstumbler.web.asgi import Closed, Door, Gate, ServiceApp
from glasstumbler.web.connections import SWEEP_SECONDS, Connections
from glasstumbler.web.health import Health
from glasstumbler.web.hub import STARTING, hub, starting_hub
from glasstumbler.web.lab_api import LabApi
from glasstumbler.web.pages.site import Site
from glasstumbler.web.protocol import BoundedProtocol
from glasstumbler.webhooks import Webhooks

_BACKLOG = 2048
_IDLE_SECONDS = 0.25
"""Between two looks at chains and due work."""
_AFTER_FAILURE_SECONDS = 5
_OTHER_FILES = 200
"""File descriptors that are kept for the store, the chains and the like."""
_LAST_SECONDS = 5
"""After `stop_seconds`, for a turn or a call of the lab API to come to its end."""
_KILLED_BY_USER = 130


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
    """The hub and the services of one house. `open_house` is called in a thread once the servers listen. `first` is the
    hub's port; 0 takes free ports for all. `turning` False: the house moves on only at the lab's calls, so that a run
    repeats byte for byte."""

    def __init__(
        self,
        open_house: Callable[[], House],
        host: str,
        first: int,
        block_interval: int = 0,
        turning: bool = True,
        limits: Limits | None = None,
    ) -> None:
        self._open_house, self._interval, self._turning = open_house, block_interval, turning
        self._limits = limits or Limits()
        self.house: House | None = None
        self._lab: LabApi | None = None
        self._site: Site | None = None
        self._webhooks: Webhooks | None = None
        self._gate = Gate(self._limits.requests)
        self._connections = Connections(self._limits, _room(self._limits.connections), self._note_dropped)
        closed = {slug: Closed(_dialect(slug), Overloaded(STARTING)) for slug in services.SERVICES}
        self._doors = {name: Door(app) for name, app in {"hub": starting_hub(closed), **closed}.items()}
        self.sockets: dict[str, socket.socket] = {}
        try:
            for place, name in enumerate(self._doors):
                self.sockets[name] = bind(host, first + place if first else 0)
        except GlassTumblerError:
            self.close()
            raise
        self._servers = {name: self._server(door) for name, door in self._doors.items()}
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
        if self._loop is None:
            self._stopping.set()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def run(self, ready: Callable[[House], None] | None = None) -> None:
        """Until `stop` or a signal; what was read whole is finished first. `ready` is called once the house is open;
        an error of opening it is raised."""
        self._loop = asyncio.get_running_loop()
        with _signals(self.stop, self._limits.stop_seconds + _LAST_SECONDS):
            serving = [
                asyncio.create_task(server.serve(sockets=[self.sockets[name]]))
                for name, server in self._servers.items()
            ]
            work = [asyncio.create_task(self._sweep_again_and_again())]
            try:
                house = await asyncio.to_thread(self._open_house)
                self._open_doors(house)
                if ready is not None:
                    ready(house)
                if self._turning:
                    work.append(asyncio.create_task(self._turn_again_and_again(house)))
                    if log.told("info"):
                        work.append(asyncio.create_task(self._tell_again_and_again(house)))
                if self._interval:
                    work.append(asyncio.create_task(self._mine_again_and_again(house)))
                await self._stopping.wait()
            finally:
                self._stopping.set()
                self._connections.stopping = True
                for server in self._servers.values():
                    server.should_exit = True
                for part in (self._lab, self._site, self._webhooks):
                    if part is not None:
                        part.hurry()
                await asyncio.gather(*serving)
                for task in work:
                    task.cancel()
                await asyncio.gather(*work, return_exceptions=True)
                for part in (self._webhooks, self._site, self._lab):
                    if part is not None:
                        await asyncio.to_thread(part.close)

    def _open_doors(self, house: House) -> None:
        for coin, chain in house.chains.items():
            guard.check_served(coin, chain.network)
        self.house = house
        seconds = self._limits.request_seconds
        apps = {slug: ServiceApp(service, self._gate, seconds) for slug, service in house.services.items()}
        house.metrics.connections.set_function(lambda: len(self._connections))
        house.metrics.in_flight.set_function(lambda: self._gate.inside)
        for slug, app in apps.items():
            self._doors[slug].app = app
        health = Health(house, self._turning)
        self._webhooks = Webhooks(house)
        self._webhooks.start()
        self._lab = LabApi(house, health, self._webhooks)
        self._site = Site(house, self._lab)
        self._doors["hub"].app = hub(house, apps, self._lab, health, self._site)

    def _note_dropped(self, why: str) -> None:
        if self.house is not None:
            self.house.metrics.dropped(why)

    def _server(self, app: Any) -> _Server:
        config = uvicorn.Config(
            app,
            http=partial(BoundedProtocol, self._connections),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=self._limits.keep_alive_seconds,
            timeout_graceful_shutdown=self._limits.stop_seconds,
            backlog=_BACKLOG,
        )
        return _Server(config)

    # -- again and again ----------------------------------------------------------------------------------------------

    async def _sweep_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                self._connections.sweep(asyncio.get_running_loop().time())
            except Exception:
                log.exception("overdue connections were not closed; it is tried again")

    async def _turn_again_and_again(self, house: House) -> None:
        while not self._stopping.is_set():
            pause = _IDLE_SECONDS
            try:
                await asyncio.to_thread(house.turn, wait=False)
            except Exception as error:
                house.metrics.error("turn")
                _report("turn failed; it is tried again", error)
                pause = _AFTER_FAILURE_SECONDS
            await asyncio.sleep(pause)

    async def _tell_again_and_again(self, house: House) -> None:
        story = await asyncio.to_thread(Story, house.store)
        while True:
            await asyncio.sleep(_IDLE_SECONDS)
            try:
                await asyncio.to_thread(story.tell)
            except Exception:
                log.exception("the record was not told; it is tried again")

    async def _mine_again_and_again(self, house: House) -> None:
        while not self._stopping.is_set():
            await asyncio.sleep(self._interval)
            if not house.ground.holding:
                continue
            for coin, chain in house.chains.items():
                try:
                    await asyncio.to_thread(chain.mine, 1)
                except Exception as error:
                    house.metrics.error("mine")
                    _report("no block was mined; the next is tried in time", error, coin=coin)


def _report(event: str, error: Exception, **fields: object) -> None:
    """What has a name is told in a line; what nobody thought of, with its trace."""
    if isinstance(error, GlassTumblerError):
        log.error(event, reason=str(error), **fields)
    else:
        log.exception(event, **fields)


def run(serving: Serving, ready: Callable[[House], None] | None = None) -> None:
    """Serve on the fastest event loop that is installed (uvloop), until `stop` or a signal."""
    with asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory()) as runner:
        runner.run(serving.run(ready))


def _dialect(slug: str) -> Any:
    kind = services.SERVICES[slug]
    return kind.dialect(kind.settings())


def _room(wanted: int) -> int:
    """How many connections the process may have: as many file descriptors as the system gives, less its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = wanted + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < need:
        soft = need if hard == resource.RLIM_INFINITY else min(need, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(soft - _OTHER_FILES, 1)
    return wanted


@contextlib.contextmanager
def _signals(stop: Callable[[], None], seconds: int) -> Iterator[None]:
    """The first SIGINT or SIGTERM stops, within `seconds`; the second ends the process at once. Both are safe: what
    was acknowledged is on the disk. In another thread than the main one signals are somebody else's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    last = threading.Timer(seconds, _end, (1, f"did not come to rest within {seconds} s"))
    last.daemon = True
    begun = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if begun.is_set():
            _end(_KILLED_BY_USER, "asked twice")
        begun.set()
        last.start()
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if not begun.is_set():  # else the house is closed next, which a second signal ends as well
            for number, handler in before.items():
                signal.signal(number, handler)


def _end(code: int, why: str) -> None:
    """Without waiting for anything, a standard error that nobody reads included."""
    with contextlib.suppress(OSError):
        os.set_blocking(2, False)
        os.write(2, f"glasstumbler: ended at once ({why}); everything acknowledged is kept\n".encode())
    os._exit(code)
