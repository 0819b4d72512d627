"""Coroutines around LiteLLM's own, which see what is thrown in before anything unwinds.

A wrapper written as ``async def`` learns of a cancel last: the provider's client closes its
response first, and a close that hangs would be no part of the latency. An awaitable of our own
stands in the chain between the task and the innermost await, so that the cancel passes through
``throw`` on its way in.
"""

from asyncio import CancelledError, current_task
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any

from .._call import Call
from .._evidence import running_task
from .._records import Exit


def thrown_instance(
    typ: type[BaseException] | BaseException, val: object, tb: TracebackType | None
) -> BaseException:
    """Return the exception that the three forms of ``throw``'s arguments mean, the same object."""
    if isinstance(typ, BaseException):
        exc = typ
    elif isinstance(val, BaseException):
        exc = val
    else:
        exc = typ() if val is None else typ(val)
    return exc if tb is None else exc.with_traceback(tb)


Told = Callable[[BaseException], object]


class Step(Coroutine[Any, Any, Any]):
    """Awaits a coroutine of LiteLLM's; ``told`` is given each exception that is thrown into it."""

    __slots__ = ("_coro", "_send", "_told")

    def __init__(self, coro: Coroutine[Any, Any, Any], told: Told) -> None:
        self._coro = coro
        self._send = coro.send
        self._told = told

    def __await__(self) -> Generator[Any, Any, Any]:
        return self  # type: ignore[return-value]  # an iterator with send, throw and close will do

    def __iter__(self) -> "Step":
        return self

    def __next__(self) -> Any:
        return self._send(None)

    def send(self, value: Any) -> Any:
        """Resume the coroutine."""
        return self.__next__() if value is None else self._send(value)

    def throw(self, typ: Any, val: Any = None, tb: TracebackType | None = None) -> Any:
        """Throw into the coroutine, after ``told`` has been."""
        exc = thrown_instance(typ, val, tb)
        self._told(exc)
        return self._coro.throw(exc)

    def close(self) -> None:
        """Close the coroutine."""
        self._coro.close()

    @property
    def cr_await(self) -> object:
        """What is awaited: lets a walk along the await chain pass through."""
        return self._coro


SUBSTITUTE = "litellm_cancel_otel_substitute"
"""The method of a stream's owner that is asked when an internal cancel comes out of it.

What it returns is awaited in the chunk's place, so that the caller gets an error that LiteLLM's
retries and fallbacks act on.
"""


class ChunkStep(Step):
    """Awaits one chunk and keeps the stream's record; the hot path of this package."""

    __slots__ = ("_call", "_owner")

    def __init__(self, coro: Any, call: Call, owner: Any) -> None:
        # Not through super(): this runs once a chunk.
        self._coro = coro
        self._send = coro.send
        self._told = call.thrown
        self._call = call
        self._owner = owner

    def __next__(self) -> Any:
        call = self._call
        if call.driver is not current_task(call.loop):
            call.drive(running_task())
        try:
            return self._send(None)
        except StopIteration:
            call.chunks += 1
            call.last_chunk = call.clock()
            raise
        except BaseException as exc:  # the host's: noted and passed on
            if not self._left(exc):
                raise
        return self._send(None)

    def throw(self, typ: Any, val: Any = None, tb: TracebackType | None = None) -> Any:
        """Throw into the coroutine, after the call has been told."""
        call = self._call
        try:
            return super().throw(typ, val, tb)
        except StopIteration:
            call.chunks += 1
            call.last_chunk = call.clock()
            raise
        except BaseException as exc:  # the host's: noted and passed on
            if not self._left(exc):
                raise
        return self._send(None)

    def close(self) -> None:
        """Close the coroutine: the frame that waited for the chunk is destroyed."""
        super().close()
        self._call.end(Exit.DROPPED)

    def _left(self, exc: BaseException) -> bool:
        """End the call; return whether there is something else to await in the chunk's place."""
        call = self._call
        if call.ended:
            return False
        if isinstance(exc, StopAsyncIteration):
            call.end(Exit.RETURNED)
            return False
        if isinstance(exc, GeneratorExit):
            call.end(Exit.DROPPED)
            return False
        if not isinstance(exc, CancelledError):
            call.end(Exit.RAISED, exc)
            return False
        substitute = self._substitute(exc) if call.is_internal(exc) else None
        call.end(Exit.CANCELLED, exc)
        if substitute is None:
            return False
        self._coro = substitute
        self._send = substitute.send
        return True

    def _substitute(self, exc: BaseException) -> Coroutine[Any, Any, Any] | None:
        try:
            substitute: Coroutine[Any, Any, Any] = getattr(self._owner, SUBSTITUTE)(exc)
        except Exception as fault:  # noqa: BLE001 - ours: the host's exception goes on
            self._call.sink.faults.note("stream.substitute", fault)
            return None
        return substitute
