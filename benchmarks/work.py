"""The work that is measured: a call, a chunk of a stream, streams that are open."""

import asyncio
import gc
import tracemalloc
from typing import Any, NamedTuple

import litellm
from benchmarks.counting import Cost, Counting

from litellm_cancel_otel import CancelTelemetry
from litellm_cancel_otel._demo.fakes import FakeProvider, Script, litellm_kwargs

MESSAGES = [{"role": "user", "content": "hello"}]


async def call() -> None:
    """Make one call, whose answer LiteLLM makes up itself, so that no network disturbs."""
    await litellm.acompletion(
        model="azure/gpt-4o",
        api_key="fake-key",
        api_base="http://127.0.0.1",
        messages=MESSAGES,
        mock_response="hello",
    )


async def logged() -> None:
    """Wait until LiteLLM has logged the calls of before, and has called their callbacks."""
    try:
        from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER
    except ImportError:  # an older LiteLLM makes a task of it
        pass
    else:
        await GLOBAL_LOGGING_WORKER.flush()
    for _ in range(10):
        await asyncio.sleep(0)


async def cost_of_call() -> Cost:
    """Count a call and LiteLLM's logging of it."""
    with Counting() as counting:
        await call()
        await logged()
    return counting.cost


class Arriving:
    """A provider's stream whose chunks arrive one by one: the task suspends for each."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __aiter__(self) -> "Arriving":
        return self

    async def __anext__(self) -> Any:
        await asyncio.sleep(0)
        return await anext(self._inner)


async def opened(provider: FakeProvider) -> Any:
    """Open one stream."""
    kwargs = litellm_kwargs("azure", provider.base_url)
    return await litellm.acompletion(messages=MESSAGES, stream=True, **kwargs)


async def drain(stream: Any) -> int:
    """Read a stream to its end; return its number of chunks."""
    chunks = 0
    async for _ in stream:
        chunks += 1
    return chunks


async def stream(provider: FakeProvider, chunks: int, *, arriving: bool) -> Any:
    """Open a stream and read its first chunk: the others are there, or arrive one by one."""
    provider.script = Script(chunks=chunks, burst=True)
    stream = await opened(provider)
    await anext(stream)
    await provider.wait_idle()
    if arriving:
        stream.completion_stream = Arriving(stream.completion_stream)
    return stream


CHUNKS = (20, 50, 150)
"""Lengths of a stream: what differs between the last two is the chunks alone; the first warms up.

Python 3.12 counts no bytecode before a trace function is set for the second time.
"""


async def cost_of_chunk(provider: FakeProvider, *, arriving: bool) -> Cost:
    """Count what one more chunk takes."""
    costs, numbers = [], []
    for chunks in CHUNKS:
        one = await stream(provider, chunks, arriving=arriving)
        with Counting() as counting:
            numbers.append(await drain(one))
        costs.append(counting.cost)
        await logged()
    return (costs[2] - costs[1]) / (numbers[2] - numbers[1])


ROUNDS = 5
"""How often streams are opened and closed to see what stays."""


class Held(NamedTuple):
    """Bytes for each stream."""

    open: float
    """While it is open and nobody asks it for a chunk."""
    after: float
    """After it has ended, and nobody holds it."""


async def bytes_of_stream(
    provider: FakeProvider, telemetry: CancelTelemetry | None, count: int = 50
) -> Held:
    """Return what a stream holds that is open, and what stays of it once it has ended.

    What the first streams leave, such as connections that are kept alive, serves the later ones: it
    is what these leave beyond it that counts.
    """
    await open_and_close(provider, telemetry, 2)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        held = await open_and_close(provider, telemetry, count)
        first = tracemalloc.get_traced_memory()[0]
        for _ in range(ROUNDS):
            await open_and_close(provider, telemetry, count)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    return Held((held - before) / count, (after - first) / count / ROUNDS)


async def bytes_without_network(telemetry: CancelTelemetry | None, count: int = 50) -> float:
    """Return what an open stream holds whose chunks LiteLLM makes up: no network disturbs."""
    streams = [await _made_up() for _ in range(3)]  # the first make what every later one uses
    await _settled(telemetry)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        streams += [await _made_up() for _ in range(count)]
        await _settled(telemetry)
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    for one in streams:
        await one.aclose()
    await _settled(telemetry)
    return held / count


async def _made_up() -> Any:
    kwargs = {"model": "azure/gpt-4o", "api_key": "fake-key", "mock_response": "hello " * 9}
    stream = await litellm.acompletion(messages=MESSAGES, stream=True, **kwargs)
    await anext(stream)
    return stream


async def open_and_close(
    provider: FakeProvider, telemetry: CancelTelemetry | None, count: int
) -> int:
    """Open streams, read a chunk of each and close them; return the bytes held in between."""
    provider.script = Script(chunks=3, hang_at=1)
    streams = [await opened(provider) for _ in range(count)]
    for one in streams:
        await anext(one)
    await _settled(telemetry)
    held = tracemalloc.get_traced_memory()[0]
    while streams:
        await streams.pop().aclose()
    await provider.wait_idle()
    provider.exchanges.clear()
    await _settled(telemetry)
    return held


async def _settled(telemetry: CancelTelemetry | None) -> None:
    """Wait for what LiteLLM logs, and have the watchdog look, as it does by itself at times."""
    await logged()
    if telemetry is not None:
        telemetry._tracker.settle()
        if telemetry._tracker.watchdog is not None:
            telemetry._tracker.watchdog.tick()
    gc.collect()
