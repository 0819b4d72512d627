"""What a call does: where it begins and ends, and each attempt of a retried one.

A call begins and ends in the trampoline of the outermost of LiteLLM's functions. An attempt is one
run of the function that ``@client`` decorates: LiteLLM's own error handling still acts on what
comes out of it. Where a function is not decorated, the call is its one attempt.
"""

import functools
import sys
from asyncio import CancelledError
from collections.abc import Iterator
from functools import partial
from typing import Any

from litellm import ModelResponse

from .._asyncio.context_variables import put_back
from .._asyncio.throw_hook import ThrowHook
from .._calls.call import Call
from .._contract.records import Exit
from . import whose
from .active import ACTIVE, CURRENT, call_in_progress
from .attempts import ATTEMPTS, attempt_begins, attempt_fails
from .entry_points import EntryPoint, is_decorated
from .exchange import (
    TRAMPOLINE,
    Original,
    Watched,
    decorated_cell,
    exchange_code,
    exchange_content,
)
from .facts import describe, is_retried, is_unguarded
from .internal import mapped_error
from .operations import Operation
from .patching import Replaced, SeamMissing, Undo
from .streams import watch_result

_MODEL: type = type(ModelResponse)
"""The metaclass of what LiteLLM returns whole: no stream, and slow to ask whether it is one."""


def install(entry: EntryPoint) -> Iterator[Undo]:
    """Watch one entry point; raise SeamMissing where it is not as expected."""
    try:
        public = entry.public()
    except (KeyError, AttributeError):
        raise SeamMissing("it is not there") from None
    found = whose.look(public, entry.name)
    functions = entry.functions()
    if not functions and found.patcher is not None:
        raise Replaced(found.patcher)
    if not functions:
        raise SeamMissing("it is not a coroutine function of LiteLLM's")
    for function in functions:
        last = function is functions[-1] and not is_decorated(function)
        watch = _watched_alone if last else _watched
        yield exchange_code(function, partial(watch, operation=entry.operation))
    if not found.leads and found.patcher is not None:
        raise Replaced(found.patcher)


def install_attempts(entry: EntryPoint) -> Iterator[Undo]:
    """Watch the attempts of a decorated entry point; raise SeamMissing where that cannot be."""
    cell = decorated_cell(entry.functions()[-1])
    yield exchange_content(cell, partial(_attempt, operation=entry.operation))


def _watched_alone(original: Original, operation: Operation) -> Watched:
    return _watched(_attempt(original, operation), operation)


def _watched(original: Original, operation: Operation) -> Watched:
    async def watched(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # LiteLLM's bridges make one call of another; the outermost is the one the user made.
        # With fallbacks it is the other way round: the outer call only tries one after another.
        if ACTIVE.tracker is None or kwargs.get("fallbacks") or _is_bridge():
            return await original(*args, **kwargs)
        call = _begin(operation, args, kwargs)
        if call is None:
            return await original(*args, **kwargs)
        token = CURRENT.set(call)
        try:
            result = await ThrowHook(original(*args, **kwargs), call.thrown)
        except BaseException as exc:  # the host's: noted, and the same object raised again
            _failed(call.latest, exc)
            raise
        finally:
            put_back(CURRENT, token)
        # Outside of the call's context: a stream's followers keep a copy of what they begin in.
        return _returned(call.latest, result)

    return watched


_BESIDE = ("litellm.caching", "litellm.integrations", "litellm.proxy", "litellm.router_utils")
"""Parts of LiteLLM that make calls of their own while a call is under way: hooks, caches."""

_BETWEEN = ("litellm_cancel_otel", "tenacity", "asyncio")
"""Modules that may stand between LiteLLM's code and what it calls."""


def _is_bridge() -> bool:
    """Return whether LiteLLM makes this call for the sake of the one that is under way.

    A call that a hook makes meanwhile, a guardrail's or a judge's, is a call of its own.
    """
    if call_in_progress() is None:
        return False
    frame = sys._getframe(2).f_back  # who called the trampoline
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        package = name.partition(".")[0]
        if package not in _BETWEEN and frame.f_code.co_filename != TRAMPOLINE:
            return package == "litellm" and not name.startswith(_BESIDE)
        frame = frame.f_back
    return True


def _begin(operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
    tracker = ACTIVE.tracker
    if tracker is None:
        return None
    attempt_begins()
    try:
        described = describe(operation, args, kwargs)
        return tracker.begin(described, unguarded=is_unguarded(kwargs))
    except Exception as fault:  # noqa: BLE001 - ours: the host's call goes on unwatched
        tracker.faults.note("call.begin", fault)
        return None


def _failed(call: Call, exc: BaseException) -> None:
    # Not the current call: the collector closes a coroutine in whatever context is running.
    if call.ended:
        return
    if isinstance(exc, GeneratorExit):
        call.dropped()  # the collector may be what closes it
    elif isinstance(exc, CancelledError):
        call.end(Exit.CANCELLED, exc)
    else:
        call.end(Exit.RAISED, exc)
        attempt_fails(call.description)


def _returned(call: Call, result: Any) -> Any:
    if call.ended:
        return result
    try:
        if type(type(result)) is _MODEL:
            call.description.answered(result)
            call.end(Exit.RETURNED)
            return result
        return watch_result(result, call)
    except Exception as fault:  # noqa: BLE001 - ours: the caller gets LiteLLM's own result
        call.observer.faults.note("stream.watch", fault)
        call.upstream = None  # it may be a stream that goes on, unwatched: not ours to close
        call.end(Exit.RETURNED)
        return result


def _attempt(original: Original, operation: Operation) -> Original:
    @functools.wraps(original)
    async def attempt(*args: Any, **kwargs: Any) -> Any:
        call = _attempted(operation, args, kwargs)
        if call is None:
            return await original(*args, **kwargs)
        call.tries()
        try:
            return await ThrowHook(original(*args, **kwargs), call.thrown)
        except BaseException as exc:  # the host's: raised again but for an internal cancel
            call.fails(exc, may_retry=is_retried(kwargs) or ATTEMPTS.get() is not None)
            error = _converted(call, exc)
            if error is None:
                raise
        try:
            raise error
        finally:
            del error  # else its traceback, which has this frame, keeps it alive

    return attempt


def _attempted(operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
    """Return the call that this attempt is part of; a retry after an internal cancel begins one."""
    call = CURRENT.get()
    if call is None or ACTIVE.tracker is None:
        return None
    if call.ended and call.retriable:
        ended, call = call, _begin(operation, args, kwargs)
        if call is not None:
            call.may_retry = True
            ended.retried_as = call
        CURRENT.set(call)
    elif call_in_progress() is None:
        return None
    if call is not None:
        call.description.logged_by(kwargs.get("litellm_logging_obj"))
    return call


def _converted(call: Call, exc: BaseException) -> Exception | None:
    try:
        if call.ended or not isinstance(exc, CancelledError) or not call.is_internal(exc):
            return None
        error = mapped_error(call, exc)
        call.end(Exit.CANCELLED, exc)
        call.retriable = True
    except Exception as fault:  # noqa: BLE001 - ours: the host's exception goes on
        call.observer.faults.note("attempt", fault)
        return None
    return error
