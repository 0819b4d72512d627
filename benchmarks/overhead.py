"""What watching costs, beside bare LiteLLM, both sides in turn in one run.

Bytecodes do not depend on the machine's load, times do: steer by the first, and read only the
ratio of the second. Run it with ``python benchmarks/overhead.py``.
"""

import asyncio
import gc
import os
import statistics
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import litellm
from counting import bytecodes_of
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from litellm_cancel_otel import CancelTelemetry, Settings
from litellm_cancel_otel._demo.fakes import (
    FakeProvider,
    Script,
    aclose_litellm_clients,
    litellm_kwargs,
)

MESSAGES = [{"role": "user", "content": "hello"}]
ROUNDS = 5
TIMED_ROUNDS = 20
"""More, for times go up and down with whatever else the machine does."""
CALLS = 9
CHUNKS = (100, 400)
"""Two lengths of a stream: what differs between them is the chunks alone."""


@contextmanager
def watched(on: bool) -> Iterator[None]:
    """Run the block with the package or without it."""
    if not on:
        yield
        return
    with CancelTelemetry(
        tracer_provider=TracerProvider(),
        meter_provider=MeterProvider([InMemoryMetricReader()]),
        # Counting bytecodes slows everything some fifty times, so that what goes by the clock
        # would come far too often.
        settings=Settings(checkpoint_interval=0, watchdog=False),
    ):
        yield


async def call(kwargs: dict[str, Any]) -> None:
    """Make one call that is not streamed."""
    await litellm.acompletion(messages=MESSAGES, **kwargs)


async def stream(kwargs: dict[str, Any]) -> Any:
    """Open one stream."""
    return await litellm.acompletion(messages=MESSAGES, stream=True, **kwargs)


async def drain(opened: Any) -> int:
    """Read a stream to its end; return its number of chunks."""
    chunks = 0
    async for _ in opened:
        chunks += 1
    return chunks


async def seconds_of(work: Callable[[], Awaitable[Any]]) -> tuple[float, Any]:
    """Return the CPU seconds of one piece of work and what it returned."""
    began = time.thread_time()
    result = await work()
    return time.thread_time() - began, result


Measure = Callable[[Callable[[], Awaitable[Any]]], Awaitable[tuple[float, Any]]]


async def per_call(measure: Measure, kwargs: dict[str, Any]) -> float:
    """Measure a call whose answer LiteLLM makes up itself, so that no network disturbs."""
    mocked = {"model": kwargs["model"], "mock_response": "hello"}
    costs = []
    for _ in range(CALLS):
        costs.append((await measure(lambda: call(mocked)))[0])
        await asyncio.sleep(0)  # LiteLLM's logging of the call before is not this one's cost
    return statistics.median(costs)


async def per_chunk(measure: Measure, provider: FakeProvider, kwargs: dict[str, Any]) -> float:
    """Measure what one more chunk of a stream costs."""
    costs = []
    for chunks in CHUNKS:
        provider.script = Script(chunks=chunks, burst=True)
        opened = await stream(kwargs)
        costs.append(await measure(lambda opened=opened: drain(opened)))
    (short, few), (long, many) = costs
    return (long - short) / (many - few)


async def compare(
    name: str,
    unit: str,
    scale: float,
    one: Callable[[], Awaitable[float]],
    rounds: int = ROUNDS,
) -> None:
    """Print one figure for both sides, measured in turn, and their difference and ratio."""
    sides: dict[bool, list[float]] = {False: [], True: []}
    for on in (False, True):  # the first of each side only warms up
        with watched(on):
            await one()
    for _ in range(rounds):
        for on, costs in sides.items():
            gc.collect()
            gc.disable()  # a collection takes as long as a hundred calls, on either side
            with watched(on):
                costs.append(await one())
            gc.enable()
    bare, ours = (statistics.median(sides[on]) * scale for on in (False, True))
    print(f"{name:<28}{bare:>12.1f}{ours:>12.1f}{ours - bare:>10.1f} {unit:<10}×{ours / bare:.3f}")


async def open_streams(provider: FakeProvider, kwargs: dict[str, Any], count: int = 50) -> float:
    """Return the bytes that one open stream holds."""
    provider.script = Script(chunks=3, hang_at=1)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    opened = [await stream(kwargs) for _ in range(count)]
    for one in opened:
        await anext(one)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    for one in opened:
        await one.aclose()
    return held / count


async def main() -> None:
    """Print every figure."""
    litellm.suppress_debug_info = True
    print(f"Python {sys.version.split()[0]}, azure\n")
    print(f"{'':<28}{'bare':>12}{'watched':>12}{'more':>10}")
    async with FakeProvider() as provider:
        kwargs = litellm_kwargs("azure", provider.base_url)
        counted, timed = bytecodes_of, seconds_of
        await compare("call, bytecodes", "bytecodes", 1, lambda: per_call(counted, kwargs))
        await compare(
            "chunk, bytecodes", "bytecodes", 1, lambda: per_chunk(counted, provider, kwargs)
        )
        await compare("call, CPU", "µs", 1e6, lambda: per_call(timed, kwargs), TIMED_ROUNDS)
        await compare(
            "chunk, CPU", "µs", 1e6, lambda: per_chunk(timed, provider, kwargs), TIMED_ROUNDS
        )
        if hasattr(litellm.CustomStreamWrapper, "aclose"):
            await compare("open stream, memory", "bytes", 1, lambda: open_streams(provider, kwargs))
        await aclose_litellm_clients()


if __name__ == "__main__":
    asyncio.run(main())
