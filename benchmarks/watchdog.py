"""What one tick of the watchdog costs with 10,000 streams open: ``python benchmarks/watchdog.py``.

The streams are records without a provider behind them, on a clock of the benchmark's own; every
one gets a chunk a second and is read at once. CPU time is that of the thread that ticks, as
``time.thread_time`` has it, so that the machine's load does not count. Beside it stands the bare
loop: a thread that only wakes up, and one that looks at every open stream at each tick.
"""

import argparse
import asyncio
import os
import statistics
import time
import tracemalloc
import weakref
from collections.abc import Callable

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from litellm_cancel_otel import CancelTelemetry, Settings
from litellm_cancel_otel._calls.call import Call
from litellm_cancel_otel._calls.description import Known
from litellm_cancel_otel._contract.records import CallFacts, Exit
from litellm_cancel_otel._seams.chunk_step import STEP, FirstStep
from litellm_cancel_otel._tracking.overdue import look
from litellm_cancel_otel._tracking.tracker import Tracker
from litellm_cancel_otel._tracking.watched_stream import seen

SILENT = 100
"""Streams that get no chunk any more."""

FACTS = CallFacts("chat", "openai", "gpt-4o-mini", stream=True)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Owner:
    """Stands in for the stream that the caller holds."""


def opened(tracker: Tracker, clock: Clock) -> tuple[Call, Owner]:
    """Open a stream that somebody waits for."""
    call = tracker.begin(Known(FACTS))
    call.clock = clock
    call.start = clock()
    owner = Owner()
    step = FirstStep(call, weakref.ref(owner))
    step.coro = object()
    call.progress.source = step
    setattr(owner, STEP, step)
    call.opens()
    return call, owner


def cpu(work: Callable[[], object]) -> float:
    """Return the milliseconds of this thread's CPU that something takes."""
    before = time.thread_time()
    work()
    return (time.thread_time() - before) * 1_000


def naive(tracker: Tracker, now: float) -> None:
    """Look at every open stream."""
    for call, stream in tracker.streams.items():
        assert stream.patience is not None
        look(seen(call), stream.patience, stream.waited, now)


def shown(name: str, samples: list[float]) -> None:
    """Print a line of the table."""
    samples = sorted(samples)
    p99 = samples[int(len(samples) * 0.99)]
    print(f"{name:<52} {statistics.mean(samples):8.3f} {p99:8.3f} {samples[-1]:8.3f}")


async def measure(streams: int, ticks: int) -> None:
    """Print what ticks cost."""
    clock = Clock()
    telemetry = CancelTelemetry(
        tracer_provider=TracerProvider(),
        meter_provider=MeterProvider(),
        settings=Settings(watchdog_interval=60, guard=False),
    )
    tracker = telemetry._tracker
    dog = tracker.watchdog
    assert dog is not None
    dog._clock = clock
    print(f"{'CPU of one tick, ms':<52} {'mean':>8} {'p99':>8} {'most':>8}")
    shown("bare loop: wakes up, no stream open", [cpu(dog.tick) for _ in range(ticks)])

    calls: list[Call] = []
    owners: list[Owner] = []
    for _ in range(60):  # they come over a minute, as streams do
        clock.now += 1.0
        for call, owner in [opened(tracker, clock) for _ in range(streams // 60)]:
            calls.append(call)
            owners.append(owner)
        _chunks(calls, clock.now)
        dog.tick()
        await asyncio.sleep(0)
    samples = []
    for _ in range(ticks):
        clock.now += 1.0
        _chunks(calls, clock.now)
        samples.append(cpu(dog.tick))
        await asyncio.sleep(0)
    shown(f"{len(calls):,} streams open, a chunk a second each", samples)
    shown(
        "the same, every stream looked at",
        [cpu(lambda: naive(tracker, clock())) for _ in range(20)],
    )

    for second in range(90):
        clock.now += 1.0
        _chunks(calls[SILENT:], clock.now)
        taken = cpu(dog.tick)
        if second in (59, 60, 61):
            stuck = len(dog._stuck)
            if stuck != SILENT:
                raise RuntimeError(f"{stuck} streams are stuck, which {SILENT} should be")
            print(f"{f'after {second + 1} s: {stuck} streams stuck':<52} {taken:8.3f}")
        await asyncio.sleep(0)
    for call in calls:
        call.end(Exit.RETURNED)
    telemetry.close()


async def measure_a_stream(streams: int) -> None:
    """Print what the watchdog adds to one stream."""
    print()
    for watchdog in (False, True):
        with CancelTelemetry(
            tracer_provider=TracerProvider(),
            meter_provider=MeterProvider(),
            settings=Settings(watchdog=watchdog, watchdog_interval=60),
        ) as telemetry:
            clock = Clock()
            opened(telemetry._tracker, clock)[0].end(Exit.RETURNED)
            took = []
            for _ in range(5):
                began = time.thread_time()
                for _ in range(streams):
                    opened(telemetry._tracker, clock)[0].end(Exit.RETURNED)
                took.append((time.thread_time() - began) / streams * 1e6)
            tracemalloc.start()
            kept = [opened(telemetry._tracker, clock) for _ in range(streams)]
            size = tracemalloc.get_traced_memory()[0] / streams
            tracemalloc.stop()
            for call, _ in kept:
                call.end(Exit.RETURNED)
            name = "with" if watchdog else "without"
            print(f"a stream {name} the watchdog: {min(took):.1f} µs, {size:.0f} bytes while open")


def _chunks(calls: list[Call], now: float) -> None:
    for call in calls:
        call.progress.chunks += 1
        call.progress.last_chunk = now


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--ticks", type=int, default=300)
    chosen = parser.parse_args()
    asyncio.run(measure(chosen.streams, chosen.ticks))
    asyncio.run(measure_a_stream(1_000))
