"""Turns endings into telemetry: the only place that makes spans and measurements of calls."""

import time
from collections.abc import Callable
from typing import Literal

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    get_current_span,
    set_span_in_context,
)

from . import _semconv as sc
from . import _spans
from ._instruments import Instruments, Key
from ._records import CallFacts, Ending, Outcome, Stuck, Times
from ._spans import Spans
from ._timeline import NANOSECONDS, since_disconnect, wall_clock

_UNSAID = 256
"""Answers that are remembered at the most until LiteLLM says how long they were."""

FirstSpan = SpanContext
"""The span of a call that was stuck, made while it was."""


class Recorder:
    """Records each ending once, and a late close of the provider's response after it.

    ``spans`` says which calls get a span: ``cancelled``, ``all`` or ``none``.
    """

    def __init__(
        self,
        spans: Spans,
        instruments: Instruments,
        which: Literal["cancelled", "all", "none"],
        clock: Callable[[], float],
    ) -> None:
        self.instruments = instruments
        self._spans = spans
        self._which = which
        self._clock = clock
        self._late: set[LateClose] = set()
        self._unsaid: dict[str, tuple[Key, Ending, Context]] = {}
        """Answers that came to their end for nobody, whose length is not known yet."""

    def stuck(
        self, facts: CallFacts, times: Times, chunks: int, stuck: Stuck, parent: object
    ) -> FirstSpan | None:
        """Make the first span of a call that is stuck; return what its last one links to."""
        if self._which == "none":
            return None
        context = parent if isinstance(parent, Context) else Context()
        now, now_ns = self._clock(), time.time_ns()
        first = self._spans.stuck(facts, times, chunks, stuck, context, now, now_ns)
        return first if first.is_valid else None

    def record(
        self, ending: Ending, parent: Context | None, first: FirstSpan | None = None
    ) -> "LateClose | None":
        """Record a call's end; return who waits for the upstream's close, if it is open.

        ``first`` is what ``stuck`` returned, where the call was.
        """
        key = self.instruments.key(ending.facts)
        verdict = ending.verdict
        self.instruments.count(key, verdict.outcome)
        if verdict.swallowed:
            self.instruments.swallowed(key, ending.swallowed_in)
        context = parent if parent is not None else Context()
        cancelled = verdict.outcome is Outcome.CANCELLED
        if not cancelled and not ending.stuck and self._which != "all":
            self._wasted(key, ending, context)
            return None
        kind = _cancellation_type(ending) if cancelled else None
        now, now_ns = self._clock(), time.time_ns()
        end_ns = wall_clock(ending.times.end, now, now_ns)
        span = None
        if first is not None and not get_current_span(context).get_span_context().is_valid:
            # There was no trace to be part of: the first span has begun one.
            parent = context = set_span_in_context(NonRecordingSpan(first), context)
        if self._which != "none":
            span = self._spans.start(ending, kind, parent, now, now_ns, first)
            context = set_span_in_context(span, context)
        self._wasted(key, ending, context)
        late = None
        if kind is not None:
            self.instruments.cancelled(key, kind, ending, context)
            if ending.upstream_open:
                late = LateClose(self, span, end_ns, key, kind, ending, context)
                self._late.add(late)
        if span is not None and late is None:
            span.end(end_ns)
        return late

    def _wasted(self, key: Key, ending: Ending, context: Context) -> None:
        if not ending.wasted:
            return
        self.instruments.undelivered(key, ending, context)
        call_id, tokens = ending.facts.call_id, ending.facts.output_tokens
        if call_id is None or tokens is not None or ending.verdict.outcome is not Outcome.COMPLETED:
            return
        if len(self._unsaid) >= _UNSAID:
            self._unsaid.pop(list(self._unsaid)[0], None)  # noqa: RUF015 - other threads change it
        self._unsaid[call_id] = (key, ending, context)

    def used(self, call_id: str, output_tokens: int) -> None:
        """Take LiteLLM's count of a whole answer's tokens, which it makes after the call's end."""
        if (waiting := self._unsaid.pop(call_id, None)) is not None:
            key, ending, context = waiting
            self.instruments.undelivered_tokens(key, ending, output_tokens, context)

    def flush(self) -> None:
        """End every span that still waits for its upstream's close."""
        for late in list(self._late):
            late.give_up()

    def close(self) -> None:
        """Flush, and report nothing more."""
        self.flush()
        self.instruments.silence()


class LateClose:
    """Waits for the provider's response to close after its call has ended.

    The span is held back until then, so that it can say when; ``give_up`` lets it go without.
    """

    def __init__(
        self,
        recorder: Recorder,
        span: Span | None,
        end_ns: int,
        key: Key,
        kind: str,
        ending: Ending,
        context: Context,
    ) -> None:
        self._recorder = recorder
        self._span = span
        self._end_ns = end_ns
        self._key = key
        self._kind = kind
        self._ending = ending
        self._context = context

    def closed(self, at: float) -> None:
        """Measure the close, on the span too where it has not been let go."""
        seconds = since_disconnect(self._ending.times, at)
        if seconds is not None:
            if self._span is not None:
                at_ns = self._end_ns + round((at - self._ending.times.end) * NANOSECONDS)
                _spans.upstream_closed(self._span, seconds, at_ns)
            self._recorder.instruments.upstream_closed(
                self._key, self._kind, self._ending, seconds, self._context
            )
        self.give_up()

    def give_up(self) -> None:
        """End the span with the time at which the call ended."""
        self._recorder._late.discard(self)
        if self._span is not None:
            self._span.end(self._end_ns)
            self._span = None


def _cancellation_type(ending: Ending) -> str:
    if ending.verdict.external:
        return sc.EXTERNAL
    return sc.internal_cancellation_type(ending.facts.provider)
