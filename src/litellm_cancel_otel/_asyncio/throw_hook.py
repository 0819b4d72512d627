"""A coroutine around another, which sees what is thrown in before anything unwinds.

A wrapper written as ``async def`` learns of a cancel last: the provider's client closes its
response first, and a close that hangs would be no part of the latency. An awaitable of our own
stands in the chain between the task and the innermost await, so that the cancel passes through
``throw`` on its way in.
"""

from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any


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


class Awaitable(Coroutine[Any, Any, Any], Generator[Any, Any, Any]):
    """What ``await`` may be given: an iterator with ``send``, ``throw`` and ``close``."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self


class ThrowHook(Awaitable):
    """Awaits a coroutine; ``told`` is given each exception that is thrown into it, beforehand."""

    __slots__ = ("_coro", "_send", "_told")

    def __init__(self, coro: Coroutine[Any, Any, Any], told: Told) -> None:
        self._coro = coro
        self._send = coro.send
        self._told = told

    def __next__(self) -> Any:
        return self._send(None)

    def send(self, value: Any) -> Any:
        """Resume the coroutine."""
        return self.__next__() if value is None else self._send(value)

    def throw(self, typ: Any, val: Any = None, tb: TracebackType | None = None) -> Any:
        """Throw into the coroutine, after ``told`` has been."""
        exc = thrown_instance(typ, val, tb)
        try:
            self._told(exc)
            return self._coro.throw(exc)
        finally:
            del exc, typ, val, tb  # else its traceback, which has this frame, keeps it alive

    def close(self) -> None:
        """Close the coroutine."""
        self._coro.close()

    @property
    def cr_await(self) -> object:
        """What is awaited: lets a walk along the await chain pass through."""
        return self._coro

    @property
    def call(self) -> object:
        """Who is told, where that is a method's owner: a walk along the await chain asks for it."""
        return getattr(self._told, "__self__", None)
