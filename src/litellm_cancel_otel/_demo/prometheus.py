"""Serves the demo's metrics for a scrape, on loopback."""

from __future__ import annotations

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.export import MetricReader
from prometheus_client import start_http_server


def serve(port: int) -> tuple[MetricReader, str]:
    """Start to serve; return the reader to measure into and the address to scrape."""
    reader = PrometheusMetricReader()
    server, _ = start_http_server(port, addr="127.0.0.1")
    return reader, f"http://127.0.0.1:{server.server_port}/metrics"
