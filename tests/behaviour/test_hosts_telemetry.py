"""Faults of what the application gave us: its span processors, meters, log handlers and loops."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeter, NoOpMeterProvider
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import NonRecordingSpan, NoOpTracerProvider, set_span_in_context

from litellm_cancel_otel import CancelTelemetry, Settings
from litellm_cancel_otel._asyncio.loop_lag import LoopLag
from litellm_cancel_otel._calls.call import Call
from litellm_cancel_otel._calls.upstream import Upstream
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.faults import Faults
from litellm_cancel_otel._contract.records import Exit, Reason, Stuck
from litellm_cancel_otel._demo.fakes import FakeProvider, Script
from litellm_cancel_otel._telemetry.instruments import Instruments
from litellm_cancel_otel._telemetry.recorder import Recorder
from litellm_cancel_otel._telemetry.spans import Spans
from litellm_cancel_otel._tracking.stuck_log import AT_MOST, WINDOW, StuckLog
from support.calling import Caller, chat, silent
from support.recording import ENDING, FACTS, TIMES, Recording
from support.telemetry import Telemetry, external
from support.ticking import Ticking, by_hand, opened


class Planted(Exception):
    """A fault of the application's."""


def fails(*_: Any, **__: Any) -> Any:
    raise Planted


class Processor(SpanProcessor):
    """Raises at one point of a span's life."""

    def __init__(self, at: str) -> None:
        self._at = at

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        if self._at == "start":
            raise Planted

    def on_end(self, span: ReadableSpan) -> None:
        if self._at == "end":
            raise Planted


def recorder(at: str) -> tuple[Recorder, Faults]:
    """Return a recorder whose spans go to a processor that raises."""
    faults = Faults()
    tracers = TracerProvider()
    tracers.add_span_processor(Processor(at))
    instruments = Instruments(NoOpMeterProvider(), "1", faults, max_models=2)
    return Recorder(Spans(tracers, "1", faults), instruments, "cancelled", lambda: 20.0), faults


OPEN = ENDING._replace(times=TIMES._replace(upstream_closed=None), upstream_open=True)


