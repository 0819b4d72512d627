"""Every way in which a call can end, by name, with what the caller and the telemetry must show."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._contract import semconv as sc
from .._contract.records import EndedBy, Outcome, Phase, Signal, Source
from . import callers
from .callers import ANSWER, GOES_ON
from .fakes import Script, Wire
from .site import Site

BEFORE_BYTE = Script(hang_at="before_headers")
MID_STREAM = Script(chunks=20, hang_at=20)
"""Enough for LiteLLM 1.72, which hands out nothing of Bedrock's before it has 1024 bytes."""
BURST = Script(chunks=20, hang_at=20, burst=True)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the caller gets, one of several names, and what the telemetry says of the call."""

    got: tuple[str, ...]
    outcome: Outcome
    attributes: Mapping[str, str] = field(default_factory=dict)

    def attributes_at(self, provider: Wire) -> dict[str, str]:
        """Return the span's attributes at a provider."""
        return {name: text.format(provider=provider) for name, text in self.attributes.items()}


@dataclass(frozen=True, slots=True)
class Way:
    """One way for a call to end: who plays the caller, what the provider does, what must come."""

    name: str
    title: str
    play: Callable[[Site], Coroutine[Any, Any, str]]
    script: Script
    expected: Expected
    disturbs: bool = False
    """It has an effect on streams that others left open: it waits until those were observed."""

    @property
    def about(self) -> str:
        """Say in a sentence what the caller does."""
        return (self.play.__doc__ or "").strip()


def _external(
    got: str,
    source: Source,
    phase: Phase,
    signal: Signal = Signal.CANCEL,
    ended_by: EndedBy = EndedBy.EXCEPTION,
) -> Expected:
    return _cancelled((got,), sc.EXTERNAL, source, phase, signal, ended_by)


def _internal(phase: Phase, *got: str) -> Expected:
    kind = "{provider}_internal"
    return _cancelled(got, kind, Source.PROVIDER, phase, Signal.CANCEL, EndedBy.EXCEPTION)


def _cancelled(
    got: tuple[str, ...],
    cancellation_type: str,
    source: Source,
    phase: Phase,
    signal: Signal,
    ended_by: EndedBy,
) -> Expected:
    return Expected(
        got,
        Outcome.CANCELLED,
        {
            sc.CANCELLATION_TYPE: cancellation_type,
            sc.SOURCE: str(source),
            sc.PHASE: str(phase),
            sc.SIGNAL: str(signal),
            sc.ENDED_BY: str(ended_by),
        },
    )


_CANCEL = "CancelledError"
_REQUEST, _STREAMING = Phase.REQUEST, Phase.STREAMING
_TASK_CANCEL, _DEADLINE = Source.TASK_CANCEL, Source.DEADLINE
_ABANDONED = _external(GOES_ON, Source.ABANDONED, _STREAMING, Signal.GC, EndedBy.GC)

_ALL = (
    Way(
        "completed",
        "completed",
        callers.completed,
        Script(),
        Expected((ANSWER,), Outcome.COMPLETED),
    ),
    Way(
        "error",
        "provider error 429",
        callers.completed,
        Script(status=429),
        Expected(("RateLimitError",), Outcome.ERROR),
    ),
    Way(
        "cancel-body",
        "cancel, no stream",
        callers.cancelled_body,
        BEFORE_BYTE,
        _external(_CANCEL, _TASK_CANCEL, _REQUEST),
    ),
    Way(
        "cancel-first-byte",
        "cancel, first byte",
        callers.cancelled_first_byte,
        BEFORE_BYTE,
        _external(_CANCEL, _TASK_CANCEL, _REQUEST),
    ),
    Way(
        "cancel-waiting",
        "cancel, next chunk",
        callers.cancelled_waiting,
        MID_STREAM,
        _external(_CANCEL, _TASK_CANCEL, _STREAMING),
    ),
    Way(
        "cancel-between",
        "cancel, own await",
        callers.cancelled_between,
        BURST,
        _external(_CANCEL, _TASK_CANCEL, _STREAMING),
    ),
    Way(
        "cancel-backlog",
        "cancel in a backlog",
        callers.cancelled_backlog,
        BURST,
        _external(_CANCEL, _TASK_CANCEL, _STREAMING),
    ),
    Way(
        "timeout",
        "asyncio.timeout",
        callers.timeout,
        MID_STREAM,
        _external("TimeoutError", _DEADLINE, _STREAMING),
    ),
    Way(
        "wait-for",
        "asyncio.wait_for",
        callers.wait_for,
        BEFORE_BYTE,
        _external("TimeoutError", _DEADLINE, _REQUEST),
    ),
    Way(
        "task-group",
        "TaskGroup sibling",
        callers.task_group,
        MID_STREAM,
        _external("ExceptionGroup", _TASK_CANCEL, _STREAMING),
    ),
    Way(
        "anyio",
        "anyio.move_on_after",
        callers.anyio_scope,
        MID_STREAM,
        _external(GOES_ON, _DEADLINE, _STREAMING),
    ),
    Way(
        "cancel-twice",
        "cancelled twice",
        callers.cancelled_twice,
        MID_STREAM,
        _external(_CANCEL, _TASK_CANCEL, _STREAMING),
    ),
    Way(
        "aclose",
        "aclose()",
        callers.aclose,
        MID_STREAM,
        _external(GOES_ON, Source.ACLOSE, _STREAMING, Signal.ACLOSE, EndedBy.ACLOSE),
    ),
    Way("break", "break and drop", callers.break_off, MID_STREAM, _ABANDONED),
    Way(
        "never-iterated",
        "never iterated",
        callers.never_iterated,
        MID_STREAM,
        _external(GOES_ON, Source.ABANDONED, _REQUEST, Signal.GC, EndedBy.GC),
    ),
    Way(
        "internal-connect",
        "internal: connect",
        callers.dropped_at_connect,
        Script(),
        _internal(_REQUEST, "InternalServerError"),
    ),
    Way(
        "internal-body",
        "internal: body",
        callers.dropped_in_body,
        MID_STREAM,
        _internal(_REQUEST, "InternalServerError"),
    ),
    Way(
        "internal-stream",
        "internal: stream",
        callers.dropped_in_stream,
        BURST,
        # LiteLLM's newer streams say by the name that a fallback may take over.
        _internal(_STREAMING, "InternalServerError", "MidStreamFallbackError"),
    ),
    Way(
        "gc",
        "cycle, then gc",
        callers.collected,
        MID_STREAM,
        _ABANDONED,
        disturbs=True,
    ),
    Way(
        "shutdown",
        "loop shutdown",
        callers.shutdown,
        MID_STREAM,
        _external(_CANCEL, Source.SHUTDOWN, _STREAMING),
        disturbs=True,
    ),
)

WAYS: Mapping[str, Way] = {way.name: way for way in _ALL}
