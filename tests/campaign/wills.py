"""HTTP layers that cancel from within or are slow to close, for the calls that want it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from ..support.transports import Dying, DyingTransport, Place, session


@dataclass(slots=True)
class Will:
    """What the HTTP layer does in one call.

    Used with ``with``, a close that waits is let when the block ends. So it is, too, where the call
    is given up in there: else its task would wait for ever when the loop's end cancels it.
    """

    place: Place = "nowhere"
    """Where it cancels from within."""
    slow_close: bool = False
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    """A response would close, and waits for ``let``."""
    let: asyncio.Event = field(default_factory=asyncio.Event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.let.set()

    async def closing_or(self, task: asyncio.Task[Any]) -> None:
        """Wait until a response would close, or until the task ends without: aiohttp's may."""
        closing = asyncio.create_task(self.closing.wait())
        await asyncio.wait({closing, task}, return_when=asyncio.FIRST_COMPLETED)
        closing.cancel()


WILL: ContextVar[Will | None] = ContextVar("campaign_will", default=None)


class _Dying(Dying):
    """Dies where the running call's will says so, once."""

    def __init__(self) -> None:
        super().__init__("nowhere")

    async def at(self, place: Place) -> None:
        will = WILL.get()
        if will is not None and will.place == place:
            will.place = "nowhere"
            self.place, self.times = place, 1
            await super().at(place)


class _Slow(httpx.AsyncBaseTransport):
    """Closes the responses of a call that wills it only once they are let."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        will = WILL.get()
        if will is not None and will.slow_close:
            response.stream = _SlowBody(response.stream, will)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _SlowBody(httpx.AsyncByteStream):
    def __init__(self, stream: Any, will: Will) -> None:
        self._stream = stream
        self._will = will

    def __aiter__(self) -> AsyncIterator[bytes]:
        body: AsyncIterator[bytes] = self._stream.__aiter__()
        return body

    async def aclose(self) -> None:
        self._will.closing.set()
        try:
            await self._will.let.wait()
        finally:
            await self._stream.aclose()


def willed_transport(kind: str) -> Any:
    """Return an HTTP transport, ``aiohttp`` or ``httpx``, that does what each call's will says."""
    if kind == "httpx":
        return _Slow(DyingTransport(_Dying()))
    return _Slow(session(kind, _Dying())._transport)