class TestSpans:
    @pytest.mark.parametrize("at", ["start", "end"])
    def test_processor_does_not_reach_who_closes_the_response(self, at: str) -> None:
        recording, faults = recorder(at)
        late = recording.record(OPEN, None)
        assert late is not None
        upstream = Upstream("host", 443)
        upstream.on_closed = late.closed

        upstream.closed(15.0)

        assert faults.counts == {"span": 1}

    @pytest.mark.parametrize("end", ["give_up", "flush", "close"])
    def test_processor_does_not_reach_who_gives_up_the_wait(self, end: str) -> None:
        recording, faults = recorder("end")
        late = recording.record(OPEN, None)
        assert late is not None

        {"give_up": late.give_up, "flush": recording.flush, "close": recording.close}[end]()

        assert faults.counts == {"span": 1}
        late.closed(15.0)
        assert faults.counts == {"span": 1}

    @pytest.mark.parametrize(
        "method", ["add_event", "set_attribute", "set_status", "end", "get_span_context"]
    )
    def test_whatever_of_a_span_raises_the_rest_is_measured(
        self, method: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recording = Recording()
        span_of = recording.recorder._spans._tracer.start_span

        def broken(*args: Any, **kwargs: Any) -> Any:
            span = span_of(*args, **kwargs)
            monkeypatch.setattr(span, method, fails)
            return span

        monkeypatch.setattr(recording.recorder._spans._tracer, "start_span", broken)
        internal = ENDING.verdict._replace(external=False)
        stuck = Stuck(Reason.NO_CHUNK, since=0.0, found=61.0)

        recording.recorder.stuck(FACTS, TIMES, 3, stuck, Context())
        recording.recorder.record(ENDING._replace(verdict=internal), None)

        assert recording.points(sc.CALLS)
        if method != "get_span_context":  # without it there is no exemplar, and no measurement
            for metric in (sc.CANCELLATIONS, sc.TO_FINALLY, sc.TO_UPSTREAM_CLOSE):
                assert len(recording.points(metric)) == 1
        assert recording.faults.counts

    def test_parent_that_raises(self) -> None:
        class Broken(NonRecordingSpan):
            get_span_context = fails

        recording = Recording("none")
        stuck = Stuck(Reason.NO_CHUNK, since=0.0, found=61.0)
        seen = Recording().recorder.stuck(FACTS, TIMES, 3, stuck, Context())
        assert seen is not None
        parent = set_span_in_context(Broken(seen), Context())

        recording.recorder.record(ENDING, parent, seen)

        assert recording.points(sc.CALLS)

    async def test_processor_does_not_reach_a_callers_aclose(self, provider: FakeProvider) -> None:
        """The response of an answer that nobody reads is closed by the stream's own aclose."""
        with Telemetry(guard=False) as telemetry:
            telemetry.tracer_provider.add_span_processor(Processor("end"))
            provider.script = Script(hang_at=1)
            stream: Any = await chat(provider, "openai", stream=True)
            async for _ in stream:
                break
            await stream.aclose()
            await telemetry.settled()

            assert telemetry.outcomes() == {"cancelled": 1}
            assert dict(telemetry.tracker.faults.counts) == {"span": 1}


class Meter(NoOpMeter):
    """Makes nothing."""

    create_counter = create_histogram = fails
    create_observable_counter = create_observable_gauge = fails
    create_observable_up_down_counter = fails


class Meters(NoOpMeterProvider):
    """Makes a meter that makes nothing."""

    def get_meter(self, *_: Any, **__: Any) -> Any:
        return Meter("name")


class NoMeters(NoOpMeterProvider):
    get_meter = fails


class NoTracers(NoOpTracerProvider):
    get_tracer = fails


class TestMeters:
    @pytest.mark.parametrize("meters", [Meters, NoMeters])
    async def test_that_make_nothing(self, provider: FakeProvider, meters: Any) -> None:
        with CancelTelemetry(
            tracer_provider=NoTracers(), meter_provider=meters(), settings=Settings()
        ) as telemetry:
            counts = telemetry._tracker.faults.counts
            assert counts["span"] == 1
            assert counts["meter"] == (len(sc.METRICS) if meters is Meters else 1)
            provider.script = Script(hang_at="before_headers")
            caller = Caller(chat(provider, "openai"))
            await silent(provider)
            caller.task.cancel()

            assert isinstance(await caller.ended(), asyncio.CancelledError)
            assert caller.around.passed_on

    def test_one_that_raises_keeps_none_of_the_others_from_measuring(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recording = Recording()
        monkeypatch.setattr(recording.instruments._cancellations, "add", fails)
        monkeypatch.setattr(recording.instruments._time_to_cancel, "record", fails)

        recording.recorder.record(ENDING, None)

        assert len(recording.spans) == 1
        assert len(recording.points(sc.TO_FINALLY)) == 1
        assert len(recording.points(sc.TO_UPSTREAM_CLOSE)) == 1
        assert recording.faults.counts == {"meter": 2}

    def test_what_cannot_be_read_is_counted_and_the_rest_is_read(self) -> None:
        recording = Recording()
        recording.recorder.record(ENDING, None)
        recording.instruments.disconnected = fails

        assert recording.points(sc.OLDEST_AFTER_DISCONNECT) == []
        assert len(recording.points(sc.CALLS)) == 1
        (point,) = recording.points(sc.INTERNAL_ERRORS)
        assert point.attributes[sc.SEAM] == "meter.read"

    @pytest.mark.settings(watchdog_interval=0.05)
    async def test_watchdog_lives_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Telemetry(watchdog_interval=0.05) as telemetry:
            dog, faults = telemetry.tracker.watchdog, telemetry.tracker.faults
            assert dog is not None
            monkeypatch.setattr(telemetry.tracker.recorder.instruments._loop_lag, "record", fails)
            call = opened(telemetry)
            async with asyncio.timeout(10):
                while faults.counts["meter"] < 3:
                    await asyncio.sleep(0.01)
            call.end(Exit.RETURNED)

            assert dog._thread is not None
            assert dog._thread.is_alive()
            assert dict(faults.counts).keys() == {"meter"}


class Handler(logging.Handler):
    """Raises, which the application's own handlers should not do."""

    def emit(self, record: logging.LogRecord) -> None:
        raise Planted


@pytest.fixture
def broken_log() -> Iterator[None]:
    """The application's log cannot be written to."""
    log, handler = logging.getLogger("litellm_cancel_otel"), Handler()
    log.addHandler(handler)
    yield
    log.removeHandler(handler)


@pytest.mark.usefixtures("broken_log")
class TestLogHandlers:
    def test_nothing_that_is_said_raises(self) -> None:
        faults = Faults()
        log, stuck = StuckLog(faults), Stuck(Reason.NO_CHUNK, since=0.0, found=61.0)
        for _ in range(AT_MOST + 1):
            log.found(FACTS, stuck, 3)
        log.cleared(FACTS, stuck, 70.0, ended=True)
        log.tick(WINDOW)
        log.tick(3 * WINDOW)

        assert faults.counts == {"log": AT_MOST + 2}

    @by_hand
    async def test_stream_is_found_and_cleared_all_the_same(self) -> None:
        with Telemetry(watchdog_interval=60, guard=False) as telemetry:
            ticking = Ticking(telemetry)
            call = opened(telemetry)
            ticking.tick()
            ticking.tick(401)
            ticking.tick(201)
            assert ticking.stuck() == {"no_chunk": 1}
            call.end(Exit.RETURNED)
            ticking.tick()

            assert ticking.stuck() == {"no_chunk": 0}
            assert not ticking.dog._stuck
            assert dict(telemetry.tracker.faults.counts) == {"log": 2}


class Refuses:
    """A loop that takes no callback."""

    call_soon_threadsafe = fails


class TestLoops:
    @by_hand
    async def test_loop_that_refuses_is_a_fault_and_the_others_are_asked(
        self, telemetry: Telemetry
    ) -> None:
        ticking = Ticking(telemetry)
        call: Call = opened(telemetry)
        ticking.tick()
        refusing = LoopLag(Refuses(), lambda: 0.0)  # type: ignore[arg-type]
        refusing.streams = 1
        ticking.dog._loops = {Refuses(): refusing, **ticking.dog._loops}  # type: ignore[dict-item]
        ticking.tick()
        ticking.tick()

        faults = telemetry.tracker.faults
        assert faults.counts == {"watchdog.ping": 2}
        assert refusing.worst(0.0, 100.0) == 0.0
        faults.counts.clear()
        call.end(Exit.RETURNED)


async def test_nothing_of_it_is_noticed_in_a_cancel(provider: FakeProvider) -> None:
    """All at once; what telemetry is left is still right."""
    with Telemetry() as telemetry:
        telemetry.tracer_provider.add_span_processor(Processor("start"))
        provider.script = Script(hang_at="before_headers")
        caller = Caller(chat(provider, "openai"))
        exchange = await silent(provider)
        caller.task.cancel()

        assert isinstance(await caller.ended(), asyncio.CancelledError)
        await exchange.wait_closed()
        await telemetry.settled()
        ((counted, times),) = telemetry.points(sc.CANCELLATIONS)
        assert (counted[sc.CANCELLATION_TYPE], times) == (external().type, 1)
        assert telemetry.spans == []
