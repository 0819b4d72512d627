"""Runs every step of a coroutine or an async generator under a guard, a plain context manager."""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

_F = TypeVar("_F", bound=Callable[..., Any])
_Guard = AbstractContextManager[Any, None]


def guarded(guard_of: Callable[..., _Guard]) -> Callable[[_F], _F]:
    """Return a decorator that runs each call under the guard that ``guard_of`` makes for it.

    ``guard_of`` gets the call's own arguments. A coroutine runs under its guard as a whole; an
    async generator enters its guard anew for each step, as another task may take the next one.
    What is neither is a TypeError.
    """

    def decorate(func: _F) -> _F:
        if inspect.isasyncgenfunction(func):
            return cast(_F, _guarded_stream(func, guard_of))
        if not inspect.iscoroutinefunction(func):
            raise TypeError(f"not a coroutine function or async generator function: {func!r}")

        @functools.wraps(func)
        async def call(*args: Any, **kwargs: Any) -> Any:
            with guard_of(*args, **kwargs):
                return await func(*args, **kwargs)

        return cast(_F, call)

    return decorate


def _guarded_stream(
    func: Callable[..., AsyncGenerator[Any, Any]], guard_of: Callable[..., _Guard]
) -> Callable[..., AsyncGenerator[Any, Any]]:
    @functools.wraps(func)
    async def stream(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        guard = guard_of(*args, **kwargs)
        inner = func(*args, **kwargs)
        step = inner.asend(None)
        thrown: BaseException | None = None
        try:
            while True:
                guard.__enter__()
                try:
                    chunk = await step
                except StopAsyncIteration:
                    guard.__exit__(None, None, None)
                    return
                except BaseException as exc:
                    if exc is thrown:  # the consumer gets its own back: no matter of the guard's
                        guard.__exit__(None, None, None)
                    else:
                        guard.__exit__(type(exc), exc, exc.__traceback__)
                    raise
                guard.__exit__(None, None, None)
                thrown = None
                try:
                    step = inner.asend((yield chunk))
                except GeneratorExit:
                    with guard:
                        await inner.aclose()
                    raise
                except BaseException as exc:  # noqa: BLE001 - the inner generator's to judge
                    thrown = exc
                    step = inner.athrow(exc)
        finally:
            del step, thrown  # what was thrown in has a traceback, which has this frame

    return stream
