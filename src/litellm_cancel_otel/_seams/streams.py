"""Streams: the object that the caller holds, seen from its first chunk to its one end.

A watched stream is LiteLLM's own object, its class exchanged for a subclass made here, so that
``isinstance(response, litellm.CustomStreamWrapper)`` and every attribute stay as they were. Only
an async generator, whose class cannot be exchanged, is wrapped, by another async generator.
"""

import inspect
import sys
import weakref
from asyncio import CancelledError
from collections.abc import AsyncGenerator, Coroutine
from functools import lru_cache
from typing import Any

from litellm import CustomStreamWrapper

from .._asyncio.tasks import running_task
from .._asyncio.throw_hook import ThrowHook
from .._calls.call import Call
from .._contract.records import Exit
from .chunk_step import STEP, SUBSTITUTE, ChunkStep, FirstStep
from .internal import mapped_error, provider_error


def watch_result(result: Any, call: Call) -> Any:
    """Return the call's result, watched where it is a stream; anything else ends the call."""
    cls = type(result)
    body = getattr(result, "body_iterator", None)
    if body is not None:  # the proxy's pass-through returns the server's response
        result.body_iterator = watch_result(body, call)
        return result
    if inspect.isasyncgen(result):
        owner = _Owner()
        stream: Any = watched_generator(result, owner)
        held = weakref.ref(owner)
    elif hasattr(cls, "__anext__") and not hasattr(result, STEP):
        owner = stream = result
        result.__class__ = watched_type(cls)
        held = None
    else:
        call.end(Exit.RETURNED)
        return result
    remembers = isinstance(result, CustomStreamWrapper) and call.description.remembers(result)
    # The call is held by the tracker while the stream is open, and holds this weak reference:
    # its callback runs as soon as the stream goes, whatever else is part of a cycle.
    call.stream = _WeakStream(stream, call)
    step = FirstStep(call, held or call.stream, peeks=not remembers)
    call.progress.source = step
    setattr(owner, STEP, step)
    call.opens()
    return stream


class _WeakStream(weakref.ref[Any]):
    """Refers weakly to a stream, and tells its call when it goes."""

    __slots__ = ("call",)

    call: Call

    def __new__(cls, stream: object, call: Call) -> "_WeakStream":
        ref = super().__new__(cls, stream, _gone)
        ref.call = call
        return ref

    def __init__(self, stream: object, call: Call) -> None:
        pass


def _gone(ref: _WeakStream) -> None:
    ref.call.dropped()


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

    def __anext__(self: Any) -> ChunkStep:
        step: ChunkStep = self.litellm_cancel_otel_step
        if step.coro is not None:
            return step.take(base_anext(self))
        step.coro = base_anext(self)
        return step

    async def aclose(self: Any) -> None:
        step: ChunkStep = self.litellm_cancel_otel_step
        if base_aclose is not None and step.runs:
            # LiteLLM's stream closes itself when its chunk fails (from 1.110): no consumer closes.
            await base_aclose(self)
            return
        # LiteLLM's own stream has no aclose before 1.77: ours closes the provider's response.
        call = step.call
        await close(call, _close_upstream(call) if base_aclose is None else base_aclose(self))

    def substitute(self: Any, exc: BaseException) -> Coroutine[Any, Any, Any]:
        call = getattr(self, STEP).call
        if not isinstance(self, CustomStreamWrapper):
            return _raise(mapped_error(call, exc))
        # Asked once more, LiteLLM's stream meets the error where it reads from the provider, and
        # logs, maps and falls back as it does for any other.
        error = mapped_error(call, exc)
        self.completion_stream = _Failing(provider_error(call, exc))
        return _asked_once_more(base_anext(self), error)

    members = {"__slots__": (), "__anext__": __anext__, "aclose": aclose, SUBSTITUTE: substitute}
    watched = type(cls)(cls.__name__, (cls,), {**members, "__module__": cls.__module__})
    watched.__qualname__ = cls.__qualname__
    del watched.__slots__  # type: ignore[attr-defined]  # it has done its work, and dir() shows it
    return watched


