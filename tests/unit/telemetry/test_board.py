"""Several telemetries on one MeterProvider, at once and one after the other: nothing is lost."""

import gc
import weakref
from typing import Any

import litellm
import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import MeterProvider as APIMeterProvider
from opentelemetry.metrics._internal import _ProxyMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import NoOpTracerProvider
from prometheus_client import REGISTRY, generate_latest

from litellm_cancel_otel import CancelTelemetry, Settings
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.faults import Faults
from litellm_cancel_otel._contract.records import CallFacts, Outcome, Reason
from litellm_cancel_otel._demo.fakes import FakeProvider
from litellm_cancel_otel._telemetry.board import _BOARDS
from litellm_cancel_otel._telemetry.instruments import Instruments
from support.calling import chat

sdk: Any = litellm

KEY = ("openai", "gpt-4o", "chat")
OTHER = ("openai", "o3", "chat")


class Meters:
    """A MeterProvider and what it has to say."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])

    def total(self, metric: sc.Metric) -> int | float | None:
        """Return the sum of an instrument's points; None where it has none."""
        values = [point.value for point in self._points(metric)]
        return sum(values) if values else None

    def most(self, metric: sc.Metric) -> float:
        """Return the greatest of a gauge's points."""
        return max(point.value for point in self._points(metric))

    def seams(self) -> set[str]:
        """Return the seams that something is said of."""
        return {point.attributes[sc.SEAM] for point in self._points(sc.INTERNAL_ERRORS)}

    def _points(self, metric: sc.Metric) -> list[Any]:
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for found in scope.metrics
            if found.name == metric.name
            for point in found.data.data_points
        ]


@pytest.fixture
def meters() -> Meters:
    return Meters()


def instruments(provider: APIMeterProvider, *, max_models: int = 100) -> Instruments:
    return Instruments(provider, "1", Faults(), max_models=max_models)


def test_two_at_once_are_added_up(meters: Meters) -> None:
    one, two = instruments(meters.provider), instruments(meters.provider)
    one.count(KEY, Outcome.COMPLETED)
    two.count(KEY, Outcome.COMPLETED)
    two.count(OTHER, Outcome.ERROR)
    one.guarded(KEY, "checkpoint")
    two.guarded(KEY, "checkpoint")
    one.opened(KEY)
    two.opened(KEY)
    one.stuck(KEY, Reason.NO_CHUNK, 1)
    two.stuck(KEY, Reason.NO_CHUNK, 1)
    one.disconnected = lambda: [(KEY, 3.0)]
    two.disconnected = lambda: [(KEY, 2.0)]
    one.faults.note("here", ValueError())
    two.faults.note("here", ValueError())

    assert meters.total(sc.CALLS) == 3
    assert meters.total(sc.GUARD_ACTIONS) == 2
    assert meters.total(sc.STREAMS_OPEN) == 2
    assert meters.total(sc.STREAMS_STUCK) == 2
    assert meters.most(sc.OLDEST_AFTER_DISCONNECT) == 3.0
    assert meters.total(sc.INTERNAL_ERRORS) == 2


def test_it_is_said_that_somebody_reports_and_that_the_last_one_has_stopped(
    meters: Meters,
) -> None:
    one, two = instruments(meters.provider), instruments(meters.provider)
    assert meters.seams() == {sc.NO_FAULT}
    one.close()
    assert meters.seams() == {sc.NO_FAULT}
    two.close()
    assert meters.seams() == {sc.STOPPED}
    instruments(meters.provider)
    assert meters.seams() == {sc.NO_FAULT}


def test_a_process_that_is_about_to_end_says_so_until_another_call_ends(meters: Meters) -> None:
    one = instruments(meters.provider)
    one.count(KEY, Outcome.COMPLETED)
    one.stop()
    assert meters.seams() == {sc.NO_FAULT, sc.STOPPED}
    one.count(KEY, Outcome.COMPLETED)
    assert meters.seams() == {sc.NO_FAULT}


def test_what_a_closed_one_counted_stays_and_what_it_had_open_goes(meters: Meters) -> None:
    first = instruments(meters.provider)
    first.count(KEY, Outcome.COMPLETED)
    first.guarded(KEY, "checkpoint")
    first.opened(KEY)
    first.stuck(KEY, Reason.NO_CHUNK, 1)
    first.faults.note("here", ValueError())
    first.close()

    assert meters.total(sc.CALLS) == 1
    assert meters.total(sc.GUARD_ACTIONS) == 1
    assert meters.total(sc.INTERNAL_ERRORS) == 1
    assert meters.total(sc.STREAMS_OPEN) is None
    assert meters.total(sc.STREAMS_STUCK) is None

    second = instruments(meters.provider)
    second.count(KEY, Outcome.COMPLETED)
    second.opened(KEY)
    second.faults.note("here", ValueError())

    assert meters.total(sc.CALLS) == 2
    assert meters.total(sc.INTERNAL_ERRORS) == 2
    assert meters.total(sc.STREAMS_OPEN) == 1


def test_call_that_ends_after_the_close_is_counted(meters: Meters) -> None:
    closed = instruments(meters.provider)
    closed.close()
    closed.count(KEY, Outcome.COMPLETED)

    assert meters.total(sc.CALLS) == 1


def test_closing_twice_counts_the_faults_once(meters: Meters) -> None:
    closed = instruments(meters.provider)
    closed.faults.note("here", ValueError())
    closed.close()
    closed.close()

    assert meters.total(sc.INTERNAL_ERRORS) == 1


