"""What one more chunk, stream, cancel, tick and collection costs while many streams are open.

Bare LiteLLM and watched LiteLLM in turn, in one run: ``python benchmarks/growth.py``. The provider
is one of LiteLLM's own custom kind, in this process, so that no network disturbs. The times are
CPU of the event loop's thread: what is done in another thread does not hold the loop up.
"""

import argparse
import asyncio
import gc
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import litellm
from litellm.llms.custom_llm import CustomLLM
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from litellm_cancel_otel import CancelTelemetry, Settings

MESSAGES = [{"role": "user", "content": "hello"}]
STREAMS = (1, 100, 1_000, 10_000)
OPENED = 20
"""Streams that are opened, and cancelled, beside those that are open."""
CHUNKS = 200
"""Chunks that are read of one stream beside those that are open."""
TICKS = 20
COLLECTIONS = 10

Sides = dict[str, float]
"""What each piece of work took, in microseconds; a tick and a collection in milliseconds."""


class Provider(CustomLLM):
    """Answers with as many chunks as it is asked for by ``max_tokens``, then falls silent."""

    async def astreaming(self, *_: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Yield the chunks of one answer."""
        for number in range(kwargs["optional_params"]["max_tokens"]):
            await asyncio.sleep(0)
            yield {
                "finish_reason": "",
                "index": 0,
                "is_finished": False,
                "text": f"word {number}",  # LiteLLM ends a stream that repeats itself
                "tool_use": None,
                "usage": None,
            }
        await asyncio.Event().wait()


class Nowhere(SpanExporter):
    """Takes every span, as a collector would."""

    def export(self, spans: Any) -> SpanExportResult:
        """Take some."""
        return SpanExportResult.SUCCESS


class Reader:
    """A task that reads a stream through a generator of the application's own, as endpoints do."""

    def __init__(self, stream: Any, chunks: int = 1) -> None:
        self._stream = stream
        self._chunks = chunks
        self.has_all = asyncio.Event()
        self.task = asyncio.create_task(self._read())

    async def _pieces(self) -> AsyncIterator[Any]:
        async for chunk in self._stream:
            yield chunk

    async def _read(self) -> None:
        got = 0
        async for _ in self._pieces():
            got += 1
            if got == self._chunks:
                self.has_all.set()


async def stream(chunks: int = 1) -> Any:
    """Open one stream."""
    return await litellm.acompletion(
        "growth/growth", messages=MESSAGES, stream=True, max_tokens=chunks
    )


async def reading(count: int) -> list[Reader]:
    """Open streams, and read the first chunk of each."""
    readers = [Reader(await stream()) for _ in range(count)]
    for one in readers:
        await one.has_all.wait()
    return readers


async def cancelled(readers: list[Reader]) -> None:
    """Cancel all of them at once, and wait for their end."""
    for one in readers:
        one.task.cancel()
    await asyncio.gather(*(one.task for one in readers), return_exceptions=True)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the collector out: one run of it takes as long as a hundred streams, on either side."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Stopwatch:
    """The CPU that this thread takes, in microseconds, by name."""

    def __init__(self) -> None:
        self.took: Sides = {}

    @contextmanager
    def of(self, name: str, times: int) -> Iterator[None]:
        """Take the time of a block that does something so many times."""
        with quiet():
            began = time.thread_time()
            yield
            self.took[name] = (time.thread_time() - began) / times * 1e6


class Watching(NamedTuple):
    """The package at work, and what collects its metrics."""

    telemetry: CancelTelemetry
    meters: InMemoryMetricReader


async def measure(open_streams: int, watching: Watching | None) -> Sides:
    """Return what each piece of work takes while so many streams are open."""
    watch = Stopwatch()
    others = await reading(open_streams)
    await asyncio.sleep(0)

    one = await stream(CHUNKS)
    with watch.of("chunk", CHUNKS):
        reader = Reader(one, CHUNKS)
        await reader.has_all.wait()
    await cancelled([reader])

    with watch.of("open", OPENED):
        more = await reading(OPENED)
    with watch.of("cancel", OPENED):
        await cancelled(more)
    if watching is not None:
        watching.telemetry.flush()
        dog = watching.telemetry._tracker.watchdog
        assert dog is not None
        dog.tick()  # takes what is new
        with watch.of("tick", TICKS):
            _repeat(dog.tick, TICKS)
        with watch.of("collection", COLLECTIONS):
            _repeat(watching.meters.get_metrics_data, COLLECTIONS)
    with watch.of("cancel all", open_streams):
        await cancelled(others)
    return watch.took


def _repeat(work: Callable[[], object], times: int) -> None:
    for _ in range(times):
        work()


@contextmanager
def watched(on: bool) -> Iterator[Watching | None]:
    """Run the block with the package or without it."""
    if not on:
        yield None
        return
    tracers, meters = TracerProvider(), InMemoryMetricReader()
    tracers.add_span_processor(BatchSpanProcessor(Nowhere()))
    with CancelTelemetry(
        tracer_provider=tracers,
        meter_provider=MeterProvider([meters]),
        # The benchmark ticks; that its provider is silent for long is no news. Who reads all of the
        # user's sockets with ``top`` meanwhile does not disturb it.
        settings=Settings(
            watchdog_interval=60, stuck_no_chunk=3_600, stuck_first_chunk=3_600, top_socket=None
        ),
    ) as telemetry:
        yield Watching(telemetry, meters)
    tracers.shutdown()


NAMES = ("chunk", "open", "cancel", "cancel all", "tick", "collection")


def told(open_streams: int, bare: list[Sides], ours: list[Sides]) -> Iterator[str]:
    """Yield the rows of the table for one number of open streams."""
    for name in NAMES:
        with_it = statistics.median(side[name] for side in ours)
        if name in ("tick", "collection"):  # bare LiteLLM has none
            yield f"| {open_streams:,} | {name} | | {with_it:,.0f} | | |"
            continue
        without = statistics.median(side[name] for side in bare)
        more, ratio = with_it - without, with_it / without
        figures = f"{without:,.0f} | {with_it:,.0f} | {more:,.0f} | {ratio:.2f}"
        yield f"| {open_streams:,} | {name} | {figures} |"


async def main(least: int, most: int, rounds: int) -> None:
    """Print the table."""
    litellm.suppress_debug_info = True
    litellm.custom_provider_map = [{"provider": "growth", "custom_handler": Provider()}]
    for on in (False, True):  # the first of each side only warms up
        with watched(on) as watching:
            await measure(1, watching)
    print(f"Python {sys.version.split()[0]}; µs of the event loop's CPU\n")
    print("| open streams | | bare | watched | more | ratio |")
    print("|---:|---|---:|---:|---:|---:|")
    for open_streams in (count for count in STREAMS if least <= count <= most):
        sides: dict[bool, list[Sides]] = {False: [], True: []}
        for _ in range(1 if open_streams > 1_000 else rounds):
            for on, taken in sides.items():
                with watched(on) as watching:
                    taken.append(await measure(open_streams, watching))
        for row in told(open_streams, sides[False], sides[True]):
            print(row, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--least", type=int, default=STREAMS[0], help="open streams")
    parser.add_argument("--most", type=int, default=STREAMS[-1], help="open streams")
    parser.add_argument("--rounds", type=int, default=5, help="of each side")
    chosen = parser.parse_args()
    asyncio.run(main(chosen.least, chosen.most, chosen.rounds))
