"""How late an event loop is, measured from outside of it."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from litellm_cancel_otel._asyncio.loop_lag import BLOCKED, LoopLag
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import FakeProvider, Script
from support.calling import chat
from support.telemetry import Telemetry


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.every_loop
async def test_answer_says_how_late_it_is(clock: Clock) -> None:
    lag = LoopLag(asyncio.get_running_loop(), clock)
    lag.ping()
    clock.now = 0.2
    await asyncio.sleep(0.001)

    assert lag.measured() == [0.2]
    assert lag.measured() == []


async def test_one_that_is_owed_counts_while_the_loop_is_blocked(clock: Clock) -> None:
    lag = LoopLag(asyncio.get_running_loop(), clock)
    lag.ping()
    clock.now = 3.0
    lag.ping()

    assert lag.worst(0.0, clock.now) == 3.0
    await asyncio.sleep(0.001)
    assert lag.measured() == [3.0]


async def test_worst_of_a_time(clock: Clock) -> None:
    lag = LoopLag(asyncio.get_running_loop(), clock)
    for late in (0.5, BLOCKED / 2, 0.1):
        lag.ping()
        clock.now += late
        await asyncio.sleep(0.001)

    assert lag.worst(0.0, clock.now) == 0.5
    assert lag.worst(0.51, clock.now) == pytest.approx(0.1)
    assert lag.worst(clock.now + 1, clock.now + 1) == 0.0


def test_closed_loop_owes_nothing(clock: Clock) -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    lag = LoopLag(loop, clock)

    lag.ping()
    clock.now = 9.0

    assert lag.worst(0.0, clock.now) == 0.0


@pytest.mark.settings(watchdog_interval=0.05)
async def test_blocked_loop_is_in_the_histogram(
    telemetry: Telemetry, provider: FakeProvider
) -> None:
    provider.script = Script(hang_at=2)
    stream = await chat(provider, "openai", stream=True)
    exchange = await provider.next_exchange()
    await anext(stream)
    while not telemetry.points(sc.LOOP_LAG):  # the loop is known, and has answered
        await asyncio.sleep(0.01)

    time.sleep(0.3)

    while max(_sums(telemetry)) < 0.1:
        await asyncio.sleep(0.01)
    exchange.release()
    async for _ in stream:
        pass


def _sums(telemetry: Telemetry) -> list[float]:
    data = telemetry.reader.get_metrics_data()
    assert data is not None
    return [
        getattr(point, "max", 0.0)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == sc.LOOP_LAG.name
        for point in metric.data.data_points
    ]


@pytest.mark.settings(watchdog_interval=0.05)
async def test_nothing_runs_in_the_loop_when_no_stream_is_open(
    telemetry: Telemetry, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.script = Script(hang_at=2)
    stream = await chat(provider, "openai", stream=True)
    exchange = await provider.next_exchange()
    await anext(stream)
    dog = telemetry.tracker.watchdog
    assert dog is not None
    while not dog._loops:
        await asyncio.sleep(0.01)
    exchange.release()
    async for _ in stream:
        pass
    while dog._awake:  # until it sleeps
        await asyncio.sleep(0.01)
    called = threading.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *_: called.set())

    assert not called.wait(0.3)
    assert dog._loops == {}


@pytest.mark.settings(loop_lag=False, watchdog_interval=0.05)
async def test_not_measured_where_it_is_not_wanted(
    telemetry: Telemetry, provider: FakeProvider
) -> None:
    provider.script = Script(hang_at=2)
    stream = await chat(provider, "openai", stream=True)
    exchange = await provider.next_exchange()
    await anext(stream)
    dog = telemetry.tracker.watchdog
    assert dog is not None
    with ThreadPoolExecutor(1) as threads:
        for _ in range(3):
            await asyncio.wrap_future(threads.submit(dog.tick))
            await asyncio.sleep(0)
    exchange.release()
    async for _ in stream:
        pass

    assert telemetry.points(sc.LOOP_LAG) == []
