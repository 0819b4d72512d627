"""A stand-in for instrumented services: every metric of the contract, with faults to switch on.

It says through OpenTelemetry's SDK and Prometheus exporter what real replicas would, at rates that
a test of seconds can use. Which calls happen is drawn from a seeded generator.
"""

import random
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from types import TracebackType
from typing import Self

from grafana_stack import Prometheus, missing
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.prometheus import EXPORTED, UPTIME
from litellm_cancel_otel._contract.records import Action, EndedBy, Phase, Reason, Signal, Source

SERVICE = "chat"

MODELS = {
    "azure": ("gpt-4o", "gpt-4o-mini"),
    "openai": ("gpt-4.1", "o3"),
    "anthropic": ("claude-sonnet-4",),
    "bedrock": ("nova-pro",),
}

PRICE = 1e-5
"""The USD that one output token costs, of each model."""

SOURCES = {
    Source.CLIENT_DISCONNECT: 60,
    Source.DEADLINE: 20,
    Source.TASK_CANCEL: 8,
    Source.ABANDONED: 6,
    Source.ACLOSE: 5,
    Source.SHUTDOWN: 1,
}
"""Of 100 external cancels, how many are whose."""

FAULTS = (
    "late_finally",
    "upstream_left_open",
    "undelivered",
    "internal",
    "swallowed",
    "faults",
    "spans_lost",
    "collector",
    "after_disconnect",
    "orphaned",
    "no_chunk",
)
"""What can be switched on: ``replica.faults.add(...)``."""


@dataclass(frozen=True)
class Loaded:
    """A Prometheus, and the replicas that it scrapes."""

    prometheus: Prometheus
    replicas: tuple["Replica", ...]


