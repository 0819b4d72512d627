"""The names that are not the contract's: what OpenTelemetry's SDK says of itself."""

import threading

import pytest
from grafana_stack import missing
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.prometheus import PROCESSED, label, series
from litellm_cancel_otel._dashboards.promql import at_most


class Stopped(SpanExporter):
    """Takes nothing off the queue until it is told to go on."""

    def __init__(self) -> None:
        self.busy = threading.Event()
        self.go_on = threading.Event()

    def export(self, spans: object) -> SpanExportResult:
        """Wait."""
        self.busy.set()
        self.go_on.wait(10)
        return SpanExportResult.SUCCESS


def test_the_sdk_counts_dropped_spans_by_the_name_that_is_queried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    try:
        from opentelemetry.exporter.prometheus import PrometheusMetricReader
        from prometheus_client import CollectorRegistry
    except ModuleNotFoundError as exc:
        missing(f"{exc.name} is not installed")
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    registry = CollectorRegistry()
    meters = MeterProvider([PrometheusMetricReader(registry=registry)], shutdown_on_exit=False)
    exporter = Stopped()
    spans = BatchSpanProcessor(
        exporter, max_queue_size=1, max_export_batch_size=1, meter_provider=meters
    )
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(spans)
    tracer = tracers.get_tracer("test")
    tracer.start_span("exported, slowly").end()
    assert exporter.busy.wait(10)
    for _ in range(5):
        tracer.start_span("too many").end()
    dropped = [
        sample
        for family in registry.collect()
        for sample in family.samples
        if sample.name in series(PROCESSED) and sample.labels.get(label(sc.ERROR_TYPE))
    ]
    exporter.go_on.set()
    tracers.shutdown()
    meters.shutdown()
    assert sum(sample.value for sample in dropped) >= 4


@pytest.mark.parametrize(("limit", "matcher"), [(1.0, 'le=~"1([.]0)?"'), (0.05, 'le=~"0[.]05"')])
def test_a_bucket_boundary_is_matched_however_it_is_written(limit: float, matcher: str) -> None:
    assert at_most(limit) == matcher


def test_a_limit_that_is_no_bucket_boundary_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.3 is no bucket boundary"):
        at_most(0.3)