def test_models_of_one_that_closed_keep_their_places(meters: Meters) -> None:
    """A process that opens one after the other has no more values than the limit all the same."""
    for model in ("one", "two", "three"):
        opened = instruments(meters.provider, max_models=2)
        _, told, _ = opened.key(CallFacts("chat", "openai", model, stream=False))
        assert told == (model if model != "three" else sc.OTHER)
        opened.close()


def test_provider_that_is_set_later_hears_both() -> None:
    meters, placeholder = Meters(), _ProxyMeterProvider()
    before = instruments(placeholder)
    before.count(KEY, Outcome.COMPLETED)
    placeholder.on_set_meter_provider(meters.provider)
    after = instruments(meters.provider)
    after.count(KEY, Outcome.COMPLETED)
    assert meters.total(sc.CALLS) == 2

    after.close()
    del after
    gc.collect()
    assert meters.total(sc.CALLS) == 2


def test_provider_that_was_in_use_and_is_then_set_hears_both() -> None:
    meters, placeholder = Meters(), _ProxyMeterProvider()
    before = instruments(placeholder)
    passed = instruments(meters.provider)
    before.count(KEY, Outcome.COMPLETED)
    passed.count(KEY, Outcome.COMPLETED)
    before.opened(KEY)
    placeholder.on_set_meter_provider(meters.provider)

    assert meters.total(sc.CALLS) == 2
    assert meters.total(sc.STREAMS_OPEN) == 1


def test_two_providers_keep_apart() -> None:
    one, two = Meters(), Meters()
    instruments(one.provider).count(KEY, Outcome.COMPLETED)
    instruments(two.provider)

    assert (one.total(sc.CALLS), two.total(sc.CALLS)) == (1, None)


def test_provider_is_let_go_with_its_board() -> None:
    meters = Meters()
    instruments(meters.provider).count(KEY, Outcome.COMPLETED)
    gone = weakref.ref(meters.provider)
    meters.provider.shutdown()
    known = len(_BOARDS)
    del meters
    gc.collect()

    assert gone() is None
    assert len(_BOARDS) < known


class Unhashable(MeterProvider):
    """As one is that a dataclass makes."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True


def test_provider_that_cannot_be_hashed() -> None:
    reader = InMemoryMetricReader()
    provider = Unhashable([reader])
    meters = Meters()
    meters.reader, meters.provider = reader, provider
    for _ in range(2):
        one = instruments(provider)
        one.count(KEY, Outcome.COMPLETED)
        one.close()

    assert meters.total(sc.CALLS) == 2


def test_prometheus_reads_the_same() -> None:
    reader = PrometheusMetricReader()
    provider = MeterProvider([reader])
    try:
        first, second = instruments(provider), instruments(provider)
        first.count(KEY, Outcome.COMPLETED)
        first.opened(KEY)
        first.close()
        second.count(KEY, Outcome.COMPLETED)
        second.opened(KEY)
        third = instruments(provider)
        third.count(KEY, Outcome.COMPLETED)
        said = generate_latest(REGISTRY).decode().splitlines()
    finally:
        provider.shutdown()

    (calls,) = [line for line in said if line.startswith("litellm_cancel_calls_total{")]
    (opened,) = [line for line in said if line.startswith("litellm_cancel_streams_open{")]
    assert calls.endswith(" 3.0")
    assert opened.endswith(" 1.0")


@pytest.mark.parametrize(
    "where",
    ["passed", "placeholder", "set later"],
)
@pytest.mark.long
def test_two_hundred_opened_and_closed_are_all_let_go(where: str) -> None:
    meters, placeholder = Meters(), _ProxyMeterProvider()
    provider = meters.provider if where == "passed" else placeholder
    closed = []
    for number in range(200):
        if number == 100 and where == "set later":
            placeholder.on_set_meter_provider(meters.provider)
        telemetry = CancelTelemetry(
            tracer_provider=NoOpTracerProvider(), meter_provider=provider, settings=Settings()
        )
        telemetry._recorder.instruments.count(KEY, Outcome.COMPLETED)
        telemetry.close()
        closed.append(weakref.ref(telemetry._recorder.instruments))
        closed.append(weakref.ref(telemetry))
        del telemetry
    gc.collect()

    assert [ref for ref in closed if ref() is not None] == []
    assert meters.total(sc.CALLS) == (None if where == "placeholder" else 200)


@pytest.mark.long
def test_without_any_provider_they_are_all_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an application has it that has set nothing: OpenTelemetry's own placeholder."""
    for signal in ("TRACES", "METRICS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "none")
    closed = []
    for _ in range(200):
        with CancelTelemetry(settings=Settings()) as telemetry:
            closed.append(weakref.ref(telemetry))
        del telemetry
    gc.collect()

    assert [ref for ref in closed if ref() is not None] == []


async def test_litellm_keeps_no_closed_callback(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = CancelTelemetry(
        tracer_provider=NoOpTracerProvider(), meter_provider=Meters().provider, settings=Settings()
    )
    monkeypatch.setattr(sdk.utils, "callback_list", [])  # it fills that once
    monkeypatch.setattr(litellm, "callbacks", [telemetry])
    await chat(provider, "openai")
    kept = sdk.utils.callback_list
    assert telemetry in kept
    telemetry.close()

    assert telemetry not in litellm.callbacks
    assert telemetry not in kept


async def test_second_one_on_a_provider_counts_its_calls(provider: FakeProvider) -> None:
    meters = Meters()
    for _ in range(2):
        with CancelTelemetry(
            tracer_provider=NoOpTracerProvider(),
            meter_provider=meters.provider,
            settings=Settings(),
        ):
            await chat(provider, "openai")

    assert meters.total(sc.CALLS) == 2
