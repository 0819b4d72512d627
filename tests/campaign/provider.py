"""The fake provider that many calls share: each has a script of its own and finds its exchanges."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from litellm_cancel_otel._demo.fakes import Exchange, FakeProvider, Script
from litellm_cancel_otel._demo.fakes.http import Connection, Request

_MARK = re.compile(rb"campaign-(\d+)\.")


def marked(index: int) -> str:
    """Return a message by which the provider knows whose request it is."""
    return f"campaign-{index}."


class Desk(FakeProvider):
    """A fake provider that answers each marked call as its own script says."""

    def __init__(self) -> None:
        super().__init__()
        self.keeper: asyncio.Task[None] | None = None
        """The task that keeps it open, where one does: the loop itself holds tasks but weakly."""
        self._calls: dict[int, tuple[Script, Callable[[Exchange], None]]] = {}
        self._answering: Callable[[Exchange], None] = lambda _: None
        self.exchanges = _Delivering(lambda exchange: self._answering(exchange))

    def expect(self, index: int, script: Script, arrived: Callable[[Exchange], None]) -> None:
        """Answer a call's requests by a script; ``arrived`` is called with each exchange."""
        self._calls[index] = script, arrived

    async def _answer(self, request: Request, connection: Connection) -> None:
        mark = _MARK.search(request.body)
        if mark is None:
            raise LookupError("a request without a mark")
        # Nothing is awaited from here until the exchange is made: no other request comes between.
        self.script, self._answering = self._calls[int(mark[1])]
        await super()._answer(request, connection)


class _Delivering(list[Exchange]):
    """Hands each exchange to its call; keeps none."""

    def __init__(self, deliver: Callable[[Exchange], None]) -> None:
        super().__init__()
        self._deliver = deliver

    def append(self, exchange: Exchange) -> None:
        self._deliver(exchange)
