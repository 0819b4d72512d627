"""Serves the demo's metrics for a scrape, on loopback."""

# mypy may run without the extra that brings these two.
import opentelemetry.exporter.prometheus as exporter  # type: ignore[import-not-found, unused-ignore]
from opentelemetry.sdk.metrics.export import MetricReader
from prometheus_client import start_http_server  # type: ignore[import-not-found, unused-ignore]


def serve(port: int) -> tuple[MetricReader, str]:
    """Start to serve; return the reader to measure into and the address to scrape."""
    reader: MetricReader = exporter.PrometheusMetricReader()
    try:
        server, _ = start_http_server(port, addr="127.0.0.1")
    except OSError as exc:
        # Which port it was, the system does not say; port 0 takes any that is free.
        raise OSError(f"port {port} of 127.0.0.1: {(exc.strerror or str(exc)).lower()}") from exc
    return reader, f"http://127.0.0.1:{server.server_port}/metrics"
