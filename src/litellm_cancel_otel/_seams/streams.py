"""Streams: the object that the caller holds, seen from its first chunk to its one end.

A watched stream is LiteLLM's own object, its class exchanged for a subclass made here, so that
``isinstance(response, litellm.CustomStreamWrapper)`` and every attribute stay as they were. Only
an async generator, whose class cannot be exchanged, is wrapped, by another async generator.
"""

import inspect
import weakref
from asyncio import CancelledError
from collections.abc import AsyncGenerator, Awaitable, Coroutine
from functools import lru_cache
from typing import Any

from .._call import Call
from .._evidence import running_task
from .._records import Exit
from .active import CURRENT, reset
from .internal import mapped_error, provider_error
from .steps import SUBSTITUTE, ChunkStep, Step

CALL = "_litellm_cancel_otel_call"
"""The attribute of a watched stream that holds its call."""


def watch_result(result: Any, call: Call) -> Any:
    """Return the call's result, watched where it is a stream; anything else ends the call."""
    if inspect.isasyncgen(result):
        watched = watched_generator(result, call)
        _opened(watched, call)
        return watched
    cls = type(result)
    if not hasattr(cls, "__anext__") or hasattr(result, CALL):
        call.end(Exit.RETURNED)
        return result
    result.__class__ = watched_type(cls)
    setattr(result, CALL, call)
    _opened(result, call)
    return result


def _opened(stream: Any, call: Call) -> None:
    # The call is held by the tracker while the stream is open, and holds this weak reference:
    # its callback runs as soon as the stream goes, whatever else is part of a cycle.
    call.stream = weakref.ref(stream, lambda _: call.end(Exit.DROPPED))
    call.sink.opened(call)


def watched_type(cls: type) -> type:
    """Return a subclass of a stream's class whose instances report to their call."""
    if "<locals>" in cls.__qualname__:  # made for one call: kept by nobody, nor by us
        return _make_watched_type(cls)
    return _watched_type(cls)


@lru_cache(maxsize=256)
def _watched_type(cls: type) -> type:
    return _make_watched_type(cls)


def _make_watched_type(cls: type) -> type:
    base_anext = cls.__anext__  # type: ignore[attr-defined]
    base_aclose = getattr(cls, "aclose", None)

    def __anext__(self: Any) -> Coroutine[Any, Any, Any]:
        call: Call = getattr(self, CALL)
        coro: Coroutine[Any, Any, Any] = base_anext(self)
        if call.ended:
            return coro
        return ChunkStep(coro if call.chunks else first_chunk(coro, call), call, self)

    async def aclose(self: Any) -> None:
        # LiteLLM's stream has no aclose before 1.77: ours closes the provider's response.
        call: Call = getattr(self, CALL)
        await close(call, _close_upstream(call) if base_aclose is None else base_aclose(self))

    def substitute(self: Any, exc: BaseException) -> Coroutine[Any, Any, Any]:
        call: Call = getattr(self, CALL)
        if not hasattr(self, "completion_stream"):
            return _raise(mapped_error(call, exc))
        # Asked once more, LiteLLM's stream meets the error where it reads from the provider, and
        # logs, maps and falls back as it does for any other.
        self.completion_stream = _Failing(provider_error(call, exc))
        coro: Coroutine[Any, Any, Any] = base_anext(self)
        return coro

    members = {"__slots__": (), "__anext__": __anext__, "aclose": aclose, SUBSTITUTE: substitute}
    watched = type(cls)(cls.__name__, (cls,), {**members, "__module__": cls.__module__})
    watched.__qualname__ = cls.__qualname__
    return watched


class _Failing:
    """A provider's stream whose next chunk is an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __aiter__(self) -> "_Failing":
        return self

    async def __anext__(self) -> Any:
        raise self._error


async def _raise(error: Exception) -> Any:
    raise error


async def first_chunk(coro: Awaitable[Any], call: Call) -> Any:
    """Await the first chunk with the call as the current one: some providers ask only now."""
    token = CURRENT.set(call)
    try:
        chunk = await coro
    finally:
        reset(token)
    call.first_chunk = call.clock()
    return chunk


async def close(call: Call, closing: Coroutine[Any, Any, Any]) -> None:
    """Await a stream's close by its consumer, and end the call with it."""
    if call.ended:
        await closing
        return
    call.closing_since = call.clock()
    if running_task() is not call.driver:
        call.drive(running_task())
    try:
        await Step(closing, call.thrown)
    except BaseException as exc:  # the host's: noted, and the same object raised again
        told_to_stop = isinstance(exc, CancelledError) and call.rise() > 0
        call.end(Exit.CANCELLED if told_to_stop else Exit.CLOSED, exc)
        raise
    cancel = call.cancel
    if cancel is not None and call.rise() > 0:
        # LiteLLM's aclose catches a cancel too. It has closed by now; the cancel is passed on.
        call.end(Exit.CANCELLED, cancel)
        raise cancel
    call.end(Exit.CLOSED)


async def _close_upstream(call: Call) -> None:
    upstream = call.upstream
    if upstream is not None and upstream.close is not None:
        await upstream.close()


async def watched_generator(inner: AsyncGenerator[Any, Any], call: Call) -> AsyncGenerator[Any]:
    """Yield what an async generator yields, and keep its call's record."""
    owner = _Raising(call)
    try:
        while True:
            asked = inner.__anext__()
            step = ChunkStep(asked if call.chunks else first_chunk(asked, call), call, owner)
            try:
                chunk = await step
            except StopAsyncIteration:
                return
            yield chunk
    except GeneratorExit:
        if _finalized_by_loop():
            call.end(Exit.DROPPED)
        await close(call, inner.aclose())
        raise
    finally:
        call.end(Exit.CLOSED)  # athrow: for every other way it has ended by now


def _finalized_by_loop() -> bool:
    """Return whether the running task is one that the loop made to close a dropped generator."""
    task = running_task()
    return task is not None and type(task.get_coro()).__name__ == "async_generator_athrow"


class _Raising:
    def __init__(self, call: Call) -> None:
        self._call = call

    def litellm_cancel_otel_substitute(self, exc: BaseException) -> Coroutine[Any, Any, Any]:
        return _raise(mapped_error(self._call, exc))
