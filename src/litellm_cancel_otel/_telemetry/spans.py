"""A call's end as a span, made after the fact; knows OpenTelemetry's traces, nothing else."""

from collections.abc import Mapping
from typing import NamedTuple

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NoOpTracer,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    TracerProvider,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from .._contract import semconv as sc
from .._contract.faults import Contained, Faults
from .._contract.plain import plain
from .._contract.records import CallFacts, Ending, Outcome, Stuck, Times
from .._contract.whereabouts import shown
from .timeline import since_cancel, wall_clock


class CallSpan:
    """A span of the application's tracer; what raises in it is counted and goes no further.

    The tracer, its processors and exporters are the application's own, and may do anything.
    """

    __slots__ = ("_contained", "_span")

    def __init__(self, span: Span, contained: Contained) -> None:
        self._span = span
        self._contained = contained

    def add_event(
        self, name: str, at_ns: int, attributes: Mapping[str, AttributeValue] | None = None
    ) -> None:
        """Add something that happened."""
        with self._contained:
            self._span.add_event(name, attributes, at_ns)

    def fail(self, error_type: str) -> None:
        """Say that the call ended in an error."""
        with self._contained:
            self._span.set_attribute(sc.ERROR_TYPE, error_type)
            self._span.set_status(Status(StatusCode.ERROR))

    def upstream_closed(self, seconds: float, at_ns: int) -> None:
        """Add a close of the provider's response that came after the call's end."""
        with self._contained:
            self._span.set_attribute(sc.DISCONNECT_TO_UPSTREAM_CLOSE, seconds)
        self.add_event(sc.EVENT_UPSTREAM_CLOSED, at_ns)

    def end(self, at_ns: int) -> None:
        """End the span, which exports it."""
        with self._contained:
            self._span.end(at_ns)

    def within(self, context: Context) -> Context:
        """Return the context in which this span is the current one."""
        return set_span_in_context(self._span, context)

    def identity(self) -> SpanContext | None:
        """Return what a link to this span needs."""
        with self._contained:
            return self._span.get_span_context()
        return None


class Spans:
    """Makes one span of one ending, with the times at which things happened.

    Nothing is made while the call runs: a call that needs no span costs none, and no context of
    ours is ever attached that a cancel could leave hanging.
    """

    def __init__(self, provider: TracerProvider, version: str, faults: Faults) -> None:
        self._contained = faults.contained("span")
        self._tracer: Tracer = NoOpTracer()
        with self._contained:
            self._tracer = provider.get_tracer(sc.SCOPE, version, sc.SCHEMA_URL)

    def start(
        self,
        ending: Ending,
        cancellation_type: str | None,
        parent: Context | None,
        now: float,
        now_ns: int,
        first: SpanContext | None = None,
    ) -> CallSpan | None:
        """Start the call's span and put everything on it that is known at the call's end.

        ``first`` is the span that said, while it lasted, that the call was stuck. None where the
        application's tracer gives no span.
        """
        times = ending.times
        attributes = _attributes(ending, cancellation_type)
        started = wall_clock(times.start, now, now_ns)
        span = self._start(ending.facts, attributes, parent, started, first)
        if span is None:
            return None
        events = _moments(times, cancelled=cancellation_type is not None)
        events += [Event(at, sc.EVENT_GUARD, {sc.ACTION: action}) for action, at in ending.actions]
        events += [Event(one.found, sc.EVENT_STUCK, _stuck(one)) for one in ending.stuck]
        _add(span, events, now, now_ns)
        if ending.error_type is not None and not ending.verdict.external:
            span.fail(plain(ending.error_type))
        return span

    def stuck(
        self,
        facts: CallFacts,
        times: Times,
        chunks: int,
        stuck: Stuck,
        parent: Context,
        now: float,
        now_ns: int,
    ) -> SpanContext | None:
        """Make the whole span of a call that is stuck and has not ended."""
        said = {**_facts(facts), sc.CHUNKS: chunks, sc.STUCK: True, **_stuck(stuck)}
        started = wall_clock(times.start, now, now_ns)
        span = self._start(facts, _exact(said), parent, started)
        if span is None:
            return None
        events = _moments(times, cancelled=times.cancelled is not None)
        events.append(Event(stuck.found, sc.EVENT_STUCK, _stuck(stuck)))
        _add(span, events, now, now_ns)
        span.end(wall_clock(stuck.found, now, now_ns))
        return span.identity()

    def _start(
        self,
        facts: CallFacts,
        attributes: Mapping[str, AttributeValue],
        parent: Context | None,
        started_ns: int,
        first: SpanContext | None = None,
    ) -> CallSpan | None:
        with self._contained:
            span = self._tracer.start_span(
                f"{facts.operation} {facts.model}",
                context=parent,
                kind=SpanKind.CLIENT,
                attributes=attributes,
                start_time=started_ns,
                links=None if first is None else [Link(first)],
            )
            return CallSpan(span, self._contained)
        return None


