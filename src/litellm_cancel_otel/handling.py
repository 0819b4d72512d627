"""What asyncio does to a LiteLLM call, handled: by a handler, a context manager, a decorator.

What the caller gets, by the verdict of ``_classify.classify``:

====================================  ====================================================
the caller's own cancel               the original ``CancelledError``, the same object
a cancel by the provider's side       ``AzureCancellationError`` on Azure, elsewhere
                                      ``AsyncCancellationError``, from the original
``TimeoutError``                      ``AsyncTimeoutError``, which is one, from the original
an error of this package, or others   the same object
====================================  ====================================================

Nothing here awaits on the way out of a cancel.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Final, NoReturn, TypeVar, cast
from weakref import ReferenceType, ref

from ._asyncio.tasks import baseline_of, cancelling, lowered, running_task
from ._asyncio.within import within
from ._contract.faults import Faults
from ._contract.records import Outcome
from ._contract.semconv import CANCELLATION_TYPE, EXTERNAL, internal_cancellation_type
from .errors import (
    AsyncCancellationError,
    AsyncTimeoutError,
    AzureCancellationError,
    LiteLLMAsyncError,
    judge,
)

__all__ = [
    "AsyncErrorContext",
    "AsyncioErrorHandler",
    "asyncio_error_context",
    "handle_asyncio_errors",
]

_AZURE_INTERNAL: Final = internal_cancellation_type("azure")
_faults: Final = Faults()

_F = TypeVar("_F", bound=Callable[..., Any])


def _baseline_now() -> int:
    return baseline_of(running_task())


@dataclass(frozen=True, slots=True)
class AsyncErrorContext:
    """What is being done, for whom, and which cancels the running task had before it began.

    Create it in the task that does the work, when the work begins: ``since`` is that task's
    ``cancelling()`` count, less a cancel that is asked for and not yet delivered, and only its
    rise makes a cancel the caller's own.
    ``allow_user_cancellation=False`` turns the caller's own cancel into an
    ``AsyncCancellationError`` too, which breaks ``asyncio.timeout``, ``wait_for`` and task
    groups around the call. ``timeout_source`` names what a ``TimeoutError`` comes from.
    """

    provider: str
    operation: str
    allow_user_cancellation: bool = True
    timeout_source: str | None = None
    since: int = field(default_factory=_baseline_now)


class AsyncioErrorHandler:
    """Decides what an asyncio exception means, and raises what the caller should see."""

    @staticmethod
    def is_user_cancellation(since: int = 0) -> bool:
        """Return whether the running task was told to stop since its count was ``since``."""
        return cancelling(running_task()) > since

    @staticmethod
    def handle_asyncio_exception(
        exception: BaseException,
        context: AsyncErrorContext,
        logging_obj: Any = None,
        **log_context: object,
    ) -> NoReturn:
        """Raise what the caller should see in place of an exception, after telling LiteLLM's log.

        A cancel or a timeout goes to ``logging_obj.post_call`` with ``log_context``, the
        ``cancellation_type``, the operation and the provider as ``additional_args``; an
        ``input`` in ``log_context`` is LiteLLM's field of that name. A fault of that object is
        contained. The module's table says what is raised.
        """
        error = _answer(exception, context, logging_obj, log_context)
        try:
            if error is None:
                raise exception
            raise error from exception
        finally:
            del error, exception  # else the frame and the traceback keep each other alive


def _answer(
    exception: BaseException,
    context: AsyncErrorContext,
    logging_obj: Any,
    log_context: Mapping[str, object],
) -> LiteLLMAsyncError | None:
    """Log the exception; return what to raise in its place, or None for itself."""
    if isinstance(exception, LiteLLMAsyncError):
        return None  # an inner guard has been here
    kind = _cancellation_type(exception, context)
    if logging_obj is not None and (kind or isinstance(exception, TimeoutError)):
        _log(exception, context, kind, logging_obj, log_context)
    return _error_for(exception, context, kind)


def _cancellation_type(exception: BaseException, context: AsyncErrorContext) -> str | None:
    verdict = judge(exception, context.since)
    if verdict.outcome is not Outcome.CANCELLED:
        return None
    return EXTERNAL if verdict.external else internal_cancellation_type(context.provider)


def _error_for(
    exception: BaseException, context: AsyncErrorContext, kind: str | None
) -> LiteLLMAsyncError | None:
    where = f"{context.provider} {context.operation}"
    if isinstance(exception, TimeoutError):
        source = context.timeout_source
        message = f"{where}: Request timed out" + (f" ({source})" if source else "")
        return AsyncTimeoutError(message, exception, context.provider, timeout_source=source)
    if not isinstance(exception, asyncio.CancelledError):
        return None
    if kind == EXTERNAL:
        if context.allow_user_cancellation:
            return None
        message = f"{where}: cancelled by the caller"
        return AsyncCancellationError(message, exception, context.provider, 499, EXTERNAL)
    if kind == _AZURE_INTERNAL:
        return AzureCancellationError.from_asyncio_exception(exception, where, False)
    message = f"{where}: the request was cancelled, not by its caller"
    return AsyncCancellationError(message, exception, context.provider)


def _log(
    exception: BaseException,
    context: AsyncErrorContext,
    kind: str | None,
    logging_obj: Any,
    log_context: Mapping[str, object],
) -> None:
    try:
        details = {
            **log_context,
            CANCELLATION_TYPE: kind,
            "operation": context.operation,
            "provider": context.provider,
        }
        if context.timeout_source is not None:
            details["timeout_source"] = context.timeout_source
        # post_call overwrites LiteLLM's note of the input: give back what is there.
        noted = getattr(logging_obj, "model_call_details", {}).get("input")
        logging_obj.post_call(
            input=details.pop("input", noted),
            api_key="",
            original_response=str(exception),
            additional_args=details,
        )
    # A CancelledError too: raised by code that does not await, it is no cancel of this task.
    except (Exception, asyncio.CancelledError) as fault:  # noqa: BLE001 - a logger's fault stops nothing
        _faults.note("logging_obj.post_call", fault)


_Dress = Callable[[LiteLLMAsyncError], BaseException | None]


class ErrorHandling:
    """Puts one call's work under the error handling, as ``with`` or ``async with``.

    It can be entered again and again, as a stream does for each chunk: the cancels that count
    are those since the running task first entered. ``dress`` may give an error another form;
    where it returns None, the original exception goes on.
    """

    __slots__ = ("_context", "_dress", "_driver", "_log_context", "_logging_obj", "_since")

    def __init__(
        self,
        context: AsyncErrorContext,
        dress: _Dress | None = None,
        logging_obj: Any = None,
        log_context: Mapping[str, object] | None = None,
    ) -> None:
        self._context = context
        self._dress = dress
        self._logging_obj = logging_obj
        self._log_context = log_context or {}
        self._driver: ReferenceType[asyncio.Task[object]] | None = None
        self._since = 0

    def __enter__(self) -> AsyncErrorContext:
        task = running_task()
        if task is not None and (self._driver is None or self._driver() is not task):
            self._driver = ref(task)  # weak: a stream must not keep a finished task's result
            self._since = baseline_of(task)
        else:
            self._since = lowered(self._since, task)
        return replace(self._context, since=self._since)

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        exception: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        # GeneratorExit, KeyboardInterrupt and SystemExit are nobody's error.
        if not isinstance(exception, (Exception, asyncio.CancelledError)):
            return
        context = replace(self._context, since=self._since)
        plain = _answer(exception, context, self._logging_obj, self._log_context)
        error = plain if plain is None or self._dress is None else self._dress(plain)
        if error is None:
            return
        try:
            raise error from exception
        finally:
            del plain, error, exception  # else the frame and the traceback keep each other alive

    async def __aenter__(self) -> AsyncErrorContext:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, exception, traceback)


def asyncio_error_context(
    provider: str,
    operation: str,
    logging_obj: Any = None,
    **log_context: object,
) -> AbstractAsyncContextManager[AsyncErrorContext]:
    """Return an async context manager that handles what asyncio does to its block.

    Entering it gives the context, with the cancels that the task had been told before.
    See ``AsyncioErrorHandler.handle_asyncio_exception`` for what is logged and raised.
    """
    context = AsyncErrorContext(provider, operation)
    return ErrorHandling(context, logging_obj=logging_obj, log_context=log_context)


def handle_asyncio_errors(
    provider: str,
    error_class: type[Exception],
    preserve_cancellation: bool = True,
    preserve_timeout: bool = True,
) -> Callable[[_F], _F]:
    """Return a decorator that handles what asyncio does to a coroutine or async generator function.

    A cancel by the provider's side becomes an ``error_class``, from the original. The caller's
    own cancel and a ``TimeoutError`` stay as they are where they are to be preserved, else
    become one too. ``error_class`` is called with ``message`` and ``status_code`` (as this
    package's and LiteLLM's provider errors take them), else with the message alone.
    """

    def dress(error: LiteLLMAsyncError) -> BaseException | None:
        if preserve_timeout and isinstance(error, AsyncTimeoutError):
            return None
        return _as(error_class, error)

    def decorate(func: _F) -> _F:
        operation = getattr(func, "__name__", type(func).__name__)
        context = AsyncErrorContext(provider, operation, preserve_cancellation)
        return within(lambda *_args, **_kwargs: ErrorHandling(context, dress))(func)

    return decorate


def _as(error_class: type[Exception], error: LiteLLMAsyncError) -> Exception:
    """Return the error as one of another class, with what of its facts that class takes."""
    if isinstance(error, error_class):
        return error
    make = cast(Callable[..., Exception], error_class)
    facts: dict[str, object] = {"message": error.message, "status_code": error.status_code}
    if issubclass(error_class, LiteLLMAsyncError):
        facts |= {"original_exception": error.original_exception, "provider": error.provider}
        if isinstance(error, AsyncCancellationError):
            facts["cancellation_type"] = error.cancellation_type
    try:
        return make(**facts)
    except TypeError:
        return make(error.message)
