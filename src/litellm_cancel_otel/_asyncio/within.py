"""Runs every step of a coroutine or an async generator within a plain context manager."""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

_F = TypeVar("_F", bound=Callable[..., Any])
_Context = AbstractContextManager[Any, None]


def within(context_of: Callable[..., _Context]) -> Callable[[_F], _F]:
    """Return a decorator that runs each call within the context that ``context_of`` makes for it.

    ``context_of`` gets the call's own arguments. A coroutine runs within its context as a whole; an
    async generator enters its context anew for each step, as another task may take the next one.
    Raises TypeError for anything else.
    """

    def decorate(func: _F) -> _F:
        if inspect.isasyncgenfunction(func):
            return cast(_F, _stream_within(func, context_of))
        if not inspect.iscoroutinefunction(func):
            raise TypeError(f"not a coroutine function or async generator function: {func!r}")

        @functools.wraps(func)
        async def call(*args: Any, **kwargs: Any) -> Any:
            with context_of(*args, **kwargs):
                return await func(*args, **kwargs)

        return cast(_F, call)

    return decorate


def _stream_within(
    func: Callable[..., AsyncGenerator[Any, Any]], context_of: Callable[..., _Context]
) -> Callable[..., AsyncGenerator[Any, Any]]:
    @functools.wraps(func)
    async def stream(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        context = context_of(*args, **kwargs)
        inner = func(*args, **kwargs)
        step = inner.asend(None)
        thrown: BaseException | None = None
        try:
            while True:
                context.__enter__()
                try:
                    chunk = await step
                except StopAsyncIteration:
                    context.__exit__(None, None, None)
                    return
                except BaseException as exc:
                    if exc is thrown:  # the consumer gets its own back: no matter of the context's
                        context.__exit__(None, None, None)
                    else:
                        context.__exit__(type(exc), exc, exc.__traceback__)
                    raise
                context.__exit__(None, None, None)
                thrown = None
                try:
                    step = inner.asend((yield chunk))
                except GeneratorExit:
                    with context:
                        await inner.aclose()
                    raise
                except BaseException as exc:  # noqa: BLE001 - the inner generator's to judge
                    thrown = exc
                    step = inner.athrow(exc)
        finally:
            del step, thrown  # what was thrown in has a traceback, which has this frame

    return stream
