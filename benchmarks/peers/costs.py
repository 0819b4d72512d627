"""What a side costs: bytecodes of a call and of a chunk, bytes of an open stream."""

import gc
import statistics
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import litellm
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

from litellm_cancel_otel._demo.fakes import aclose_litellm_clients, litellm_kwargs

from ..counting import Counting
from .heard import Heard
from .leaving_behind import left_behind, settle

MESSAGES = [{"role": "user", "content": "hello"}]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done for a figure."""

    calls: int = 15
    streams: int = 2
    open: int = 50
    cancels: int = 20


FULL, SMALL = Size(), Size(5, 1, 10, 5)


class Caller:
    """Makes calls to the fake provider through the real LiteLLM."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    async def ask(self, model: str, *, stream: bool) -> Any:
        """Make a call to the model that the provider knows by this name."""
        kwargs = litellm_kwargs("azure", self._base_url, model)
        return await litellm.acompletion(messages=MESSAGES, stream=stream, **kwargs)

    async def call(self) -> None:
        """Make a call that is not streamed, and wait until LiteLLM has logged it."""
        await self.ask("call", stream=False)
        await GLOBAL_LOGGING_WORKER.flush()


async def measure(base_url: str, heard: Heard, size: Size = FULL) -> dict[str, float]:
    """Return every figure of the side that is turned on in this process."""
    caller = Caller(base_url)
    for _ in range(3):
        await caller.call()
        await _bytecodes_of_chunks(caller)
    async with _quiet():
        calls = [await _bytecodes_of_call(caller) for _ in range(size.calls)]
        chunks = [one for _ in range(size.streams) for one in await _bytecodes_of_chunks(caller)]
    found = {
        "call": statistics.median(calls),
        "chunk": statistics.median(chunks),
        "stream": statistics.median(
            [await _bytes_of_a_stream(caller, size.open) for _ in range(size.streams)]
        ),
    }
    left = await left_behind(lambda: caller.ask("silent", stream=True), heard, size.cancels)
    await aclose_litellm_clients()
    return found | left


async def _bytecodes_of_call(caller: Caller) -> int:
    with Counting() as counted:
        await caller.call()
    return int(counted.cost.bytecodes)


async def _bytecodes_of_chunks(caller: Caller) -> list[int]:
    """Return what was executed from each chunk of a stream to the next."""
    opened = await caller.ask("chunks", stream=True)
    marks = []
    with Counting() as counted:

        async def read() -> None:
            async for _ in opened:
                marks.append(int(counted.cost.bytecodes))

        await read()
    await GLOBAL_LOGGING_WORKER.flush()
    return [after - before for before, after in pairwise(marks)]


async def _bytes_of_a_stream(caller: Caller, count: int) -> float:
    """Return the bytes that one open stream holds; those of the first streams only warm up."""
    await _close(await _opened(caller, count))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    opened = await _opened(caller, count)
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    await _close(opened)
    return held / count


async def _opened(caller: Caller, count: int) -> list[Any]:
    opened = [await caller.ask("silent", stream=True) for _ in range(count)]
    for one in opened:
        await anext(one)
    await settle()
    return opened


async def _close(opened: list[Any]) -> None:
    for one in opened:
        await one.aclose()
    opened.clear()
    await settle()


@asynccontextmanager
async def _quiet() -> AsyncIterator[None]:
    """Have no collection come in between: what it frees is executed, too."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
