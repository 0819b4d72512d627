"""This package at work in the application that is checked, with telemetry that stays in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from .._contract import semconv as sc
from .._contract.settings import Settings
from .._integration.callback import CancelTelemetry
from .._seams.active import ACTIVE

Tell = Callable[[ReadableSpan], None]


class _Telling(SpanExporter):
    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            self._tell(span)
        return SpanExportResult.SUCCESS


class Watching:
    """Watches every call from its creation to ``close()``.

    It only watches, unless the application has this package itself or it is asked for: what is
    measured is what the application does.
    """

    def __init__(self, tell: Tell, *, package: bool) -> None:
        own = ACTIVE.tracker
        self.had_package = own is not None
        """Whether the application has a ``CancelTelemetry`` of its own."""
        chosen = Settings(guard=package) if own is None else own.settings
        self._reader = InMemoryMetricReader()
        self._tracers = TracerProvider(shutdown_on_exit=False)
        self._tracers.add_span_processor(SimpleSpanProcessor(_Telling(tell)))
        self._meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self._callback = CancelTelemetry(
            tracer_provider=self._tracers,
            meter_provider=self._meters,
            # The provider itself tells when it was closed: no span waits for that.
            settings=replace(chosen, spans="all", upstream_wait=0.0, top_socket=None),
        )

    def state(self) -> dict[str, Any]:
        """Return since when streams are open, in nanoseconds of the epoch, and what was swallowed.

        Every span of an ended call is told before.
        """
        self._callback.flush()
        now = time.time_ns()
        starts = [now - round(one.age * 1e9) for one in self._callback._states()]
        return {"open": starts, "swallowed": self._sum(sc.SWALLOWED)}

    def close(self) -> None:
        """Put everything back."""
        self._callback.close()
        self._tracers.shutdown()
        self._meters.shutdown()

    def _sum(self, metric: sc.Metric) -> int:
        data = self._reader.get_metrics_data()
        points: list[Any] = [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for found in scope.metrics
            if found.name == metric.name
            for point in found.data.data_points
        ]
        return int(sum(getattr(point, "value", 0) for point in points))


def told(span: ReadableSpan) -> Mapping[str, Any]:
    """Return of a span what a check looks at."""
    return {"start": span.start_time, "end": span.end_time, **dict(span.attributes or {})}
