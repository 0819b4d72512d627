"""Errors that say what asyncio did to a LiteLLM call, and carry the exception it was done with.

No message here holds a prompt, a key, or the text of the exception that it stands for.
"""

import asyncio
import pickle
from typing import Any, Final, Self

from litellm.llms.azure.common_utils import AzureOpenAIError

from ._asyncio.cancels import cancelled_within
from ._asyncio.tasks import cancelling, running_task
from ._calls.classify import classify
from ._contract.records import Evidence, Exit, Verdict
from ._contract.semconv import EXTERNAL, internal_cancellation_type

__all__ = [
    "AsyncCancellationError",
    "AsyncTimeoutError",
    "AzureCancellationError",
    "LiteLLMAsyncError",
]


def judge(exception: BaseException, since: int = 0) -> Verdict:
    """Return what an exception that is passing through the running task means.

    ``since`` is the task's ``cancelling()`` count when the work began: only its rise counts.
    """
    return classify(
        Evidence(
            Exit.CANCELLED if isinstance(exception, asyncio.CancelledError) else Exit.RAISED,
            cancelling_rise=cancelling(running_task()) - since,
            cancelled_within=cancelled_within(exception) is not None,
        )
    )


class LiteLLMAsyncError(Exception):
    """An asyncio exception that came out of a LiteLLM call.

    ``context`` holds every further keyword. A subclass whose constructor needs more than the
    message must bring its own ``__reduce__``. A pickle leaves behind what cannot travel (an
    original exception or a context that does not survive pickling); a copy keeps everything.
    """

    def __init__(
        self,
        message: str,
        original_exception: BaseException | None = None,
        provider: str = "unknown",
        status_code: int = 500,
        **context: object,
    ) -> None:
        # Not super(): the next in line, OSError or an httpx-bound error, takes other arguments.
        Exception.__init__(self, message)
        self.message = message
        self.original_exception = original_exception
        self.provider = provider
        self.status_code = status_code
        self.context = context

    def should_preserve_asyncio_semantics(self, since: int = 0) -> bool:
        """Return whether the caller needs the original exception's own type.

        True for a ``TimeoutError`` (which ``asyncio.TimeoutError`` is) and for the caller's own
        cancel, which ``asyncio.timeout``, ``wait_for`` and task groups wait for. ``since`` is
        the running task's ``cancelling()`` count when the work began.
        """
        return _is_callers(self.original_exception, since)

    def reraise_if_asyncio_semantic(self, since: int = 0) -> None:
        """Raise the original exception, the same object, where its type must be preserved."""
        if self.original_exception is not None and self.should_preserve_asyncio_semantics(since):
            raise self.original_exception

    def _state(self) -> dict[str, Any]:
        return {**self.__dict__, "__cause__": self.__cause__}

    def __copy__(self) -> Self:
        clone = type(self)(self.message)
        clone.__setstate__(self._state())
        return clone

    def __reduce__(self) -> tuple[type[Self], tuple[str], dict[str, Any]]:
        state = {name: value for name, value in self._state().items() if _travels(value)}
        return type(self), (self.message,), state


class AsyncCancellationError(LiteLLMAsyncError):
    """A cancel that reached a LiteLLM call.

    ``cancellation_type`` is ``external`` (the caller's side cancelled) or
    ``<provider>_internal``, which it is unless said otherwise.
    """

    def __init__(
        self,
        message: str,
        original_exception: BaseException | None = None,
        provider: str = "unknown",
        status_code: int = 500,
        cancellation_type: str | None = None,
        **context: object,
    ) -> None:
        super().__init__(message, original_exception, provider, status_code, **context)
        self.cancellation_type = cancellation_type or internal_cancellation_type(provider)

    def should_preserve_asyncio_semantics(self, since: int = 0) -> bool:
        """Return whether the original is the caller's own cancel: what the type says counts.

        ``since`` is not looked at: whose cancel it was is known.
        """
        original = self.original_exception
        if isinstance(original, asyncio.CancelledError):
            return self.cancellation_type == EXTERNAL
        return super().should_preserve_asyncio_semantics(since)


class AsyncTimeoutError(LiteLLMAsyncError, TimeoutError):
    """A timeout inside a LiteLLM call; ``except TimeoutError`` catches it as well.

    ``timeout_source`` names what ran out of time. Status 408 and the words "Request timed out"
    in the message are what LiteLLM's exception mapping makes a ``litellm.Timeout`` of.
    """

    def __init__(
        self,
        message: str = "Request timed out",
        original_exception: BaseException | None = None,
        provider: str = "unknown",
        status_code: int = 408,
        timeout_source: str | None = None,
        **context: object,
    ) -> None:
        super().__init__(message, original_exception, provider, status_code, **context)
        self.timeout_source = timeout_source


_NOT_THE_CALLER: Final = "Internal server error: the request was cancelled, not by its caller"


class AzureCancellationError(AsyncCancellationError, AzureOpenAIError):
    """A cancel of Azure's or the HTTP layer's own making, which no caller asked for.

    It is an ``AzureOpenAIError`` with status 500. The words "Internal server error" in the
    default message are what LiteLLM's exception mapping makes a ``litellm.InternalServerError``
    of, which the Router retries, falls back on and has a retry policy for; with another message
    it is a ``litellm.APIError`` of the same status.
    """

    def __init__(
        self,
        message: str = _NOT_THE_CALLER,
        original_exception: BaseException | None = None,
        provider: str = "azure",
        status_code: int = 500,
        cancellation_type: str | None = None,
        **context: object,
    ) -> None:
        AzureOpenAIError.__init__(self, status_code, message)
        AsyncCancellationError.__init__(
            self, message, original_exception, provider, status_code, cancellation_type, **context
        )

    @classmethod
    def from_asyncio_exception(
        cls,
        exception: BaseException,
        context: str = "",
        preserve_semantics: bool = True,
        *,
        since: int = 0,
    ) -> Self:
        """Return the error that stands for an asyncio exception, chained to it.

        ``context`` is put before the message. With ``preserve_semantics``, an exception whose
        type the caller needs, the caller's own cancel or a ``TimeoutError``, is raised instead,
        the same object: it cannot be returned, since ``raise ... from exception`` would then
        make it its own cause. ``since`` is the running task's ``cancelling()`` count when the
        work began, without which a cancel swallowed earlier makes any cancel the caller's.
        """
        if preserve_semantics and _is_callers(exception, since):
            try:
                raise exception
            finally:
                del exception  # else the frame and the traceback keep each other alive
        message = f"{context}: {_NOT_THE_CALLER}" if context else _NOT_THE_CALLER
        error = cls(message, exception)
        error.__cause__ = exception
        return error


def _is_callers(exception: BaseException | None, since: int) -> bool:
    if isinstance(exception, asyncio.CancelledError):
        return judge(exception, since).external
    return isinstance(exception, TimeoutError)


def _travels(value: object) -> bool:
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:  # noqa: BLE001 - a value's own pickling code may raise anything
        return False
    return True
