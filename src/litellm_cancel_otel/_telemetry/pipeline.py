"""Where spans and metrics go: what the caller names, what the application has set, or OTEL_*.

For each signal by itself: the provider that was passed; else the global one, where the application
has set it; else one of our own, built from the standard OTEL_* variables where they ask for an
exporter; else the API's placeholder, which follows the application should it set a provider later.

A provider of our own is never made the global one, so that an application stays free to set its
own at any time. Ours goes on exporting then; an application that wants one provider for all sets it
before CancelTelemetry() is created, or passes it.
"""

import atexit
import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import entry_points
from typing import Any, Final, Generic, TypeVar, cast
from uuid import uuid4

from opentelemetry import metrics, trace
from opentelemetry.metrics._internal import _ProxyMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from .._contract.log import warn
from .keeper import Keeper, all_set
from .showable import shown_address as shown_address
from .showable import told
from .showable import without_secrets as without_secrets

PATIENCE_MILLIS: Final = 2_000
"""How much longer a process takes to exit because of us, at most, whatever the collector does."""

_OTLP: Final = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}
"""The values of OTEL_EXPORTER_OTLP_PROTOCOL, and the exporters that they mean."""

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The two providers; ``flush`` and ``shutdown`` touch only those that were built here."""

    tracer_provider: trace.TracerProvider
    meter_provider: metrics.MeterProvider
    _built: tuple["Keeper", ...] = ()
    _nowhere: tuple["_Signal[Any]", ...] = ()

    def tell_nowhere(self) -> None:
        """Warn of what goes nowhere, unless the application has set a provider of it by now."""
        still = [one.name for one in self._nowhere if isinstance(one.current(), one.placeholder)]
        if still:
            warn(
                "%s go nowhere: the application has set no OpenTelemetry provider and no OTEL_* "
                "variable names an exporter. Set OTEL_EXPORTER_OTLP_ENDPOINT, or %s=none",
                " and ".join(still),
                " and ".join(f"OTEL_{signal.upper()}_EXPORTER" for signal in still),
            )

    def flush(self, timeout_millis: int = PATIENCE_MILLIS) -> bool:
        """Export what was recorded; return whether that ended in time, not whether it arrived."""
        return all_set([keeper.flush() for keeper in self._built], timeout_millis)

    def shutdown(self, timeout_millis: int = PATIENCE_MILLIS) -> bool:
        """Export what was recorded and stop; return whether that ended in time.

        With a timeout of 0 it is begun and not waited for, so that an event loop may call it. At
        exit it is called anyway, and waits for what was begun.
        """
        in_time = all_set([keeper.shutdown() for keeper in self._built], timeout_millis)
        if in_time:
            atexit.unregister(self.at_exit)
        return in_time

    def at_exit(self) -> None:
        """Shut down before the process ends, and say what is lost by it."""
        if not self.shutdown():
            warn(
                "what was recorded last may be lost: no collector took it within %g s",
                PATIENCE_MILLIS / 1_000,
            )


def resolve(
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
) -> Pipeline:
    """Find or build the provider of each signal; a bad OTEL_* variable is a warning in the log."""
    built: list[Keeper] = []
    nowhere: list[_Signal[Any]] = []
    if meter_provider is None:
        meter_provider = _choose(_METRICS, built, nowhere)
    if tracer_provider is None:
        traces = replace(_TRACES, build=partial(_tracers, metered_by=meter_provider))
        tracer_provider = _choose(traces, built, nowhere, meter_provider)
    nowhere.reverse()  # traces are named first
    pipeline = Pipeline(tracer_provider, meter_provider, tuple(built), tuple(nowhere))
    if built:
        atexit.register(pipeline.at_exit)
    return pipeline


def _tracers(
    exporters: Sequence[Any],
    resource: Resource,
    metered_by: metrics.MeterProvider | None = None,
) -> TracerProvider:
    provider = TracerProvider(
        resource=resource, shutdown_on_exit=False, **metering(TracerProvider, metered_by)
    )
    for exporter in exporters:
        counts = metering(BatchSpanProcessor, metered_by)
        provider.add_span_processor(BatchSpanProcessor(exporter, **counts))
    return provider


def metering(cls: Callable[..., object], provider: metrics.MeterProvider | None) -> dict[str, Any]:
    """Return where a part of the SDK counts what it drops, if it can: older ones do not count."""
    known = "meter_provider" in inspect.signature(cls).parameters
    return {"meter_provider": provider} if known else {}


def _meters(exporters: Sequence[Any], resource: Resource) -> MeterProvider:
    readers = [
        # Prometheus's is a reader by itself: it waits to be asked.
        exporter if isinstance(exporter, MetricReader) else PeriodicExportingMetricReader(exporter)
        for exporter in exporters
    ]
    return MeterProvider(readers, resource=resource, shutdown_on_exit=False)


@dataclass(frozen=True, slots=True)
class _Signal(Generic[P]):
    name: str
    current: Callable[[], P]
    placeholder: type
    """What ``current`` returns as long as the application has set nothing."""
    build: Callable[[Sequence[Any], Resource], TracerProvider | MeterProvider]


_TRACES: Final[_Signal[trace.TracerProvider]] = _Signal(
    "traces", trace.get_tracer_provider, trace.ProxyTracerProvider, _tracers
)
_METRICS: Final[_Signal[metrics.MeterProvider]] = _Signal(
    "metrics", metrics.get_meter_provider, _ProxyMeterProvider, _meters
)


def _choose(
    signal: _Signal[P],
    built: "list[Keeper]",
    nowhere: "list[_Signal[Any]]",
    metered_by: metrics.MeterProvider | None = None,
) -> P:
    current = signal.current()
    if not isinstance(current, signal.placeholder) or _env("OTEL_SDK_DISABLED").lower() == "true":
        return current
    names = _exporter_names(signal.name)
    if not names:
        nowhere.append(signal)
    exporters = []
    for name in names:
        try:
            exporters += [] if name == "none" else [_exporter(signal.name, name, metered_by)]
        except LookupError as exc:
            warn("an exporter of %s is left out: %s", signal.name, without_secrets(str(exc)))
    if not exporters:
        return current
    try:
        keeper = Keeper(signal.build(exporters, _resource()))
    except Exception as exc:  # noqa: BLE001 - the SDK reads a dozen variables more
        warn("%s go nowhere: %s", signal.name, told(exc))
        return current
    built.append(keeper)
    return cast("P", keeper.provider)


def _env(name: str) -> str:
    """Return a variable; to OpenTelemetry an empty one is as good as none."""
    return os.environ.get(name, "").strip()


def _endpoint(signal: str) -> str:
    own = _env(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    return own or _env("OTEL_EXPORTER_OTLP_ENDPOINT")


def _protocol(signal: str) -> tuple[str, str]:
    """Return the OTLP protocol and the variable that decides on it.

    Where none is set: gRPC for gRPC's port, else HTTP, OpenTelemetry's default.
    """
    variable = "OTEL_EXPORTER_OTLP_PROTOCOL"
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL"
    if value := _env(own):
        return own, value
    grpc = _endpoint(signal).rstrip("/").endswith(":4317")
    return variable, _env(variable) or ("grpc" if grpc else "http/protobuf")


def _exporter_names(signal: str) -> list[str]:
    """Return the exporters that the environment asks for; none where it says nothing."""
    named = _env(f"OTEL_{signal.upper()}_EXPORTER")
    if not named and _endpoint(signal):
        named = "otlp"
    return list(dict.fromkeys(name.strip() for name in named.split(",") if name.strip()))


def _exporter(signal: str, name: str, metered_by: metrics.MeterProvider | None) -> object:
    """Return the exporter of that name, which is imported only here; LookupError says why not."""
    group = f"opentelemetry_{signal}_exporter"
    if name == "otlp":
        variable, protocol = _protocol(signal)
        if protocol not in _OTLP:
            raise LookupError(f"{variable} is {protocol!r}; it must be one of {', '.join(_OTLP)}")
        name = _OTLP[protocol]
    if (signal, name) == ("metrics", "prometheus"):
        return _scraped()
    for found in entry_points(group=group, name=name):
        try:
            make = found.load()
            return make(**metering(make, metered_by))
        except Exception as exc:  # half a package, or a variable that it cannot read
            raise LookupError(f"{name} failed with {told(exc)}") from exc
    if name in _OTLP.values():
        package = f"opentelemetry-exporter-{name.replace('_', '-')}"
        raise LookupError(f"the package {package} is not installed")
    known = ", ".join(sorted({"none", *entry_points(group=group).names}))
    raise LookupError(f"OTEL_{signal.upper()}_EXPORTER names {name!r}; here it may name {known}")


def _scraped() -> object:
    """Return the reader that answers Prometheus' scrapes; LookupError says why there is none."""
    try:
        from .scrape import ScrapedReader
    except ImportError as exc:
        package = "opentelemetry-exporter-prometheus"
        raise LookupError(f"the package {package} is not installed") from exc
    try:
        return ScrapedReader()
    except Exception as exc:  # the port is taken, or the host is none of this machine's
        raise LookupError(f"prometheus failed with {told(exc)}") from exc


def _resource() -> Resource:
    # Older SDKs know no service.instance.id, without which the metrics of replicas overwrite each
    # other. Newer ones do, and renew theirs after a fork.
    return Resource({SERVICE_INSTANCE_ID: _INSTANCE_ID}).merge(Resource.create())


_INSTANCE_ID: Final = str(uuid4())
