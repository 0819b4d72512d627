"""A CancelTelemetry on in-memory exporters, and what it has said of the calls so far."""

import asyncio
from collections.abc import Mapping
from importlib.metadata import version
from inspect import signature
from types import TracebackType
from typing import Any, NamedTuple, Self

from litellm import CustomStreamWrapper
from litellm.llms.azure.azure import AzureChatCompletion
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from litellm_cancel_otel import CancelTelemetry, Settings
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes.board import Board

LITELLM = tuple(int(part) for part in version("litellm").split(".")[:3])
OLD = not hasattr(CustomStreamWrapper, "aclose")
"""Whether LiteLLM's stream has no ``aclose`` of its own."""

LOGS_SPEECH = "logging_obj" in signature(AzureChatCompletion.audio_speech).parameters
"""Whether LiteLLM gives a handler of speech its log; before, it tells nobody of an image either."""


class Cancel(NamedTuple):
    """What telemetry says of a cancel."""

    type: str
    source: str
    phase: str
    signal: str
    ended_by: str


def external(
    source: str = "task_cancel",
    phase: str = "request",
    signal: str = "cancel",
    ended_by: str = "exception",
) -> Cancel:
    """Return the cancel by the caller's side, by default of the caller's task before any chunk."""
    return Cancel("external", source, phase, signal, ended_by)


def internal(provider: str, phase: str = "request") -> Cancel:
    """Return the cancel by a provider's side; ``provider`` is the family's name."""
    return Cancel(f"{provider}_internal", "provider", phase, "cancel", "exception")


class _Exporter(SpanExporter):
    """Keeps the spans, and wakes who waits for them."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.board = Board()
        self.loop: asyncio.AbstractEventLoop | None = None
        """Where somebody waits: a thread tells what was dropped, and wakes no loop."""

    def export(self, spans: Any) -> SpanExportResult:
        self.spans.extend(spans)
        if self.loop is None or self.loop.is_closed():
            self.board.announce()
        else:
            self.loop.call_soon_threadsafe(self.board.announce)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


class Telemetry:
    """A running CancelTelemetry; use it with ``with``."""

    def __init__(self, **settings: Any) -> None:
        self._exporter = _Exporter()
        self.reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meter_provider = MeterProvider([self.reader])
        self._settings = Settings(**settings)

    def __enter__(self) -> Self:
        self.callback = CancelTelemetry(
            tracer_provider=self.tracer_provider,
            meter_provider=self.meter_provider,
            settings=self._settings,
        )
        self.tracker = self.callback._tracker
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.callback.close()
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()

    def assert_nothing_open(self, *, faults: Mapping[str, int] | None = None) -> None:
        """Fail where a stream is still open, or where something of the package's own went wrong."""
        self.tracker.notes.settle()
        assert dict(self.tracker.faults.counts) == dict(faults or {})
        assert not self.tracker.streams
        assert self.open_streams() == 0

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended so far; what was dropped by now has ended."""
        self.tracker.notes.settle()
        return self._exporter.spans

    async def settled(self) -> None:
        """Wait until nothing of the package's own is left to be done, and no span waits."""
        guard = self.tracker.guard
        while guard is not None and guard.closing.tasks:
            await asyncio.wait(set(guard.closing.tasks))
        await asyncio.sleep(0)
        self.callback.flush()

    async def span(self) -> ReadableSpan:
        """Return the one span there is, once it has ended."""
        self._exporter.loop = asyncio.get_running_loop()
        await self._exporter.board.until(lambda: bool(self.spans), "a span", 5)
        (span,) = self.spans
        return span

    def points(self, metric: sc.Metric) -> list[tuple[dict[str, Any], Any]]:
        """Return each attribute set of an instrument with its value or, of a histogram, count."""
        self.tracker.notes.settle()
        data = self.reader.get_metrics_data()
        return [
            (dict(point.attributes or {}), getattr(point, "value", getattr(point, "count", None)))
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for found in scope.metrics
            if found.name == metric.name
            for point in found.data.data_points
        ]

    def outcomes(self) -> dict[str, int]:
        """Return how many calls ended in which way."""
        found: dict[str, int] = {}
        for attributes, value in self.points(sc.CALLS):
            outcome = attributes[sc.OUTCOME]
            found[outcome] = found.get(outcome, 0) + value
        return found

    def open_streams(self) -> int:
        """Return the number of streams that are open."""
        return sum(value for _, value in self.points(sc.STREAMS_OPEN))

    async def assert_one(self, cancel: Cancel, **attributes: Any) -> ReadableSpan:
        """Assert that one call was made, that it ended in this cancel, and that all signals agree.

        Returns its span, which carries these attributes besides.
        """
        span = await self.span()
        said = span.attributes or {}
        assert cancel_of(said) == cancel
        assert {name: said.get(name) for name in attributes} == attributes
        self._assert_status(span, cancel)
        assert_in_order(span)
        assert self.outcomes() == {"cancelled": 1}
        ((counted, times),) = self.points(sc.CANCELLATIONS)
        assert times == 1
        assert counted == {
            **{name: said[name] for name in (sc.PROVIDER, sc.REQUEST_MODEL, sc.OPERATION)},
            sc.CANCELLATION_TYPE: cancel.type,
            sc.SOURCE: cancel.source,
            sc.PHASE: cancel.phase,
        }
        for histogram in (sc.TIME_TO_CANCEL, sc.TO_FINALLY):
            ((_, count),) = self.points(histogram)
            assert count == 1
        assert sum(count for _, count in self.points(sc.TO_UPSTREAM_CLOSE)) == (
            sc.DISCONNECT_TO_UPSTREAM_CLOSE in said
        )
        assert self.points(sc.SWALLOWED) == []
        self.assert_nothing_open()
        return span

    @staticmethod
    def _assert_status(span: ReadableSpan, cancel: Cancel) -> None:
        error_type = (span.attributes or {}).get(sc.ERROR_TYPE)
        if cancel.type == sc.EXTERNAL:
            assert (span.status.status_code.name, error_type) == ("UNSET", None)
        else:
            assert span.status.status_code.name == "ERROR"
            assert error_type


def cancel_of(attributes: Mapping[str, Any]) -> Cancel:
    """Return what a span's attributes say of its cancel."""
    names = (sc.CANCELLATION_TYPE, sc.SOURCE, sc.PHASE, sc.SIGNAL, sc.ENDED_BY)
    return Cancel(*(attributes.get(name) for name in names))  # type: ignore[arg-type]


def events(span: ReadableSpan) -> list[str]:
    """Return the names of a span's events, earliest first, but for those of the guard's.

    The guard has the loop run when a stream has kept it waiting: where the machine is slow.
    """
    told = sorted(span.events, key=lambda event: event.timestamp)
    return [event.name for event in told if event.name != sc.EVENT_GUARD]


def assert_in_order(span: ReadableSpan) -> None:
    """Assert that a span and its events tell one story: no end before a start, nothing twice.

    The guard alone may act more than once: first it has the loop run, then it stops a task.
    """
    at = {event.name: event.timestamp for event in span.events}
    assert len(events(span)) == len(at) - (sc.EVENT_GUARD in at)
    assert span.start_time is not None
    assert span.end_time is not None
    order = (sc.EVENT_FIRST_CHUNK, sc.EVENT_DISCONNECT, sc.EVENT_CANCEL_DELIVERED)
    moments = [span.start_time, *(at[name] for name in order if name in at), span.end_time]
    assert moments == sorted(moments)
    assert at.get(sc.EVENT_UPSTREAM_CLOSED, span.start_time) >= span.start_time
    assert [event.timestamp for event in span.events] == sorted(at.values())
