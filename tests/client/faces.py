"""One way to write a test of both faces: an asynchronous client is asked by a loop of the test's own."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any, Self

from glasstumbler import client as clients
from glasstumbler.client.calls import call


class Face:
    """`face.SwapV3(url)` is a SwapV3, or an AsyncSwapV3 whose calls are awaited for you."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.__enter__()
        self._runner = self._stack.enter_context(asyncio.Runner())
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def __getattr__(self, name: str) -> Any:
        def open_client(*args: Any, **kwargs: Any) -> Client:
            made = getattr(clients, name if self.kind == "sync" else f"Async{name}")(*args, **kwargs)
            found = Client(made, None if self.kind == "sync" else self._runner)
            self._stack.callback(found.close)
            return found

        return open_client


class Client:
    """Remembers which calls were made."""

    def __init__(self, client: Any, runner: asyncio.Runner | None) -> None:
        self._client, self._runner = client, runner
        self.asked: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        def ask(*args: Any, **kwargs: Any) -> Any:
            self.asked.add(name)
            result = getattr(self._client, name)(*args, **kwargs)
            return result if self._runner is None else self._runner.run(result)

        return ask


def calls_of(kind: type) -> set[str]:
    return {name for each in kind.__mro__ for name, value in vars(each).items() if isinstance(value, call)}
