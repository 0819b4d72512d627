"""Metrics for Prometheus without a collector: a reader that answers scrapes on a port of its own.

The exporter's own entry point starts a server that nobody can stop, on the registry that an
application may serve too. This one stops with its MeterProvider, and shows only what is measured
here.
"""

import inspect
import os
from typing import Any, Final

# mypy may run without the extra that brings these two.
import opentelemetry.exporter.prometheus as exporter  # type: ignore[import-not-found, unused-ignore]
import prometheus_client as client  # type: ignore[import-not-found, unused-ignore]

from .._contract.forks import follow_forks

HOST: Final = "OTEL_EXPORTER_PROMETHEUS_HOST"
PORT: Final = "OTEL_EXPORTER_PROMETHEUS_PORT"


class ScrapedReader(exporter.PrometheusMetricReader):  # type: ignore[misc, unused-ignore]
    """Serves metrics at OTEL_EXPORTER_PROMETHEUS_HOST and _PORT until it is shut down."""

    def __init__(self) -> None:
        registry = client.CollectorRegistry()
        if "registry" in inspect.signature(exporter.PrometheusMetricReader).parameters:
            super().__init__(registry=registry)
        else:  # an older exporter knows only the process's own registry
            super().__init__()
            registry = client.REGISTRY
        try:
            self._server, _ = client.start_http_server(*_address(), registry=registry)
        except BaseException:
            super().shutdown()
            raise
        self._process = os.getpid()
        follow_forks(self)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Do nothing: a scrape reads what is there, and what is read before it would come twice."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Stop to answer, and give the port back."""
        super().shutdown(timeout_millis, **kwargs)
        if os.getpid() == self._process:
            self._server.shutdown()
        self._server.server_close()

    def forked(self) -> None:
        """Leave the port to the parent: in the child nothing would answer."""
        self._server.server_close()


def _address() -> tuple[int, str]:
    """Return the port and the host, by default those of OpenTelemetry's specification."""
    host = os.environ.get(HOST, "").strip() or "localhost"
    port = os.environ.get(PORT, "").strip() or "9464"
    try:
        return int(port), host
    except ValueError:
        raise ValueError(f"{PORT} is {port!r}; it must be a number") from None
