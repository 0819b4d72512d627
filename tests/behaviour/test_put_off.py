"""A cancel is recorded outside of its loop: what is seen of it, and from where, stays the same."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from litellm_cancel_otel import CancelTelemetry, Settings
from litellm_cancel_otel._calls.call import Call
from litellm_cancel_otel._calls.description import Known
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.records import CallFacts, Exit, Signal
from support.bytecodes import Bytecodes
from support.telemetry import Telemetry
from support.ticking import FACTS, by_hand, opened

BUDGET = 1_400
"""Bytecodes of ours in the loop for one cancel; its span and measurements take some 6,000 more."""

USER: ContextVar[str] = ContextVar("USER", default="nobody")


def cancel(call: Call) -> None:
    """End a call as a cancel does that comes out of it."""
    call.end(Exit.CANCELLED, asyncio.CancelledError())


@contextmanager
def nobody_settles(telemetry: Telemetry) -> Iterator[None]:
    """Keep every note from being settled meanwhile."""
    with telemetry.tracker.notes._settling:
        yield


class Looks(SpanProcessor):
    """Writes down what it sees from where it is called."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, object]] = []
        self.threads: set[int] = set()

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        self._look("start", baggage.get_baggage("tenant", parent_context))

    def on_end(self, span: Any) -> None:
        self._look("end", baggage.get_baggage("tenant"))

    def _look(self, at: str, tenant: object) -> None:
        self.threads.add(threading.get_ident())
        self.seen.append((at, USER.get(), tenant))


@by_hand
async def test_processor_sees_the_callers_context_from_another_thread(telemetry: Telemetry) -> None:
    looks = Looks()
    telemetry.tracer_provider.add_span_processor(looks)
    token = otel_context.attach(baggage.set_baggage("tenant", "a"))
    USER.set("somebody")
    call = opened(telemetry)
    otel_context.detach(token)

    cancel(call)
    await telemetry.span()
    async with asyncio.timeout(5):
        while len(looks.seen) < 2:
            await asyncio.sleep(0)

    assert looks.seen == [("start", "somebody", "a"), ("end", "somebody", "a")]


@by_hand
async def test_loop_makes_no_span(telemetry: Telemetry) -> None:
    looks = Looks()
    telemetry.tracer_provider.add_span_processor(looks)
    telemetry._exporter.loop = asyncio.get_running_loop()
    cancel(opened(telemetry))
    await telemetry._exporter.board.until(lambda: bool(telemetry._exporter.spans), "a span", 5)

    assert threading.get_ident() not in looks.threads


@by_hand
@pytest.mark.parametrize("others", [0, 1_000])
async def test_loop_has_little_to_do(telemetry: Telemetry, others: int) -> None:
    open_still = [opened(telemetry) for _ in range(others)]
    with Bytecodes():  # the first one starts the thread; and Python 3.12 counts nothing there
        cancel(opened(telemetry))
    call, error = opened(telemetry), asyncio.CancelledError()
    with Bytecodes() as counted:
        call.end(Exit.CANCELLED, error)

    assert 0 < counted.count <= BUDGET
    for one in open_still:
        one.end(Exit.RETURNED)


@by_hand
async def test_order_is_kept(telemetry: Telemetry) -> None:
    with nobody_settles(telemetry):
        for number in range(200):
            call = telemetry.tracker.begin(Known(replace(FACTS, call_id=str(number))))
            call.opens()
            cancel(call)

    ids = [(span.attributes or {})[sc.CALL_ID] for span in telemetry.spans]
    assert ids == [str(number) for number in range(200)]


