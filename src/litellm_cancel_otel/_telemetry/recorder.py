"""Turns endings into telemetry: the only place that makes spans and measurements of calls."""

import time
from collections.abc import Callable
from typing import Literal

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    get_current_span,
    set_span_in_context,
)

from .._contract import semconv as sc
from .._contract.records import CallFacts, Ending, Outcome, Stuck, Times
from .instruments import Instruments, Key
from .spans import CallSpan, Spans
from .timeline import NANOSECONDS, Clocks, since_cancel, wall_clock

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
        self.clock = clock
        self.contained = instruments.faults.contained("recorder")
        self._begin()

    def _begin(self) -> None:
        self.life = object()
        """A forked child has another: it leaves what the parent's calls wait for to the parent."""
        self._late: set[LateClose] = set()
        self._unsaid: dict[str, tuple[Key, Ending, Context]] = {}
        """Answers that were completed for nobody, and whose length is not known yet."""

    def stuck(
        self, facts: CallFacts, times: Times, chunks: int, stuck: Stuck, parent: Context | None
    ) -> FirstSpan | None:
        """Make the first span of a call that is stuck; return what its last one links to."""
        if self._which == "none":
            return None
        context = parent if parent is not None else Context()
        now, now_ns = self.clock(), time.time_ns()
        first = self._spans.stuck(facts, times, chunks, stuck, context, now, now_ns)
        return first if first is not None and first.is_valid else None

    def record(
        self,
        ending: Ending,
        parent: Context | None,
        first: FirstSpan | None = None,
        clocks: Clocks | None = None,
    ) -> "LateClose | None":
        """Record a call's end; return who waits for the upstream's close, if it is open.

        ``first`` is what ``stuck`` returned, where the call was. ``clocks`` are those of when the
        call ended, where it is recorded later.
        """
        verdict = ending.verdict
        answered = verdict.outcome is not Outcome.ERROR or ending.chunks > 0
        key = self.instruments.key(ending.facts, answered=answered)
        self.instruments.count(key, verdict.outcome)
        if verdict.swallowed:
            self.instruments.swallowed(key, ending.swallowed_in)
        context = parent if parent is not None else Context()
        cancelled = verdict.outcome is Outcome.CANCELLED
        if not cancelled and not ending.stuck and self._which != "all":
            self._wasted(key, ending, context)
            return None
        kind = _cancellation_type(ending, key) if cancelled else None
        now, now_ns = clocks or Clocks(self.clock(), time.time_ns())
        end_ns = wall_clock(ending.times.end, now, now_ns)
        span = None
        if first is not None and not self._is_in_trace(context):
            # There was no trace to be part of: the first span has begun one.
            parent = context = set_span_in_context(NonRecordingSpan(first), context)
        if self._which != "none":
            span = self._spans.start(ending, kind, parent, now, now_ns, first)
            if span is not None:
                context = span.within(context)
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

    def _is_in_trace(self, context: Context) -> bool:
        with self.contained:
            return get_current_span(context).get_span_context().is_valid
        return False

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

    @property
    def waits_for_usage(self) -> bool:
        """Whether a whole answer's length is still to be told."""
        return bool(self._unsaid)

    def used(self, call_id: str, output_tokens: int) -> None:
        """Take LiteLLM's count of a whole answer's tokens, which it makes after the call's end."""
        if (waiting := self._unsaid.pop(call_id, None)) is not None:
            key, ending, context = waiting
            self.instruments.undelivered_tokens(key, ending, output_tokens, context)

    def flush(self) -> None:
        """End every span that still waits for its upstream's close."""
        for late in list(self._late):
            late.give_up()

    def stop(self) -> None:
        """Report with the next collection that the process is about to end."""
        self.instruments.stop()

    def close(self) -> None:
        """Flush, and report no more of what is open."""
        self.flush()
        self.instruments.close()

    def forked(self) -> None:
        """Begin anew in a forked child: the parent ends its spans itself, and counts its calls."""
        self._begin()
        self.instruments.forked()


class LateClose:
    """Waits for the provider's response to close after its call has ended.

    The span is held back until then, so that it can say when; ``give_up`` lets it go without.
    """

    def __init__(
        self,
        recorder: Recorder,
        span: CallSpan | None,
        end_ns: int,
        key: Key,
        kind: str,
        ending: Ending,
        context: Context,
    ) -> None:
        self._recorder = recorder
        self._life = recorder.life
        self._span = span
        self._end_ns = end_ns
        self._key = key
        self._kind = kind
        self._ending = ending
        self._context = context

    def closed(self, at: float) -> None:
        """Measure the close, on the span too where it has not been let go. Never raises."""
        if self._life is not self._recorder.life:
            return
        with self._recorder.contained:  # it is called where the application closes the response
            self._measure(at)
        self.give_up()

    def give_up(self) -> None:
        """End the span with the time at which the call ended. Never raises."""
        if self._life is not self._recorder.life:
            return
        self._recorder._late.discard(self)
        span, self._span = self._span, None
        if span is not None:
            span.end(self._end_ns)

    def _measure(self, at: float) -> None:
        seconds = since_cancel(self._ending.times, at)
        if seconds is None:
            return
        if self._span is not None:
            at_ns = self._end_ns + round((at - self._ending.times.end) * NANOSECONDS)
            self._span.upstream_closed(seconds, at_ns)
        self._recorder.instruments.upstream_closed(
            self._key, self._kind, self._ending, seconds, self._context
        )


def _cancellation_type(ending: Ending, key: Key) -> str:
    if ending.verdict.external:
        return sc.EXTERNAL
    provider, _, _ = key
    known = provider != sc.OTHER
    return sc.internal_cancellation_type(ending.facts.provider if known else provider)
