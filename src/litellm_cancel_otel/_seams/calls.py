"""LiteLLM's entry points: where each asynchronous call begins and ends, however early imported.

An application may hold ``acompletion`` from long before the telemetry was created, so replacing
``litellm.acompletion`` would miss it. The function object stays; its code is exchanged for a
trampoline that awaits the original. Inside LiteLLM's ``@client`` decorator, one level further in,
the decorated function is a closure cell: exchanging its content shows each attempt of a retried
call, at a place from which LiteLLM's own error handling still acts on what comes out.
"""

import functools
import importlib
import inspect
import sys
from asyncio import CancelledError
from collections.abc import Callable, Coroutine, Iterator
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from litellm import ModelResponse

from .._asyncio.throw_hook import ThrowHook
from .._calls.call import Call
from .._contract.records import Exit
from .active import ACTIVE, CURRENT, call_in_progress, reset
from .attempts import ATTEMPTS
from .facts import describe, is_retried, is_unguarded
from .internal import mapped_error
from .patching import SeamMissing, Undo
from .streams import watch_result

Original = Callable[..., Coroutine[Any, Any, Any]]

_MODEL: type = type(ModelResponse)
"""The metaclass of what LiteLLM returns whole: no stream, and slow to ask whether it is one."""


class EntryPoint(NamedTuple):
    """An asynchronous function of LiteLLM's and the operation that it makes."""

    module: str
    name: str
    operation: str
    optional: bool = False
    """Not there in every version that is supported."""
    proxy: bool = False
    """A part of the LiteLLM Proxy: watched where the process has loaded it, and only then."""


ENTRY_POINTS = (
    EntryPoint("litellm", "acompletion", "chat"),
    EntryPoint("litellm", "atext_completion", "text_completion"),
    EntryPoint("litellm", "aembedding", "embeddings"),
    EntryPoint("litellm", "aresponses", "responses"),
    EntryPoint("litellm", "anthropic_messages", "messages"),
    EntryPoint("litellm", "aimage_generation", "image_generation"),
    EntryPoint("litellm", "aimage_edit", "image_edit"),
    EntryPoint("litellm", "aimage_variation", "image_variation"),
    EntryPoint("litellm", "atranscription", "transcription"),
    EntryPoint("litellm", "aspeech", "speech"),
    EntryPoint("litellm", "amoderation", "moderation"),
    EntryPoint("litellm", "arerank", "rerank"),
    EntryPoint("litellm", "allm_passthrough_route", "pass_through"),
    EntryPoint("litellm.google_genai.main", "agenerate_content", "generate_content", True),
    EntryPoint("litellm.google_genai.main", "agenerate_content_stream", "generate_content", True),
    EntryPoint(
        "litellm.proxy.pass_through_endpoints.pass_through_endpoints",
        "pass_through_request",
        "pass_through",
        proxy=True,
    ),
)


def install(entry: EntryPoint) -> list[Undo]:
    """Watch one entry point; raise SeamMissing where it is not as expected."""
    if entry.proxy and entry.module not in sys.modules:
        return []
    try:
        public = getattr(importlib.import_module(entry.module), entry.name)
    except (ImportError, AttributeError):
        if entry.optional:
            return []
        raise SeamMissing(f"{entry.module}.{entry.name} is not there") from None
    functions = list(_chain(public))
    if not functions:
        raise SeamMissing(f"{entry.module}.{entry.name} is not a coroutine function")
    # The innermost is what @client decorates: LiteLLM's own code, reached through the cell.
    outer = functions[:-1] or functions
    undo = [_exchange_code(function, entry.operation) for function in outer]
    cells = [cell for function in outer for cell in _decorated(function)]
    undo += [_exchange_content(cell, entry.operation) for cell in cells]
    return undo


def _chain(function: object) -> Iterator[FunctionType]:
    """Yield the coroutine functions from the public one down to what it wraps."""
    seen: set[int] = set()
    while function is not None and id(function) not in seen:
        seen.add(id(function))
        if isinstance(function, FunctionType) and inspect.iscoroutinefunction(function):
            yield function
        function = getattr(function, "__wrapped__", None)


