"""The demo's own OpenTelemetry pipeline: kept to look at, and sent on where the user says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    MetricExporter,
    MetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from .._contract import semconv as sc
from .._contract.settings import Settings
from .._integration.callback import CancelTelemetry
from .._telemetry.pipeline import metering

Protocol: TypeAlias = Literal["grpc", "http/protobuf"]
PROTOCOLS: tuple[Protocol, ...] = ("grpc", "http/protobuf")

EXPORT_INTERVAL = 5.0
"""Seconds from one export of metrics to the next."""
_PATIENCE = 5
"""Seconds that an exporter may try."""


@dataclass(frozen=True, slots=True)
class Otlp:
    """A collector: its endpoint and the protocol, which gRPC's usual port decides if unsaid."""

    endpoint: str
    protocol: Protocol

    @classmethod
    def at(cls, endpoint: str, protocol: Protocol | None = None) -> Otlp:
        """Return the collector at an endpoint; a bare ``host:port`` is as good as a URL."""
        if "://" not in endpoint:
            endpoint = f"http://{endpoint}"
        grpc = urlsplit(endpoint).port == 4317
        return cls(endpoint.rstrip("/"), protocol or ("grpc" if grpc else "http/protobuf"))

    def metrics(self) -> MetricExporter:
        """Return the exporter of metrics."""
        if self.protocol == "grpc":
            from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc

            return grpc.OTLPMetricExporter(endpoint=self.endpoint, timeout=_PATIENCE)
        from opentelemetry.exporter.otlp.proto.http import metric_exporter as http

        return http.OTLPMetricExporter(endpoint=f"{self.endpoint}/v1/metrics", timeout=_PATIENCE)

    def traces(self, metered_by: MeterProvider) -> SpanExporter:
        """Return the exporter of traces, which counts there what it could not send."""
        if self.protocol == "grpc":
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
                OTLPSpanExporter as Grpc,
            )

            return Grpc(endpoint=self.endpoint, timeout=_PATIENCE, **metering(Grpc, metered_by))
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

        endpoint = f"{self.endpoint}/v1/traces"
        return Http(endpoint=endpoint, timeout=_PATIENCE, **metering(Http, metered_by))


@dataclass(frozen=True, slots=True)
class Totals:
    """What the package's metrics add up to."""

    calls: dict[str, int]
    """By outcome."""
    cancellations: int
    streams_open: int
    internal_errors: int
    cost_undelivered: float
    """In US dollars, where LiteLLM knows tokens and price."""


class Telemetry:
    """The package at work, with ``with``: on providers of the demo's own, to be read back.

    Leaving it sends what is left, which waits for the collector. With ``keep=False`` no span is
    kept to read back, for a run without an end.
    """

    def __init__(
        self,
        settings: Settings,
        otlp: Otlp | None = None,
        readers: Sequence[MetricReader] = (),
        *,
        keep: bool = True,
    ) -> None:
        self.settings = settings
        self.callback: CancelTelemetry | None = None
        resource = Resource.create({"service.name": "litellm-cancel-otel-demo"})
        self.taken: Counter[str] = Counter()
        """Exports that the collector took, by signal."""
        self.refused: Counter[str] = Counter()
        """Exports that it did not."""
        self._kept = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        if keep:
            self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._kept))
        all_readers: list[MetricReader] = [self._reader, *readers]
        if otlp is not None:
            metrics = otlp.metrics()
            self._count(metrics, "metrics")
            all_readers.append(PeriodicExportingMetricReader(metrics, EXPORT_INTERVAL * 1_000))
        self.meter_provider = MeterProvider(all_readers, resource=resource, shutdown_on_exit=False)
        if otlp is not None:
            spans = otlp.traces(self.meter_provider)
            self._count(spans, "traces")
            counts = metering(BatchSpanProcessor, self.meter_provider)
            self.tracer_provider.add_span_processor(BatchSpanProcessor(spans, **counts))

    def __enter__(self) -> Self:
        self.callback = CancelTelemetry(
            tracer_provider=self.tracer_provider,
            meter_provider=self.meter_provider,
            settings=self.settings,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self.callback is not None:
            self.callback.flush()
            # Before its close, after which the instruments say nothing more.
            self.meter_provider.force_flush()
            self.callback.close()
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()

    def span(self, call_id: str) -> ReadableSpan | None:
        """Return the span of a call by LiteLLM's id of it, once it has ended."""
        for span in reversed(self._kept.get_finished_spans()):
            if (span.attributes or {}).get(sc.CALL_ID) == call_id:
                return span
        return None

    def totals(self) -> Totals:
        """Return what the metrics say now."""
        calls: Counter[str] = Counter()
        for attributes, value in self._points(sc.CALLS):
            calls[str(attributes[sc.OUTCOME])] += int(value)
        return Totals(
            calls=dict(calls),
            cancellations=int(sum(value for _, value in self._points(sc.CANCELLATIONS))),
            streams_open=int(sum(value for _, value in self._points(sc.STREAMS_OPEN))),
            internal_errors=int(sum(value for _, value in self._points(sc.INTERNAL_ERRORS))),
            cost_undelivered=sum(value for _, value in self._points(sc.UNDELIVERED_COST)),
        )

    def _points(self, metric: sc.Metric) -> Iterator[tuple[Mapping[str, Any], float]]:
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for found in scope.metrics:
                    if found.name == metric.name:
                        for point in found.data.data_points:
                            yield point.attributes or {}, getattr(point, "value", 0)

    def _count(self, exporter: SpanExporter | MetricExporter, signal: str) -> None:
        export: Callable[..., Any] = exporter.export

        def counted(*args: Any, **kwargs: Any) -> Any:
            result = export(*args, **kwargs)
            (self.taken if result.name == "SUCCESS" else self.refused)[signal] += 1
            return result

        # On the object: the processors ask it by name, and its class is another package's.
        setattr(exporter, "export", counted)  # noqa: B010 - mypy allows no assignment to a method
