"""One call as two pure halves: the request that it sends, and how its reply is read. No socket is near.

Each dialect's calls are the methods of one class, marked `@call`, which make a `Call`. What such a method gives depends
on what it is called on: a client that `Sends` sends the call and gives its result, one that `SendsLater` gives
something to await, and the bare class gives the `Call`, for whoever brings an HTTP client of their own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from typing import Any, Concatenate, Generic, NamedTuple, ParamSpec, Self, TypeVar, overload

import msgspec

from glasstumbler.client.errors import BadReply

T = TypeVar("T")
P = ParamSpec("P")
_SHOWN = 80


class Request(NamedTuple):
    method: str
    path: str
    """Within the service, escaped."""
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class Call(NamedTuple, Generic[T]):
    request: Request
    reader: Callable[[Reply], T]

    def read(self, reply: Reply) -> T:
        """The result, or a ClientError, whatever the reply holds."""
        try:
            return self.reader(reply)
        except (msgspec.DecodeError, ValueError, ArithmeticError, RecursionError) as error:
            raise bad_reply(self.request, reply, str(error) or type(error).__name__) from None


def bad_reply(request: Request, reply: Reply, why: str) -> BadReply:
    shown = reply.body[:_SHOWN].decode(errors="replace")
    return BadReply(f"{request.method} {request.path}", reply.status, why, shown)


class Calls:
    """A class whose methods are calls."""


class Sends(ABC):
    @abstractmethod
    def send(self, call: Call[T]) -> T: ...


class SendsLater(ABC):
    @abstractmethod
    async def send(self, call: Call[T]) -> T: ...


class call(Generic[P, T]):  # noqa: N801  # a decorator
    def __init__(self, build: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self._build, self.__doc__ = build, build.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Sends, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: SendsLater, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, client: Calls, owner: type) -> Callable[P, Call[T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self
        build = self._build

        @wraps(build)
        def asked(*args: P.args, **kwargs: P.kwargs) -> Any:
            made = build(client, *args, **kwargs)
            return client.send(made) if isinstance(client, (Sends, SendsLater)) else made

        return asked