def _decorated(function: FunctionType) -> list[Any]:
    names = function.__code__.co_freevars
    return [
        cell
        for name, cell in zip(names, function.__closure__ or (), strict=True)
        if name == "original_function"
    ]


def _exchange_code(function: FunctionType, operation: str) -> Undo:
    code, kwdefaults = function.__code__, function.__kwdefaults__
    original = FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    original.__kwdefaults__ = kwdefaults
    trampoline = _trampoline(code)
    function.__code__ = trampoline
    # A default of the function's own carries what the trampoline calls: LiteLLM's module
    # globals, which its code would otherwise look names up in, stay as they are.
    function.__kwdefaults__ = {_SLOT: _watched(original, operation)}

    def undo() -> None:
        if function.__code__ is trampoline:
            function.__code__ = code
            function.__kwdefaults__ = kwdefaults

    return undo


_SLOT = "_litellm_cancel_otel"

TRAMPOLINE = "<litellm-cancel-otel>"
"""The file that the trampolines' code says it is from."""


def _trampoline(code: CodeType) -> CodeType:
    """Return code that may stand in for another: same name, same closure cells."""
    cells = code.co_freevars
    source = "\n".join(
        [
            f"def outer({', '.join(cells)}):",
            f"    async def entry(*args, {_SLOT}, **kwargs):",
            *(f"        if False: {cell}" for cell in cells),  # makes it a cell, costs nothing
            f"        return await {_SLOT}(args, kwargs)",
        ]
    )
    module = compile(source, TRAMPOLINE, "exec")
    outer = next(const for const in module.co_consts if isinstance(const, CodeType))
    entry = next(const for const in outer.co_consts if isinstance(const, CodeType))
    return entry.replace(co_name=code.co_name, co_qualname=code.co_qualname)


Watched = Callable[[tuple[Any, ...], dict[str, Any]], Coroutine[Any, Any, Any]]


def _watched(original: Original, operation: str) -> Watched:
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
            _failed(exc)
            raise
        else:
            return _returned(result)
        finally:
            reset(token)

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


def _begin(operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
    tracker = ACTIVE.tracker
    if tracker is None:
        return None
    attempts = ATTEMPTS.get()
    if attempts is not None:
        attempts.failed = None
    try:
        described = describe(operation, args, kwargs)
        return tracker.begin(described, unguarded=is_unguarded(kwargs))
    except Exception as fault:  # noqa: BLE001 - ours: the host's call goes on unwatched
        tracker.faults.note("call.begin", fault)
        return None


def _failed(exc: BaseException) -> None:
    # Not the call that began here: a retry may have begun another since.
    call = CURRENT.get()
    if call is None or call.ended:
        return
    if isinstance(exc, GeneratorExit):
        call.dropped()  # the collector may be what closes it
    elif isinstance(exc, CancelledError):
        call.end(Exit.CANCELLED, exc)
    else:
        attempts = ATTEMPTS.get()
        call.end(Exit.RAISED, exc)
        if attempts is not None:
            attempts.failed = call.description


def _returned(result: Any) -> Any:
    call = CURRENT.get()
    if call is None or call.ended:
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


def _exchange_content(cell: Any, operation: str) -> Undo:
    original = cell.cell_contents
    attempt = _attempt(original, operation)
    cell.cell_contents = attempt

    def undo() -> None:
        if cell.cell_contents is attempt:
            cell.cell_contents = original

    return undo


def _attempt(original: Original, operation: str) -> Original:
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


def _attempted(operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
    """Return the call that this attempt is part of; a retry after an internal cancel begins one."""
    call = CURRENT.get()
    if call is None or ACTIVE.tracker is None:
        return None
    if call.ended and call.retriable:
        call = _begin(operation, args, kwargs)
        if call is not None:
            call.may_retry = True
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
