"""The instruments and what is counted beside them; knows OpenTelemetry's metrics, nothing else."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from opentelemetry.context import Context
from opentelemetry.metrics import (
    CallbackOptions,
    Histogram,
    Meter,
    MeterProvider,
    Observation,
)
from opentelemetry.metrics import (
    Counter as CounterInstrument,
)

from . import _semconv as sc
from ._faults import Faults
from ._records import CallFacts, Ending, Outcome, Reason
from ._timeline import since_disconnect, time_to_cancel

K = TypeVar("K")

Key = tuple[str, str, str]
"""Provider, model and operation, as they stand in telemetry."""


class Instruments:
    """Every instrument of the contract that measures a call's end or the streams that are open.

    ``calls`` and ``streams.open`` are kept as plain numbers and read when somebody collects: an
    OpenTelemetry counter costs 7 µs an addition, more than all the rest of watching a call.
    """

    def __init__(
        self, provider: MeterProvider, version: str, faults: Faults, *, max_models: int
    ) -> None:
        meter = provider.get_meter(sc.SCOPE, version, sc.SCHEMA_URL)
        self._lock = threading.Lock()
        self._calls: Counter[tuple[Key, Outcome]] = Counter()
        self._actions: Counter[tuple[Key, str]] = Counter()
        self._open: Counter[Key] = Counter()
        self._models: set[str] = set()
        self._max_models = max_models
        self._faults = faults
        self._silent = False
        observe(meter, sc.CALLS, self._observe_calls)
        observe(meter, sc.STREAMS_OPEN, self._observe_open)
        observe(meter, sc.GUARD_ACTIONS, self._observe_actions)
        observe(meter, sc.INTERNAL_ERRORS, self._observe_faults)
        self._cancellations = _counter(meter, sc.CANCELLATIONS)
        self._swallowed = _counter(meter, sc.SWALLOWED)
        self._undelivered = _counter(meter, sc.UNDELIVERED)
        self._undelivered_tokens = _counter(meter, sc.UNDELIVERED_TOKENS)
        self._to_finally = _histogram(meter, sc.TO_FINALLY)
        self._to_upstream_close = _histogram(meter, sc.TO_UPSTREAM_CLOSE)
        self._time_to_cancel = _histogram(meter, sc.TIME_TO_CANCEL)
        self._stuck: Counter[tuple[Key, Reason]] = Counter()
        self._loop_lag = _histogram(meter, sc.LOOP_LAG)
        self.disconnected: Callable[[], Iterable[tuple[Key, float]]] = tuple
        """Returns the streams whose client is gone, each with the seconds since."""
        observe(meter, sc.STREAMS_STUCK, self._observe_stuck)
        observe(meter, sc.OLDEST_AFTER_DISCONNECT, self._observe_oldest)

    def key(self, facts: CallFacts) -> Key:
        """Return a call's provider, model and operation, with the model bounded."""
        model = facts.model
        if model not in self._models:
            with self._lock:
                if len(self._models) < self._max_models:
                    self._models.add(model)
                else:
                    model = sc.OTHER
        return sc.provider_name(facts.provider), model, facts.operation

    def opened(self, key: Key) -> None:
        """Count a stream as open."""
        with self._lock:
            self._open[key] += 1

    def closed(self, key: Key) -> None:
        """Count a stream as ended."""
        with self._lock:
            self._open[key] -= 1

    def count(self, key: Key, outcome: Outcome) -> None:
        """Count a call's end."""
        with self._lock:
            self._calls[key, outcome] += 1

    def swallowed(self, key: Key, seam: str) -> None:
        """Count a cancel that did not come out of the call it was thrown into."""
        self._swallowed.add(1, {**attributes(key), sc.SEAM: seam})

    def guarded(self, key: Key, action: str) -> None:
        """Count an action of the guard's."""
        with self._lock:
            self._actions[key, action] += 1

    def cancelled(self, key: Key, cancellation_type: str, ending: Ending, context: Context) -> None:
        """Measure a cancelled call; the context carries its span, for the exemplars."""
        verdict, times = ending.verdict, ending.times
        base = attributes(key)
        source, phase = str(verdict.source), str(verdict.phase)
        typed = {**base, sc.CANCELLATION_TYPE: cancellation_type, sc.SOURCE: source}
        self._cancellations.add(1, {**typed, sc.PHASE: phase}, context)
        self._time_to_cancel.record(
            time_to_cancel(times), {**base, sc.SOURCE: source, sc.PHASE: phase}, context
        )
        to_finally = since_disconnect(times, times.end)
        if to_finally is not None:
            ended = {sc.SIGNAL: str(verdict.signal), sc.ENDED_BY: str(verdict.ended_by)}
            self._to_finally.record(to_finally, {**typed, **ended}, context)
        to_close = since_disconnect(times, times.upstream_closed)
        if to_close is not None:
            self._to_upstream_close.record(to_close, typed, context)

    def undelivered(self, key: Key, ending: Ending, context: Context) -> None:
        """Count what came after the disconnect, of a call that was cancelled or ran to its end."""
        if ending.undelivered:
            by_outcome = {**attributes(key), sc.OUTCOME: str(ending.verdict.outcome)}
            self._undelivered.add(ending.undelivered, by_outcome, context)
        self.undelivered_tokens(key, ending, ending.facts.output_tokens, context)

    def undelivered_tokens(
        self, key: Key, ending: Ending, output_tokens: int | None, context: Context
    ) -> None:
        """Count the same in tokens, given the whole answer's; None where nobody knows them."""
        if tokens := ending.tokens_undelivered(output_tokens):
            by_outcome = {**attributes(key), sc.OUTCOME: str(ending.verdict.outcome)}
            self._undelivered_tokens.add(tokens, by_outcome, context)

    def upstream_closed(
        self, key: Key, cancellation_type: str, ending: Ending, seconds: float, context: Context
    ) -> None:
        """Measure a provider's response that was closed only after its call had ended."""
        typed = {sc.CANCELLATION_TYPE: cancellation_type, sc.SOURCE: str(ending.verdict.source)}
        self._to_upstream_close.record(seconds, {**attributes(key), **typed}, context)

    def stuck(self, key: Key, reason: Reason, by: int) -> None:
        """Count a stream as stuck (1), or as no longer so (-1)."""
        with self._lock:
            self._stuck[key, reason] += by

    def lag(self, seconds: float) -> None:
        """Measure how late an event loop was."""
        self._loop_lag.record(seconds)

    def forked(self) -> None:
        """Forget what the parent process counted: it reports that itself."""
        self._lock = threading.Lock()  # the parent's may have been held
        self._calls, self._actions = Counter(), Counter()
        self._open, self._stuck = Counter(), Counter()

    def silence(self) -> None:
        """Report nothing more from the instruments that are read rather than written."""
        self._silent = True

    def _observe_calls(self, _: CallbackOptions) -> Iterator[Observation]:
        if self._silent:
            return
        for (key, outcome), count in self._snapshot(self._calls):
            yield Observation(count, {**attributes(key), sc.OUTCOME: str(outcome)})

    def _observe_open(self, _: CallbackOptions) -> Iterator[Observation]:
        if self._silent:
            return
        for key, count in self._snapshot(self._open):
            yield Observation(count, attributes(key))

    def _observe_stuck(self, _: CallbackOptions) -> Iterator[Observation]:
        if self._silent:
            return
        for (key, reason), count in self._snapshot(self._stuck):
            yield Observation(count, {**attributes(key), sc.REASON: str(reason)})

    def _observe_oldest(self, _: CallbackOptions) -> Iterator[Observation]:
        if self._silent:
            return
        oldest = {key: 0.0 for key, _ in self._snapshot(self._open)}
        for key, age in self.disconnected():
            oldest[key] = max(age, oldest.get(key, 0.0))
        for key, age in oldest.items():
            yield Observation(age, attributes(key))

    def _observe_actions(self, _: CallbackOptions) -> Iterator[Observation]:
        if self._silent:
            return
        for (key, action), count in self._snapshot(self._actions):
            yield Observation(count, {**attributes(key), sc.ACTION: str(action)})

    def _observe_faults(self, _: CallbackOptions) -> Iterator[Observation]:
        if self._silent:
            return
        for place, count in list(self._faults.counts.items()) or [("none", 0)]:
            yield Observation(count, {sc.SEAM: place})

    def _snapshot(self, counts: "Counter[K]") -> list[tuple[K, int]]:
        with self._lock:
            return list(counts.items())


def attributes(key: Key) -> dict[str, str]:
    """Return the attributes that every measurement of one call carries."""
    provider, model, operation = key
    return {sc.PROVIDER: provider, sc.REQUEST_MODEL: model, sc.OPERATION: operation}


Callback = Callable[[CallbackOptions], Iterable[Observation]]


def observe(meter: Meter, metric: sc.Metric, callback: Callback) -> None:
    """Create the instrument that asks a callback whenever somebody collects."""
    create = {
        "counter": meter.create_observable_counter,
        "updowncounter": meter.create_observable_up_down_counter,
        "gauge": meter.create_observable_gauge,
    }[metric.kind]
    create(metric.name, [callback], unit=metric.unit, description=metric.description)


def _counter(meter: Meter, metric: sc.Metric) -> CounterInstrument:
    return meter.create_counter(metric.name, unit=metric.unit, description=metric.description)


def _histogram(meter: Meter, metric: sc.Metric) -> Histogram:
    return meter.create_histogram(
        metric.name,
        unit=metric.unit,
        description=metric.description,
        explicit_bucket_boundaries_advisory=sc.LATENCY_BUCKETS,
    )