@by_hand
async def test_times_are_those_of_the_end(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wall clock may be set before the span is made."""
    call = opened(telemetry)
    with nobody_settles(telemetry):
        before = time.time_ns()
        cancel(call)
        after = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda: before + 3_600_000_000_000)

    (span,) = telemetry.spans
    assert span.end_time is not None
    assert before <= span.end_time <= after


@by_hand
async def test_late_close_and_tokens_that_come_before_their_call_is_recorded(
    telemetry: Telemetry,
) -> None:
    facts = CallFacts("chat", "openai", "gpt-4o-mini", stream=True, call_id="wasted")
    call = telemetry.tracker.begin(Known(facts))
    call.opens()
    call.progress.chunks = 1
    call.disconnected(Signal.ASGI_RECEIVE, call.clock())
    call.progress.chunks = 2
    with nobody_settles(telemetry):
        call.end(Exit.RETURNED)
        telemetry.tracker.used("wasted", 10)

    ((_, tokens),) = telemetry.points(sc.UNDELIVERED_TOKENS)
    assert tokens == 5


@by_hand
async def test_processor_that_flushes_its_provider_does_not_wait_for_itself(
    telemetry: Telemetry,
) -> None:
    class Flushes(SpanProcessor):
        def on_end(self, span: Any) -> None:
            telemetry.tracer_provider.force_flush()

    telemetry.tracer_provider.add_span_processor(Flushes())
    with nobody_settles(telemetry):
        for _ in range(3):
            cancel(opened(telemetry))

    began = time.monotonic()
    assert len(telemetry.spans) == 3
    assert time.monotonic() - began < 2  # the patience for one that hangs


class Applications:
    """The providers of an application, and what they exported."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider()

    def telemetry(self) -> CancelTelemetry:
        return CancelTelemetry(
            tracer_provider=self.tracers, meter_provider=self.meters, settings=Settings()
        )


WAYS: dict[str, Callable[[Applications, CancelTelemetry], object]] = {
    "flushes its tracers": lambda own, _: own.tracers.force_flush(),
    "stops its tracers": lambda own, _: own.tracers.shutdown(),
    "flushes its meters": lambda own, _: own.meters.force_flush(),
    "stops its meters": lambda own, _: own.meters.shutdown(),
    "flushes ours": lambda _, telemetry: telemetry.flush(),
    "closes ours": lambda _, telemetry: telemetry.close(),
    "ends": lambda _, telemetry: telemetry._tracker.process_ends(),
}


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_is_lost_where_the_application(way: str) -> None:
    own = Applications()
    with own.telemetry() as telemetry:
        with telemetry._tracker.notes._settling:
            for _ in range(20):
                call = telemetry._tracker.begin(Known(FACTS))
                call.opens()
                cancel(call)
        WAYS[way](own, telemetry)

        assert len(own.exporter.get_finished_spans()) == 20


async def test_what_ends_after_the_exit_has_begun_is_recorded_at_once() -> None:
    own = Applications()
    with own.telemetry() as telemetry:
        telemetry._tracker.process_ends()
        call = telemetry._tracker.begin(Known(FACTS))
        call.opens()
        cancel(call)
        assert len(own.exporter.get_finished_spans()) == 1


async def test_cancel_of_a_server_that_stops_is_recorded_at_once(telemetry: Telemetry) -> None:
    """A signal may end the process a moment later, which runs no exit."""
    call = opened(telemetry)
    call.server_stops()
    error = asyncio.CancelledError()
    call.thrown(error)
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    call.thrown(error)
    call.end(Exit.CANCELLED, error)
    task.uncancel()
    with suppress(asyncio.CancelledError):  # from Python 3.13 on it is taken back whole
        await asyncio.sleep(0)

    assert len(telemetry._exporter.spans) == 1


def test_close_gives_the_applications_providers_back() -> None:
    own = Applications()
    before = dict(vars(own.tracers)), dict(vars(own.meters))
    with own.telemetry(), own.telemetry():
        assert "shutdown" in vars(own.tracers)

    assert (dict(vars(own.tracers)), dict(vars(own.meters))) == before


def test_provider_that_takes_no_attributes_is_left_alone() -> None:
    class Frozen(TracerProvider):
        def __setattr__(self, name: str, value: object) -> None:
            if name in ("shutdown", "force_flush"):
                raise AttributeError(name)
            super().__setattr__(name, value)

    tracers = Frozen()
    with CancelTelemetry(tracer_provider=tracers, meter_provider=MeterProvider()) as telemetry:
        assert dict(telemetry._tracker.faults.counts) == {"provider": 2}
