"""What a side leaves behind after cancelled streams: spans, tasks, connections, objects."""

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from typing import Any

from .heard import Heard, tasks

SETTLING = 0.5
"""Seconds for what ends after the cancel; what is there then, and after a collection, stays."""

Ask = Callable[[], Awaitable[Any]]


async def left_behind(ask: Ask, heard: Heard, cancels: int) -> dict[str, float]:
    """Cancel streams, and return what is there afterwards that was not before."""
    for _ in range(cancels):  # what is made once, and stays
        await _cancelled_stream(ask)
    before = await _look(heard)
    current = 0
    for _ in range(cancels):
        current += await _cancelled_stream(ask, heard)
    after = await _look(heard)
    change = {name: after[name] - before[name] for name in after}
    return {**change, "objects": change["objects"] / cancels, "current": current}


async def _cancelled_stream(ask: Ask, heard: Heard | None = None) -> bool:
    """Cancel a stream that waits; return whether the caller's current span is still that call's."""
    waits = asyncio.Event()

    async def caller() -> bool:
        try:
            async for chunk in await ask():
                if any(choice.delta.content for choice in chunk.choices):
                    waits.set()
        except asyncio.CancelledError:
            return heard is not None and heard.still_current()
        raise EOFError("the stream ended by itself")

    task = asyncio.create_task(caller())
    await waits.wait()
    for _ in range(3):  # until the caller waits for the chunk that does not come
        await asyncio.sleep(0)
    task.cancel()
    return await task


async def settle() -> None:
    """Let what has ended go: the loop closes what a collection finds, and the next one frees it."""
    for _ in range(2):
        await asyncio.sleep(SETTLING)
        gc.collect()


async def _look(heard: Heard) -> dict[str, int]:
    await settle()
    return {
        "spans": heard.count_open(),
        "tasks": tasks(),
        "connections": len(os.listdir("/dev/fd")),
        "objects": len(gc.get_objects()),
    }
