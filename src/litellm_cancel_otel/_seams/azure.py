"""Azure's handlers: the caller's cancel comes out as it went in, an internal one as an error.

LiteLLM's own handling differs by version: up to 1.103 the chat handler turns every cancel into a
fake status 500 (and Router runs a fallback for a caller who has gone), from 1.104 it lets every
one through (and an internal one reaches a caller whom nobody told to stop).
"""

import importlib
import inspect
import sys
from asyncio import CancelledError
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from .._asyncio.cancels import cancelled_within
from .._asyncio.tasks import cancelling, running_task
from .._asyncio.throw_hook import ThrowHook
from .._contract.records import Exit
from .._contract.semconv import CANCELLATION_TYPE, EXTERNAL, internal_cancellation_type
from ..handling import AsyncErrorContext, AsyncioErrorHandler
from .active import ACTIVE, CURRENT
from .patching import SeamMissing, Undo, replace

PROVIDER = "azure"

HANDLERS = (
    ("litellm.llms.azure.azure", "AzureChatCompletion", "acompletion"),
    ("litellm.llms.azure.azure", "AzureChatCompletion", "async_streaming"),
    ("litellm.llms.azure.azure", "AzureChatCompletion", "aembedding"),
    ("litellm.llms.azure.azure", "AzureChatCompletion", "aimage_generation"),
    ("litellm.llms.azure.azure", "AzureChatCompletion", "async_audio_speech"),
    ("litellm.llms.azure.completion.handler", "AzureTextCompletion", "acompletion"),
    ("litellm.llms.azure.completion.handler", "AzureTextCompletion", "async_streaming"),
    (
        "litellm.llms.azure.audio_transcriptions",
        "AzureAudioTranscription",
        "async_audio_transcriptions",
    ),
)

Handler = Callable[..., Coroutine[Any, Any, Any]]


def install(module: str, owner: str, name: str) -> list[Undo]:
    """Wrap one handler; raise SeamMissing where it is not as expected."""
    try:
        cls = getattr(importlib.import_module(module), owner)
        original = vars(cls)[name]
    except (ImportError, AttributeError, KeyError):
        raise SeamMissing("it is not there") from None
    if not inspect.iscoroutinefunction(original):
        raise SeamMissing("it is not a coroutine function")
    return [replace(cls, name, _wrapped(original))]


def _wrapped(original: Handler) -> Handler:
    names = list(inspect.signature(original).parameters)
    logging_at = names.index("logging_obj") if "logging_obj" in names else None

    @wraps(original)
    async def handler(*args: Any, **kwargs: Any) -> Any:
        if ACTIVE.tracker is None:
            return await original(*args, **kwargs)
        logging_obj = kwargs.get("logging_obj")
        if logging_obj is None and logging_at is not None and len(args) > logging_at:
            logging_obj = args[logging_at]
        context = AsyncErrorContext(PROVIDER, original.__name__)
        log = _Log(logging_obj, context.since)
        thrown: list[BaseException] = []
        try:
            with log:
                return await ThrowHook(original(*args, **kwargs), thrown.append)
        except GeneratorExit:
            raise
        except BaseException as exc:  # noqa: BLE001 - the host's: the same object raised again, but for the cases below
            cancel = _cancel_behind(exc, context.since, thrown)
            try:
                if cancel is None:
                    raise
                if cancelling(running_task()) <= context.since:
                    _end_attempt(exc)
                AsyncioErrorHandler.handle_asyncio_exception(
                    cancel, context, None if log.told else logging_obj
                )
            finally:
                del cancel  # else its traceback, which has this frame, keeps it alive
        finally:
            thrown.clear()

    return handler


def _cancel_behind(
    exc: BaseException, since: int, thrown: list[BaseException]
) -> CancelledError | None:
    """Return the cancel that ended the handler, even where LiteLLM made another error of it."""
    if cancelling(running_task()) > since:
        # The last one is what asyncio would let out, had nobody made another error of it.
        cancels = [one for one in thrown if isinstance(one, CancelledError)]
        return cancels[-1] if cancels else None
    return cancelled_within(exc)


def _end_attempt(exc: BaseException) -> None:
    """End the call here, before LiteLLM may answer the error with another attempt."""
    call = CURRENT.get()
    if call is not None and call.driving.task is running_task() and not call.ended:
        call.end(Exit.RAISED, exc)
        call.retriable = True


class _Log:
    """Adds the cancellation's type where LiteLLM's handler itself logs a cancel.

    Where it does not, ``told`` stays False and the caller of this logs.
    """

    def __init__(self, logging_obj: Any, since: int) -> None:
        self._logging_obj = logging_obj
        self._since = since
        self.told = False

    def __enter__(self) -> None:
        if hasattr(self._logging_obj, "post_call"):
            self._post_call = self._logging_obj.post_call
            self._logging_obj.post_call = self._told_post_call

    def __exit__(self, *_: object) -> None:
        if hasattr(self._logging_obj, "post_call"):
            del self._logging_obj.post_call  # the class's own shows again

    def _told_post_call(self, *args: Any, **kwargs: Any) -> Any:
        if isinstance(sys.exc_info()[1], CancelledError):
            external = cancelling(running_task()) > self._since
            kind = EXTERNAL if external else internal_cancellation_type(PROVIDER)
            details = kwargs.get("additional_args") or {}
            kwargs["additional_args"] = {**details, CANCELLATION_TYPE: kind}
            self.told = True
        return self._post_call(*args, **kwargs)
