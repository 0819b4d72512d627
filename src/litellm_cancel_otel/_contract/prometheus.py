"""The contract's names as Prometheus has them.

OpenTelemetry's Prometheus exporter and Prometheus' own OTLP receiver translate alike: what is not
a letter or digit becomes ``_``, then come the unit and, for counters, ``total``. Units in braces
are notes and vanish.
"""

import re
from typing import Final

from .._contract import semconv as sc

_UNITS: Final = {"s": "seconds", "USD": "USD"}

PROCESSED: Final = sc.Metric("otel.sdk.processor.span.processed", "counter", "{span}", "")
EXPORTED: Final = sc.Metric("otel.sdk.exporter.span.exported", "counter", "{span}", "")
REFUSED: Final = sc.Metric("otelcol_receiver_refused_spans", "counter", "{span}", "")
FAILED: Final = sc.Metric("otelcol_exporter_send_failed_spans", "counter", "{span}", "")
NOT_QUEUED: Final = sc.Metric("otelcol_exporter_enqueue_failed_spans", "counter", "{span}", "")
UPTIME: Final = sc.Metric("otelcol_process_uptime", "counter", "", "")
FOREIGN: Final = (PROCESSED, EXPORTED, REFUSED, FAILED, NOT_QUEUED, UPTIME)
"""What the OpenTelemetry SDK and the Collector say of themselves."""


def label(attribute: str) -> str:
    """Return an attribute's label."""
    return re.sub(r"\W", "_", attribute)


def series(metric: sc.Metric) -> tuple[str, ...]:
    """Return the names of every series that one instrument becomes."""
    stem = family(metric)
    if metric.kind == "histogram":
        return (f"{stem}_bucket", f"{stem}_count", f"{stem}_sum")
    return (stem,)


def family(metric: sc.Metric) -> str:
    """Return an instrument's Prometheus name; a histogram's series append to it."""
    parts = [re.sub(r"\W", "_", metric.name)]
    if unit := _UNITS.get(metric.unit):
        parts.append(unit)
    if metric.kind == "counter":
        parts.append("total")
    return "_".join(parts)