class _Failing:
    """A provider's stream whose next chunk is an error."""

    def __init__(self, error: Exception) -> None:
        self._error: Exception | None = error

    def __aiter__(self) -> "_Failing":
        return self

    async def __anext__(self) -> Any:
        error, self._error = self._error, None
        try:
            if error is None:
                raise StopAsyncIteration
            raise error
        finally:
            del error  # else its traceback, which has this frame, keeps it alive


async def _asked_once_more(asked: Coroutine[Any, Any, Any], error: Exception) -> Any:
    try:
        chunk = await asked
        if chunk is None:  # 1.77.0 raises nothing where the error is one of LiteLLM's own already
            raise error
        return chunk
    finally:
        del error  # else its traceback, which has this frame, keeps it alive


async def _raise(error: Exception) -> Any:
    try:
        raise error
    finally:
        del error


async def close(call: Call, closing: Coroutine[Any, Any, Any]) -> None:
    """Await a stream's close by its consumer, and end the call with it."""
    if call.ended:
        await closing
        return
    call.closes()
    if running_task() is not call.driving.task and not call.signs.by_guard:
        call.drive(running_task())
    elif call.driving.baseline:
        call.driving.follow_down()
    cancels: list[CancelledError] = []

    def told(exc: BaseException) -> None:
        call.thrown(exc)
        if isinstance(exc, CancelledError):
            cancels[:] = [exc]

    try:
        try:
            await ThrowHook(closing, told)
        except GeneratorExit:  # the collector may be what destroys this frame
            call.dropped()
            raise
        except BaseException as exc:  # the host's: noted, and the same object raised again
            # The guard's own limit on a close tells the guard's task to stop, not the stream's.
            cancelled = isinstance(exc, CancelledError) and call.driving.rise() > 0
            by_caller = cancelled and not call.signs.by_guard
            call.end(Exit.CANCELLED if by_caller else Exit.CLOSED, exc)
            raise
        if cancels and call.signs.told_to_stop and call.driving.rise() > 0:
            # LiteLLM's aclose catches a cancel too. It has closed by now; the cancel is passed on.
            call.end(Exit.CLOSED if call.signs.by_guard else Exit.CANCELLED, cancels[0])
            raise cancels[0]
        call.end(Exit.CLOSED)
    finally:
        cancels.clear()  # else its traceback, which has this frame, keeps it alive


async def _close_upstream(call: Call) -> None:
    if call.upstream is not None:
        await call.upstream.close()


class _Owner:
    """Stands in for an async generator, which takes no attributes."""

    litellm_cancel_otel_step: ChunkStep

    def litellm_cancel_otel_substitute(self, exc: BaseException) -> Coroutine[Any, Any, Any]:
        return _raise(mapped_error(self.litellm_cancel_otel_step.call, exc))


async def watched_generator(
    inner: AsyncGenerator[Any, Any], owner: _Owner
) -> AsyncGenerator[Any, Any]:
    """Yield what an async generator yields, pass on what is sent and thrown in, keep its record."""
    call = owner.litellm_cancel_otel_step.call
    asked = inner.__anext__()
    try:
        while True:
            try:
                chunk = await owner.litellm_cancel_otel_step.take(asked)
                while True:
                    try:
                        asked = inner.asend((yield chunk))
                        break
                    except GeneratorExit:
                        if _finalized_by_loop():
                            call.end(Exit.DROPPED)
                        await close(call, inner.aclose())
                        raise
                    except BaseException as exc:  # noqa: BLE001 - the consumer's: the generator's to judge
                        call.closes()
                        chunk = await inner.athrow(exc)
                        call.goes_on()
            except StopAsyncIteration:
                return
    finally:
        del asked
        if sys.exc_info()[0] is GeneratorExit:
            call.dropped()  # the collector may be what closes it
        else:
            call.end(Exit.CLOSED)  # for every other way it has ended by now


def _finalized_by_loop() -> bool:
    """Return whether the running task is one that the loop made to close a dropped generator."""
    task = running_task()
    return task is not None and type(task.get_coro()).__name__ == "async_generator_athrow"
