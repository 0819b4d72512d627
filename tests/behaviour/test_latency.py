"""From which moment a cancel's times count: exact, with a clock that a test moves."""

import asyncio
from typing import Any

import httpx
import litellm
import pytest

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.records import Signal
from litellm_cancel_otel._demo.fakes import FakeProvider, Script
from support.calling import Caller, chat, silent
from support.streams import Answers
from support.telemetry import Telemetry

by_hand = pytest.mark.settings(watchdog=False, guard=False)


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(telemetry: Telemetry) -> Clock:
    clock = Clock()
    telemetry.tracker.clock = telemetry.tracker.recorder.clock = clock
    return clock


def seconds(telemetry: Telemetry, metric: sc.Metric) -> float:
    """Return the one value that a histogram has taken."""
    data = telemetry.reader.get_metrics_data()
    assert data is not None
    ((point),) = [
        point
        for scope in data.resource_metrics[0].scope_metrics
        for found in scope.metrics
        if found.name == metric.name
        for point in found.data.data_points
    ]
    assert isinstance(point.count, int)  # type: ignore[union-attr]
    assert point.count == 1  # type: ignore[union-attr]
    return float(point.sum)  # type: ignore[union-attr]


class Waits(httpx.AsyncBaseTransport):
    """Answers nobody. The first cancel it takes back, where asked to; its clean-up takes 2 s."""

    def __init__(self, clock: Clock, *, takes_back: bool = False) -> None:
        self._clock = clock
        self._takes_back = takes_back
        self.begun, self.again = asyncio.Event(), asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.begun.set()
        if self._takes_back:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                assert task is not None
                task.uncancel()
            self.again.set()
        try:
            await asyncio.Event().wait()
        finally:
            self._clock.now += 2
        raise AssertionError


@by_hand
async def test_disconnect_comes_before_the_cancel(
    telemetry: Telemetry,
    clock: Clock,
    provider: FakeProvider,
) -> None:
    provider.script = Script(hang_at=2)
    caller = Caller(chat(provider, "openai", stream=True))
    exchange = await silent(provider)
    await caller.has(2)
    (call,) = telemetry.tracker.streams
    clock.now = 110.0
    call.disconnected(Signal.ASGI_RECEIVE, 108.0)
    clock.now = 113.0
    caller.task.cancel()
    await caller.ended()
    await exchange.wait_closed()
    await telemetry.settled()

    assert seconds(telemetry, sc.TO_FINALLY) == 5.0
    assert seconds(telemetry, sc.TIME_TO_CANCEL) == 8.0
    (span,) = telemetry.spans
    assert (span.attributes or {})[sc.DISCONNECT_TO_FINALLY] == 5.0


@by_hand
@pytest.mark.parametrize("taken_back", [False, True])
async def test_cancel_that_was_taken_back_is_no_beginning(
    telemetry: Telemetry,
    clock: Clock,
    provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    taken_back: bool,
) -> None:
    transport = Waits(clock, takes_back=taken_back)
    client = httpx.AsyncClient(transport=transport)
    monkeypatch.setattr(litellm, "aclient_session", client)
    try:
        caller = Caller(chat(provider, "openai"))
        await transport.begun.wait()
        if taken_back:
            clock.now = 110.0
            caller.task.cancel()
            await transport.again.wait()
        clock.now = 120.0
        caller.task.cancel()
        ended: Any = await caller.ended()
    finally:
        await client.aclose()
    await telemetry.settled()

    assert isinstance(ended, asyncio.CancelledError)
    assert seconds(telemetry, sc.TO_FINALLY) == 2.0
    assert seconds(telemetry, sc.TIME_TO_CANCEL) == 20.0
    (span,) = telemetry.spans
    (delivered,) = [one for one in span.events if one.name == sc.EVENT_CANCEL_DELIVERED]
    assert span.end_time is not None
    assert span.end_time - delivered.timestamp == 2_000_000_000


@by_hand
async def test_call_that_a_taken_back_cancel_left_alone_has_no_times(
    telemetry: Telemetry, clock: Clock, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends in an error of its own; no time of a cancel is told."""

    class Fails(Waits):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                assert task is not None
                task.uncancel()
            return httpx.Response(400, json={"error": {"message": "no"}}, request=request)

    transport = Fails(clock)
    client = httpx.AsyncClient(transport=transport)
    monkeypatch.setattr(litellm, "aclient_session", client)
    try:
        caller = Caller(chat(provider, "openai"))
        await transport.begun.wait()
        caller.task.cancel()
        assert isinstance(await caller.ended(), litellm.BadRequestError)
    finally:
        await client.aclose()

    assert telemetry.outcomes() == {"error": 1}
    assert telemetry.points(sc.TIME_TO_CANCEL) == telemetry.points(sc.TO_FINALLY) == []


@by_hand
async def test_cancel_that_the_stream_answered_is_no_beginning_of_its_close(
    telemetry: Telemetry, clock: Clock, provider: FakeProvider
) -> None:
    async def reads() -> None:
        stream = await chat(provider, "openai", stream=True)
        stream.completion_stream = answers = Answers(stream.completion_stream)
        asked.append(answers)
        begun.set()
        await anext(stream)
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
        clock.now = 120.0
        await stream.aclose()

    asked: list[Answers] = []
    begun = asyncio.Event()
    caller = Caller(reads(), text=False)
    await begun.wait()
    await asked[0].waits.wait()
    clock.now = 110.0
    caller.task.cancel()
    assert await caller.ended() is None
    await provider.wait_idle()
    await telemetry.settled()

    assert seconds(telemetry, sc.TO_FINALLY) == 0.0
    assert seconds(telemetry, sc.TIME_TO_CANCEL) == 20.0


@by_hand
@pytest.mark.parametrize("gone_at", [(101.0, 103.0, 102.0), (103.0, 102.0, 101.0)])
async def test_oldest_gauge_is_of_the_oldest(
    telemetry: Telemetry,
    clock: Clock,
    provider: FakeProvider,
    gone_at: tuple[float, ...],
) -> None:
    callers = []
    for moment in gone_at:
        provider.script = Script(hang_at=1)
        callers.append(Caller(chat(provider, "openai", stream=True)))
        await silent(provider)
        await callers[-1].has(1)
        *_, call = telemetry.tracker.streams
        call.disconnected(Signal.ASGI_RECEIVE, moment)
    clock.now = 110.0

    ((_, age),) = telemetry.points(sc.OLDEST_AFTER_DISCONNECT)
    assert age == 9.0
    for caller in callers:
        caller.task.cancel()
        await caller.ended()
    await provider.wait_idle()
    await telemetry.settled()