class Event(NamedTuple):
    """What happened, and when by the call's clock."""

    at: float
    name: str
    attributes: Mapping[str, AttributeValue] | None = None


def _add(span: CallSpan, events: list[Event], now: float, now_ns: int) -> None:
    """Add the events, the earliest first: a reader's list has them as they were added."""
    for event in sorted(events, key=lambda event: event.at):
        span.add_event(event.name, wall_clock(event.at, now, now_ns), event.attributes)


def _moments(times: Times, *, cancelled: bool) -> list[Event]:
    moments = [(sc.EVENT_FIRST_CHUNK, times.first_chunk)]
    if cancelled:
        moments += [
            (sc.EVENT_DISCONNECT, times.cancelled),
            (sc.EVENT_CANCEL_DELIVERED, times.cancel_delivered),
            (sc.EVENT_UPSTREAM_CLOSED, times.upstream_closed),
        ]
    return [Event(moment, name) for name, moment in moments if moment is not None]


def _attributes(ending: Ending, cancellation_type: str | None) -> dict[str, AttributeValue]:
    verdict, times, message = ending.verdict, ending.times, ending.cancel_message
    found = {**_facts(ending.facts), sc.CHUNKS: ending.chunks}
    if verdict.outcome is Outcome.CANCELLED:
        found |= {
            sc.CANCELLATION_TYPE: cancellation_type,
            sc.SOURCE: verdict.source,
            sc.PHASE: verdict.phase,
            sc.SIGNAL: verdict.signal,
            sc.ENDED_BY: verdict.ended_by,
            sc.DISCONNECT_TO_FINALLY: since_cancel(times, times.end),
            sc.DISCONNECT_TO_UPSTREAM_CLOSE: since_cancel(times, times.upstream_closed),
            sc.UPSTREAM_UNSTOPPABLE: ending.unstoppable or None,
            sc.EVENT_LOOP_LAG: ending.loop_lag,
            sc.CANCEL_MESSAGE: None if message is None else plain(message),
            **_delivery(ending),
        }
    return _exact(found)


Found = dict[str, AttributeValue | None]


def _facts(facts: CallFacts) -> Found:
    return {
        sc.OPERATION: facts.operation,
        sc.PROVIDER: sc.provider_name(facts.provider),
        sc.REQUEST_MODEL: facts.model,
        sc.REQUEST_STREAM: facts.stream,
        sc.RESPONSE_MODEL: facts.response_model,
        sc.SERVER_ADDRESS: facts.server_address,
        sc.SERVER_PORT: facts.server_port,
        sc.OUTPUT_TOKENS: facts.output_tokens,
        sc.CALL_ID: facts.call_id,
    }


def _delivery(ending: Ending) -> Found:
    """Return what of a cancelled answer came too late, and the part that did not."""
    if not ending.chunks:
        return {}
    return {
        sc.DELIVERED: 1 - ending.wasted,
        sc.CHUNKS_UNDELIVERED: ending.undelivered,
        sc.TOKENS_UNDELIVERED: ending.tokens_undelivered(ending.facts.output_tokens),
        sc.COST_UNDELIVERED: ending.cost_undelivered(ending.facts.output_tokens),
    }


def _stuck(stuck: Stuck) -> dict[str, AttributeValue]:
    said: Found = {
        sc.STUCK_REASON: stuck.reason,
        sc.STUCK_AGE: stuck.found - stuck.since,
        sc.STUCK_WHERE: tuple(map(shown, stuck.chain)),
        sc.EVENT_LOOP_LAG: stuck.loop_lag,
    }
    return _exact(said)


def _exact(found: Found) -> dict[str, AttributeValue]:
    # A StrEnum member is a str, but exporters look at the exact type: hand them plain strings.
    return {
        name: str(value) if isinstance(value, str) else value
        for name, value in found.items()
        if value is not None
    }
