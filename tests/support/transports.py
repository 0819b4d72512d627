"""HTTP transports with a will of their own: some cancel from within, one is slow to close."""

import asyncio
from typing import Any, Literal

import aiohttp
import httpx
from litellm.llms.custom_httpx.aiohttp_transport import LiteLLMAiohttpTransport

Place = Literal["connect", "body", "rest", "nowhere"]
"""Before the request is sent, while the body is waited for, while its rest is; or not at all."""


async def dies() -> None:
    """Await what somebody else cancels."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.cancel)
    await future


class Dying:
    """Where the next exchange dies; ``times`` of them, then none."""

    def __init__(self, place: Place, times: int = 1_000) -> None:
        self.place = place
        self.times = times

    async def at(self, place: Place) -> None:
        """Die, if this is the place."""
        if place == self.place and self.times:
            self.times -= 1
            await dies()


class _Body(httpx.AsyncByteStream):
    def __init__(self, inner: Any, dying: Dying) -> None:
        self._inner = inner
        self._dying = dying

    async def __aiter__(self) -> Any:
        await self._dying.at("body")
        async for data in self._inner:
            yield data
            await self._dying.at("rest")

    async def aclose(self) -> None:
        await self._inner.aclose()


class DyingTransport(httpx.AsyncHTTPTransport):
    """Plain httpx, as LiteLLM uses it with DISABLE_AIOHTTP_TRANSPORT."""

    def __init__(self, dying: Dying) -> None:
        super().__init__()
        self._dying = dying

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._dying.at("connect")
        response = await super().handle_async_request(request)
        response.stream = _Body(response.stream, self._dying)
        return response


class _Connector(aiohttp.TCPConnector):
    def __init__(self, dying: Dying) -> None:
        super().__init__()
        self._dying = dying

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        await self._dying.at("connect")
        return await super().connect(*args, **kwargs)


def _response_class(dying: Dying) -> type[aiohttp.ClientResponse]:
    class Content(aiohttp.StreamReader):
        __slots__ = ()

        async def _wait(self, func_name: str) -> None:
            await dying.at("rest" if self.total_bytes else "body")
            await super()._wait(func_name)

    class Response(aiohttp.ClientResponse):
        async def start(self, connection: Any) -> Any:
            started = await super().start(connection)
            if isinstance(self.content, aiohttp.StreamReader):  # not where there is no body
                self.content.__class__ = Content
            return started

    return Response


def session(kind: str, dying: Dying) -> httpx.AsyncClient:
    """Return an HTTP client as LiteLLM makes it, ``aiohttp`` or ``httpx``, but for its deaths."""
    if kind == "httpx":
        return httpx.AsyncClient(transport=DyingTransport(dying))

    def client() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=_Connector(dying), response_class=_response_class(dying)
        )

    return httpx.AsyncClient(transport=LiteLLMAiohttpTransport(client=client))


class SlowToClose(httpx.AsyncHTTPTransport):
    """Closes each response only once it is let; ``closing`` says that one would close."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = asyncio.Event()
        self.let = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        response.stream = _SlowBody(response.stream, self)
        return response


class _SlowBody(httpx.AsyncByteStream):
    def __init__(self, inner: Any, transport: SlowToClose) -> None:
        self._inner = inner
        self._transport = transport

    def __aiter__(self) -> Any:
        return self._inner.__aiter__()

    async def aclose(self) -> None:
        self._transport.closing.set()
        try:
            await self._transport.let.wait()
        finally:
            await self._inner.aclose()


class Pausing(httpx.AsyncHTTPTransport):
    """Lets the loop run a few times while it closes a response, so that a cancel can land there."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        response.stream = _PausingBody(response.stream)
        return response


class _PausingBody(httpx.AsyncByteStream):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __aiter__(self) -> Any:
        return self._inner.__aiter__()

    async def aclose(self) -> None:
        try:
            for _ in range(3):
                await asyncio.sleep(0)
        finally:
            await self._inner.aclose()
