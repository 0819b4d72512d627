"""An HTTP layer that cancels by itself, or closes slowly: what a caller cannot do from outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Literal, TypeAlias

import httpx
import openai
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

from .fakes import Wire

DropAt: TypeAlias = Literal["connect", "body"] | None


class DroppingTransport(httpx.AsyncHTTPTransport):
    """Awaits a future that it cancels itself: at connect, or after the body's first bytes.

    Nobody has told the task to stop then; that is what an internal cancel looks like. With
    ``slow_close`` a response takes that many seconds to close, and ``closing`` says that it has
    begun to. ``on_drop`` is called at the moment of the cancel.
    """

    def __init__(
        self,
        drop_at: DropAt = None,
        slow_close: float = 0.0,
        on_drop: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.drop_at = drop_at
        self.on_drop = on_drop
        self.slow_close = slow_close
        self.closing = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, unless it is dropped."""
        if self.drop_at == "connect":
            self.on_drop()
            await _cancelled_future()
        response = await super().handle_async_request(request)
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _Body(response.stream, self)
        return response


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, transport: DroppingTransport) -> None:
        # By this name the connection's end is looked for.
        self._stream = stream
        self._transport = transport

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._stream:
            yield data
            if self._transport.drop_at == "body":
                self._transport.on_drop()
                await _cancelled_future()

    async def aclose(self) -> None:
        self._transport.closing.set()
        try:
            await asyncio.sleep(self._transport.slow_close)
        finally:
            await self._stream.aclose()


async def _cancelled_future() -> None:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.cancel)
    await future


async def client_for(
    provider: Wire, kwargs: dict[str, Any], transport: DroppingTransport
) -> tuple[Any, Callable[[], Awaitable[None]]]:
    """Return what LiteLLM takes as ``client`` for a call through the transport, and its close."""
    http = httpx.AsyncClient(transport=transport)
    match provider:
        case "azure":
            return openai.AsyncAzureOpenAI(
                azure_endpoint=kwargs["api_base"],
                api_key=kwargs["api_key"],
                api_version=kwargs["api_version"],
                http_client=http,
                max_retries=0,
            ), http.aclose
        case "openai":
            return openai.AsyncOpenAI(
                base_url=kwargs["api_base"],
                api_key=kwargs["api_key"],
                http_client=http,
                max_retries=0,
            ), http.aclose
        case _:  # through a handler of LiteLLM's own
            handler = AsyncHTTPHandler()
            await handler.client.aclose()
            handler.client = http
            return handler, http.aclose
