"""A recorder whose exporters are in memory and whose clock stands still, and an ending for it."""

from typing import Any, Literal

from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.faults import Faults
from litellm_cancel_otel._contract.records import (
    CallFacts,
    EndedBy,
    Ending,
    Outcome,
    Phase,
    Signal,
    Source,
    Times,
    Verdict,
)
from litellm_cancel_otel._telemetry.instruments import Instruments
from litellm_cancel_otel._telemetry.recorder import Recorder
from litellm_cancel_otel._telemetry.spans import Spans

FACTS = CallFacts(
    operation="chat",
    provider="azure",
    model="gpt-4o",
    stream=True,
    call_id="id",
    response_model="gpt-4o-2024",
    server_address="example.org",
    server_port=443,
)
EXTERNAL = Verdict(
    Outcome.CANCELLED,
    external=True,
    source=Source.TASK_CANCEL,
    phase=Phase.STREAMING,
    signal=Signal.CANCEL,
    ended_by=EndedBy.EXCEPTION,
)
INTERNAL = EXTERNAL._replace(external=False, source=Source.PROVIDER)
TIMES = Times(
    10.0, 14.0, first_chunk=11.0, cancelled=13.0, cancel_delivered=13.25, upstream_closed=13.5
)
ENDING = Ending(FACTS, EXTERNAL, TIMES, chunks=7, error_type="CancelledError")
NOW_NS = 1_000_000_000_000


class Recording:
    """A recorder whose monotonic clock says 20.0 until it is changed."""

    def __init__(self, which: Literal["cancelled", "all", "none"] = "cancelled") -> None:
        self.now = 20.0
        self.faults = Faults()
        self._exporter = InMemorySpanExporter()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self._meters = MeterProvider([self._reader], exemplar_filter=AlwaysOnExemplarFilter())
        self.instruments = Instruments(self._meters, "1", self.faults, max_models=2)
        spans = Spans(tracers, "1", self.faults)
        self.recorder = Recorder(spans, self.instruments, which, lambda: self.now)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return tuple(self._exporter.get_finished_spans())

    def metrics(self) -> dict[str, Any]:
        """Collect once; return each metric by its name."""
        data = self._reader.get_metrics_data()
        scopes = data.resource_metrics[0].scope_metrics if data else ()
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def points(self, metric: sc.Metric) -> list[Any]:
        found = self.metrics().get(metric.name)
        return list(found.data.data_points) if found else []
