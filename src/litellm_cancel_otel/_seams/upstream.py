"""The provider's HTTP response: which host, when it was closed, and how to close it.

Nearly every HTTP client that LiteLLM uses for its providers sends through
``httpx.AsyncClient.send`` (openai 3 through its fork, ``httpx2``), aiohttp's sessions too, behind a
transport of LiteLLM's. ``sessions.py`` and ``threads.py`` watch those that do not.
"""

import asyncio
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache, wraps
from typing import Any

from .._asyncio.tasks import running_task
from .._calls.upstream import Upstream
from . import sessions, threads
from .active import CURRENT, asking_call
from .addresses import address_of
from .patching import SeamMissing, Undo, replace

LIBRARIES = ("httpx", "httpx2")


def install() -> Iterator[Undo]:
    """Watch the HTTP libraries that are there; raise SeamMissing where one is not as expected."""
    for library in _libraries():
        yield _watch_send(library)


def install_threads() -> Iterator[Undo]:
    """Watch what these libraries send from threads; raise SeamMissing where one is not so."""
    for library in _libraries():
        yield threads.install(library)


def install_sessions() -> Iterator[Undo]:
    """Watch what LiteLLM sends through aiohttp itself; raise SeamMissing where it is not so."""
    if importlib.util.find_spec("aiohttp") is not None:
        yield sessions.install(importlib.import_module("aiohttp"))


def _libraries() -> Iterator[Any]:
    """Yield the libraries in use, or that may be: openai decides by which it asks."""
    for name in LIBRARIES:
        undecided = "openai" not in sys.modules and importlib.util.find_spec(name) is not None
        if name in sys.modules or undecided:  # else it is not theirs, and takes long to load
            yield importlib.import_module(name)


def _watch_send(library: Any) -> Undo:
    original = getattr(getattr(library, "AsyncClient", None), "send", None)
    if original is None:
        raise SeamMissing(f"{library.__name__}.AsyncClient.send is not there")

    @wraps(original)
    async def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        call = asking_call()
        if call is None:
            return await original(self, request, *args, **kwargs)
        upstream = Upstream(*address_of(request.url))
        call.upstream = upstream
        try:
            response = await original(self, request, *args, **kwargs)
        except BaseException:  # the host's: the exchange is over, and the same object raised again
            upstream.closed(call.clock())
            raise
        try:
            _watch_close(response, upstream, call.clock)
        except Exception as fault:  # noqa: BLE001 - ours: the caller gets the response all the same
            call.observer.faults.note("upstream.watch", fault)
        return response

    return replace(library.AsyncClient, "send", send)


def _watch_close(response: Any, upstream: Upstream, clock: Callable[[], float]) -> None:
    if response.is_closed:  # not streamed: read to its end and closed within send()
        upstream.closed(clock())
        return
    upstream.connection = connection = _Connection(response, upstream, clock)
    kind: Any = type(response.stream)
    response.stream = _watched_stream(kind)(response.stream, connection)


@lru_cache(maxsize=64)
def _watched_stream(cls: Any) -> Any:
    """Return a byte stream class of the same kind that tells of its close."""
    # httpx looks for its own base class, httpx2 for another of the same name.
    base = next(parent for parent in cls.__mro__ if parent.__name__ == "AsyncByteStream")

    class WatchedByteStream(base):  # type: ignore[misc, valid-type]
        __slots__ = ("_connection", "_inner")

        def __init__(self, inner: Any, connection: "_Connection") -> None:
            self._inner = inner
            self._connection = connection

        def __aiter__(self) -> Any:
            # Nothing of ours stands in the way of the bytes.
            self._connection.body = body = self._inner.__aiter__()
            call, task = CURRENT.get(), running_task()
            if call is not None and call.driving.task is not task:
                self._connection.reader = task
            return body

        async def aclose(self) -> None:
            try:
                await self._inner.aclose()
            finally:
                self._connection.stream_closed()

    return WatchedByteStream


class _Connection:
    """The connection's end of a response, where closes happen that httpx does not hear of.

    On a cancel, httpcore closes from within the body's iteration, and so does LiteLLM's aiohttp
    transport of today; neither goes through ``aclose``. LiteLLM's aiohttp transport of 1.72 hands
    httpx a body whose ``aclose`` never reaches the connection: only aiohttp's own close does.
    """

    __slots__ = ("_aiohttp", "_clock", "_httpcore", "_response", "_upstream", "body", "reader")

    def __init__(self, response: Any, upstream: Upstream, clock: Callable[[], float]) -> None:
        self._response = response
        self._upstream = upstream
        self._clock = clock
        self.body: Any = None
        """The body's iterator, once somebody reads it."""
        self.reader: asyncio.Task[object] | None = None
        """The task that reads it, where that is not the call's own but one of LiteLLM's."""
        stream = response.stream
        while (inner := getattr(stream, "_stream", None)) is not None:
            stream = inner
        self._aiohttp = getattr(stream, "_aiohttp_response", None)
        self._httpcore = getattr(stream, "_httpcore_stream", None)

    def is_closed(self) -> bool:
        """Return whether this end is known to be closed."""
        if self._aiohttp is not None:
            return getattr(self._aiohttp, "closed", False) is True
        return getattr(self._httpcore, "_closed", False) is True

    def is_read(self) -> bool:
        """Return whether somebody is reading the body, or will go on when there is room again."""
        if self.reader is not None and not self.reader.done():
            return True
        return getattr(self.body, "ag_running", False) is True

    def stream_closed(self) -> None:
        """Note that httpx has closed the body, which aiohttp's end need not have heard of."""
        if self._aiohttp is None:
            self._upstream.closed(self._clock())
        else:
            self._upstream.is_open(self._clock())  # asks this end, and notes its close

    async def close(self) -> None:
        """Close the response, and what httpx's close leaves open."""
        try:
            await self._response.aclose()
        finally:
            if self._aiohttp is not None and not self.is_closed():
                self._aiohttp.close()
            self._upstream.closed(self._clock())
