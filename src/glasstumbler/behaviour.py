"""What the laboratory tells a service to do wrong, so that a client's error paths can be tested."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from glasstumbler.errors import Forced


class Behaviour(msgspec.Struct, forbid_unknown_fields=True):
    maintenance: bool = False
    answer: str | int | None = None
    """A documented error code that the next `times` requests get."""
    times: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    payout: Literal["fail", "stall"] | None = None
    """`fail`: payouts that come due fail; `stall`: they wait until this is taken back."""


class Behaviours:
    def __init__(self) -> None:
        self._by_service: dict[str, Behaviour] = {}

    def of(self, service: str) -> Behaviour:
        return self._by_service.setdefault(service, Behaviour())

    def set(self, service: str, behaviour: Behaviour) -> None:
        self._by_service[service] = behaviour

    def payout(self, service: str) -> str | None:
        return self.of(service).payout

    def answer(self, service: str) -> None:
        """Raise the answer that was asked for, as often as it was."""
        behaviour = self.of(service)
        if behaviour.answer is not None and behaviour.times > 0:
            behaviour.times -= 1
            code = str(behaviour.answer)
            if behaviour.times == 0:
                behaviour.answer = None
            raise Forced(code)
