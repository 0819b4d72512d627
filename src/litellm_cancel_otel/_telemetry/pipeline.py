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
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import entry_points
from queue import SimpleQueue
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar, cast
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from opentelemetry import metrics, trace
from opentelemetry.metrics._internal import _ProxyMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from .._contract.forks import follow_forks
from .._contract.log import warn

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
    _built: tuple["_Keeper", ...] = ()
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
        return _all_set([keeper.flush() for keeper in self._built], timeout_millis)

    def shutdown(self, timeout_millis: int = PATIENCE_MILLIS) -> bool:
        """Export what was recorded and stop; return whether that ended in time.

        With a timeout of 0 it is begun and not waited for, so that an event loop may call it. At
        exit it is called anyway, and waits for what was begun.
        """
        in_time = _all_set([keeper.shutdown() for keeper in self._built], timeout_millis)
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
    built: list[_Keeper] = []
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
    built: "list[_Keeper]",
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
        keeper = _Keeper(signal.build(exporters, _resource()))
    except Exception as exc:  # noqa: BLE001 - the SDK reads a dozen variables more
        warn("%s go nowhere: %s", signal.name, _told(exc))
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
            raise LookupError(f"{name} failed with {_told(exc)}") from exc
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
        raise LookupError(f"prometheus failed with {_told(exc)}") from exc


def _told(exc: Exception) -> str:
    return without_secrets(f"{type(exc).__name__}: {exc}")


HIDDEN: Final = "(hidden)"

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_URL: Final = re.compile(_SCHEME.pattern + r"""[^\s'"<>]*[^\s'"<>.,;:)\]}]""")


def without_secrets(text: str) -> str:
    """Return a text as it may be shown: no password, query or header that a variable holds."""
    text = _URL.sub(lambda found: shown_address(found[0]), text)
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def shown_address(address: str) -> str:
    """Return an endpoint's scheme, host, port and path, which is all of it that may be shown."""
    scheme, rest = _divided(address)
    try:
        url = urlsplit(f"//{rest}")
        port = "" if url.port is None else f":{url.port}"
    except ValueError:  # no port, or no address: then who knows where the password ends
        return f"{scheme}{HIDDEN}"
    host = url.hostname or ""
    if "@" in url.path or (host == "" and rest) or (url.username is None and "@" in rest):
        return f"{scheme}{HIDDEN}"  # a password with a character that ends the host
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}{host}{port}{url.path}"


def _divided(address: str) -> tuple[str, str]:
    scheme = _SCHEME.match(address)
    return (scheme[0], address[scheme.end() :]) if scheme else ("", address)


def _secrets() -> set[str]:
    """Return what of the OTEL_* variables must not be shown, as it stands there and decoded."""
    found: set[str] = set()
    for name, value in os.environ.items():
        if not name.startswith("OTEL_"):
            continue
        if name.endswith("HEADERS"):
            pairs = (pair.partition("=") for pair in value.split(","))
            found |= {value, *(text for _, _, text in pairs)}
        elif "ENDPOINT" in name:
            _, rest = _divided(value.strip())
            user, _, password = rest.rpartition("@")[0].partition(":")
            query = rest.partition("?")[2]
            found |= {f"{user}:{password}" if password else user, password, query}
            found |= {pair.partition("=")[2] for pair in query.split("&")}
    found |= {unquote(secret) for secret in found}
    return {secret.strip() for secret in found if len(secret.strip()) >= _LEAST}


_LEAST: Final = 4
"""Shorter ones are not looked for: they would be found in every other word."""


def _resource() -> Resource:
    # Older SDKs know no service.instance.id, without which the metrics of replicas overwrite each
    # other. Newer ones do, and renew theirs after a fork.
    return Resource({SERVICE_INSTANCE_ID: _INSTANCE_ID}).merge(Resource.create())


_INSTANCE_ID: Final = str(uuid4())


_Job: TypeAlias = tuple[Callable[[], object], threading.Event]


class _Provider(Protocol):
    def force_flush(self) -> bool: ...
    def shutdown(self) -> None: ...


class _Keeper:
    """A provider of ours and the thread that flushes and closes it, for either may hang.

    The thread is there from the beginning: from Python 3.12 on none can be started at exit.
    """

    def __init__(self, provider: _Provider) -> None:
        self.provider = provider
        self._closing: threading.Event | None = None
        self._start()
        follow_forks(self)

    def flush(self) -> threading.Event:
        return self._closing or self._do(self.provider.force_flush, threading.Event())

    def shutdown(self) -> threading.Event:
        if self._closing is None:
            self._closing = threading.Event()
            self._do(self.provider.shutdown, self._closing)
        return self._closing

    def _do(self, job: Callable[[], object], done: threading.Event) -> threading.Event:
        self._jobs.put((job, done))
        return done

    def forked(self) -> None:
        """Start the thread again: a child inherits none."""
        self._start()

    def _start(self) -> None:
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        if self._closing is None:
            name = "litellm-cancel-otel-export"
            threading.Thread(target=self._work, args=(self._jobs,), name=name, daemon=True).start()
        else:  # the parent's to close
            self._closing = threading.Event()
            self._closing.set()

    def _work(self, jobs: SimpleQueue[_Job]) -> None:
        done = None
        while done is None or done is not self._closing:
            job, done = jobs.get()
            try:
                job()
            except Exception as exc:  # noqa: BLE001 - an exporter may raise anything
                warn("telemetry could not be flushed: %s", _told(exc))
            done.set()


def _all_set(events: Sequence[threading.Event], timeout_millis: int) -> bool:
    deadline = time.monotonic() + timeout_millis / 1_000
    for event in events:
        event.wait(max(0.0, deadline - time.monotonic()))
    return all(event.is_set() for event in events)