@dataclass
class Replica:
    """One process of a service, with a port that Prometheus scrapes."""

    name: str
    seed: int
    calls_a_second: float = 40
    faults: set[str] = field(default_factory=set)
    models: Mapping[str, Sequence[str]] = field(default_factory=lambda: MODELS)

    def __enter__(self) -> Self:
        try:
            from opentelemetry.exporter.prometheus import PrometheusMetricReader
            from prometheus_client import CollectorRegistry, start_http_server
        except ModuleNotFoundError as exc:
            missing(f"{exc.name} is not installed")
        self._random = random.Random(self.seed)
        registry = CollectorRegistry()
        resource = Resource({"service.name": SERVICE, "service.instance.id": self.name})
        # One that is shut down says so on stderr; there is nothing else to close.
        reader = PrometheusMetricReader(registry=registry)
        self._provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        self._instruments()
        self._server, self._thread = start_http_server(0, "127.0.0.1", registry)
        self.port = self._server.server_port
        self._stuck_since: float | None = None
        self._stop = threading.Event()
        self._driver = threading.Thread(target=self._drive, daemon=True)
        self._driver.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Die: stop answering scrapes. Nobody dies twice."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._driver.join()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._provider.shutdown()

    def _instruments(self) -> None:
        meter = self._provider.get_meter(sc.SCOPE, "0", sc.SCHEMA_URL)
        observed = {
            sc.STREAMS_OPEN: self._open,
            sc.STREAMS_STUCK: self._stuck,
            sc.OLDEST_AFTER_DISCONNECT: self._oldest,
        }
        self._counters: dict[str, Counter] = {
            metric.name: meter.create_counter(metric.name, metric.unit)
            for metric in (EXPORTED, UPTIME)
        }
        self._histograms: dict[str, Histogram] = {}
        for metric in sc.METRICS:
            name, unit, text = metric.name, metric.unit, metric.description
            match metric.kind:
                case "counter":
                    self._counters[name] = meter.create_counter(name, unit, text)
                case "histogram":
                    self._histograms[name] = meter.create_histogram(
                        name, unit, text, explicit_bucket_boundaries_advisory=sc.LATENCY_BUCKETS
                    )
                case "gauge":
                    meter.create_observable_gauge(name, [observed[metric]], unit, text)
                case _:
                    meter.create_observable_up_down_counter(name, [observed[metric]], unit, text)
        self._count(sc.INTERNAL_ERRORS, {sc.SEAM: "none"}, 0)

    def _drive(self) -> None:
        tick = 0.1
        while not self._stop.wait(tick):
            for _ in range(round(self.calls_a_second * tick)):
                self._call()
            self._measure(sc.LOOP_LAG, {}, self._random.lognormvariate(-6, 0.8))

    def _call(self) -> None:
        draw = self._random.random
        provider = self._random.choices(list(self.models), (5, 3, 2, 1)[: len(self.models)])[0]
        base = {
            sc.PROVIDER: sc.provider_name(provider),
            sc.REQUEST_MODEL: self._random.choice(self.models[provider]),
            sc.OPERATION: "chat",
        }
        if "swallowed" in self.faults:
            self._count(sc.SWALLOWED, {**base, sc.SEAM: "call"})
            self.faults.discard("swallowed")  # once, which is the hardest to see
        if "faults" in self.faults:
            self._count(sc.INTERNAL_ERRORS, {sc.SEAM: "stream.chunk"})
            self.faults.discard("faults")
        if "spans_lost" in self.faults:
            self._count(EXPORTED, {sc.ERROR_TYPE: "StatusCode.UNAVAILABLE"}, 64)
            self.faults.discard("spans_lost")
        if "collector" in self.faults:  # or it says that it is one, to be missed when it is gone
            self._count(UPTIME, {})
            self.faults.discard("collector")
        dropped = 0.004 if provider == "azure" else 0.001
        if "internal" in self.faults and provider == "azure":
            dropped = 0.3
        if draw() < dropped:
            self._cancelled(base, provider, Source.PROVIDER)
        elif draw() < 0.15:
            (source,) = self._random.choices(list(SOURCES), list(SOURCES.values()))
            self._cancelled(base, provider, source)
        else:
            ended = {**base, sc.OUTCOME: "error" if draw() < 0.02 else "completed"}
            self._count(sc.CALLS, ended)
            if ended[sc.OUTCOME] == "completed" and draw() < 0.02:
                self._waste(ended, 25)

    def _cancelled(self, base: dict[str, str], provider: str, source: Source) -> None:
        draw = self._random.random
        external = source is not Source.PROVIDER
        kind = sc.EXTERNAL if external else sc.internal_cancellation_type(provider)
        phase = {sc.PHASE: self._random.choices(list(Phase), (3, 1, 6, 1))[0].value}
        typed = {**base, sc.CANCELLATION_TYPE: kind, sc.SOURCE: source.value}
        ended = {sc.SIGNAL: Signal.CANCEL.value, sc.ENDED_BY: EndedBy.EXCEPTION.value}
        late = "late_finally" in self.faults and draw() < 0.4
        open_ = "upstream_left_open" in self.faults and draw() < 0.4
        self._count(sc.CALLS, {**base, sc.OUTCOME: "cancelled"})
        self._count(sc.CANCELLATIONS, {**typed, **phase})
        finally_after = self._random.lognormvariate(0.7 if late else -5.5, 0.6)
        close_after = finally_after + self._random.lognormvariate(1.5 if open_ else -5, 0.6)
        self._measure(sc.TO_FINALLY, {**typed, **ended}, finally_after)
        self._measure(sc.TO_UPSTREAM_CLOSE, typed, close_after)
        waited = self._random.lognormvariate(1.2, 0.9)
        self._measure(sc.TIME_TO_CANCEL, {**base, sc.SOURCE: source.value, **phase}, waited)
        wasted = 40 if "undelivered" in self.faults else int(draw() * 3)
        self._waste({**base, sc.OUTCOME: "cancelled"}, wasted)
        if draw() < 0.2:
            self._count(sc.GUARD_ACTIONS, {**base, sc.ACTION: self._random.choice([*Action])})

    def _waste(self, ended: dict[str, str], chunks: int) -> None:
        self._count(sc.UNDELIVERED, ended, chunks)
        self._count(sc.UNDELIVERED_TOKENS, ended, chunks * 3)
        self._count(sc.UNDELIVERED_COST, ended, chunks * 3 * PRICE)

    def _open(self, _: CallbackOptions) -> Iterable[Observation]:
        for provider, models in self.models.items():
            for model in models:
                yield Observation(self._random.randint(2, 9), _of(provider, model))

    def _stuck(self, _: CallbackOptions) -> Iterable[Observation]:
        for reason, provider in zip(Reason, cycle(self.models)):
            stuck = 2 if reason in self.faults else 0
            of = _of(provider, self.models[provider][0])
            yield Observation(stuck, {**of, sc.REASON: reason.value})

    def _oldest(self, _: CallbackOptions) -> Iterable[Observation]:
        age = self._random.random() * 0.05
        if "after_disconnect" in self.faults:
            now = time.monotonic()
            self._stuck_since = self._stuck_since or now
            age += now - self._stuck_since
        yield Observation(age, _of("azure", "gpt-4o"))

    def _count(self, metric: sc.Metric, attributes: dict[str, str], n: float = 1) -> None:
        plain = {name: str(value) for name, value in attributes.items()}
        self._counters[metric.name].add(n, plain)

    def _measure(self, metric: sc.Metric, attributes: dict[str, str], seconds: float) -> None:
        self._histograms[metric.name].record(seconds, attributes)


def _of(provider: str, model: str) -> dict[str, str]:
    return {
        sc.PROVIDER: sc.provider_name(provider),
        sc.REQUEST_MODEL: model,
        sc.OPERATION: "chat",
    }
