"""Calls of applications that run a loop only now and then, or have it in another thread."""

from __future__ import annotations

import asyncio
from typing import Any

from litellm_cancel_otel._demo.fakes import aclose_litellm_clients

from ..expect import ANSWER, CANCELLED, COMPLETED, told
from ..seat import Seat
from .fate import MID_STREAM, PIECES, SHORT, Fate


async def _next(stream: Any) -> Any:
    return await anext(stream, None)


def _all_of(seat: Seat) -> str:
    return ANSWER if seat.pieces == PIECES else f"{seat.pieces} of {PIECES} pieces"


async def from_a_thread(seat: Seat) -> str:
    """Ask for each chunk from another thread."""
    loop = asyncio.get_running_loop()
    stream = await seat.call()

    def reads() -> None:
        while True:
            asking = asyncio.run_coroutine_threadsafe(_next(stream), loop)
            if (chunk := asking.result(30)) is None:
                return
            loop.call_soon_threadsafe(seat.got, chunk)

    await asyncio.to_thread(reads)
    return _all_of(seat)


async def steps_from_a_thread(seat: Seat) -> str:
    """The same, with what the stream itself returns for a chunk."""
    loop = asyncio.get_running_loop()
    stream = await seat.call()

    def reads() -> None:
        while True:
            try:
                chunk = asyncio.run_coroutine_threadsafe(stream.__anext__(), loop).result(30)
            except StopAsyncIteration:
                return
            loop.call_soon_threadsafe(seat.got, chunk)

    await asyncio.to_thread(reads)
    return _all_of(seat)


def chunk_by_chunk(seat: Seat, runner: asyncio.Runner) -> str:
    """Run the loop for each chunk, as a blocking application does."""
    loop = runner.get_loop()
    stream = loop.run_until_complete(seat.call())
    while True:
        try:
            seat.got(loop.run_until_complete(stream.__anext__()))
        except StopAsyncIteration:
            return _all_of(seat)


def shutdown(seat: Seat, runner: asyncio.Runner) -> str:
    """Leave a call pending when the loop's runner ends."""

    async def reads() -> None:
        try:
            await seat.read()
        finally:
            await aclose_litellm_clients()

    async def begins() -> asyncio.Task[None]:
        task = asyncio.create_task(reads())
        await seat.silent(PIECES)
        return task

    task = runner.run(begins())
    runner.close()
    return CANCELLED if task.cancelled() else ANSWER


_WHOLE = {ANSWER: COMPLETED}

FATES = (
    Fate("from-a-thread", from_a_thread, (SHORT,), _WHOLE, 1),
    Fate("steps-from-a-thread", steps_from_a_thread, (SHORT,), _WHOLE, 1),
    Fate("chunk-by-chunk", None, (SHORT,), _WHOLE, 1, chunk_by_chunk),
    Fate(
        "shutdown",
        None,
        (MID_STREAM,),
        {CANCELLED: told("shutdown", "streaming")},
        1,
        shutdown,
    ),
)
