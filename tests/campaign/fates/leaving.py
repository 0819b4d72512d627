"""Streams that their consumer leaves: closed, dropped, forgotten in a cycle, whole or not."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from ..expect import ANSWER, COMPLETED, DROPPED, LEFT, external
from ..seat import Seat
from ..wills import Will
from .fate import MID_STREAM, PIECES, SHORT, Fate


class Raised(Exception):
    """The consumer's own failure."""


async def opened(seat: Seat, **more: Any) -> Any:
    """Return a stream whose first pieces have been read, from a provider that is silent now."""
    stream = await seat.call(**more)
    while seat.pieces < PIECES:
        seat.got(await anext(stream))
    await seat.silent()
    return stream


async def aclose(seat: Seat) -> str:
    """Close a stream in the middle."""
    await (await opened(seat)).aclose()
    return LEFT


async def hanging_aclose(seat: Seat) -> str:
    """Close a stream whose response takes its time to close."""
    with Will(slow_close=True) as will:
        closing = asyncio.create_task((await opened(seat, will=will)).aclose())
        await will.closing_or(closing)
    await closing
    return LEFT


async def break_off(seat: Seat) -> str:
    """Break out of the loop over a stream and drop it."""
    async for chunk in await seat.call():
        if seat.got(chunk):
            break
    return LEFT


async def break_in_a_task(seat: Seat) -> str:
    """Break out of the loop in a task that returns."""
    return await asyncio.create_task(break_off(seat))


async def never_iterated(seat: Seat) -> str:
    """Ask for a stream and drop it unread."""
    await seat.call()
    return LEFT


async def cycle(seat: Seat) -> str:
    """Leave a stream to the garbage collector, in a reference cycle."""
    kept: list[Any] = [await opened(seat)]
    kept.append(kept)
    return LEFT


async def collected(seat: Seat) -> str:
    """Leave a stream in a reference cycle, and have it collected."""
    await cycle(seat)
    gc.collect()
    return LEFT


async def raising(seat: Seat) -> str:
    """Fail while the stream is read."""
    async for chunk in await seat.call():
        if seat.got(chunk):
            raise Raised
    return ANSWER


async def failed_with_it(seat: Seat) -> str:
    """Fail in a task, whose exception keeps the frame that has the stream."""

    async def caller() -> None:
        stream = await opened(seat)
        raise Raised(stream)

    task = asyncio.create_task(caller())
    await asyncio.wait([task])
    await (await seat.exchange()).wait_closed(20)
    await task
    return ANSWER


async def at_finish_reason(seat: Seat) -> str:
    """Break at the chunk that has the finish reason, and drop the stream."""
    async for chunk in await seat.call():
        seat.got(chunk)
        if chunk.choices[0].finish_reason:
            return ANSWER
    return LEFT


async def closed_at_finish_reason(seat: Seat) -> str:
    """Break at the chunk that has the finish reason, and close the stream."""
    async with aclosing(await seat.call()) as stream:
        async for chunk in stream:
            seat.got(chunk)
            if chunk.choices[0].finish_reason:
                return ANSWER
    return LEFT


async def _texts(seat: Seat) -> AsyncIterator[Any]:
    async for chunk in await seat.call():
        if seat.got(chunk):
            yield chunk


async def athrow(seat: Seat) -> str:
    """Throw into a generator over the stream."""
    texts: Any = _texts(seat)
    await anext(texts)
    await texts.athrow(Raised)
    return ANSWER


async def generator_closed(seat: Seat) -> str:
    """Close a generator over the stream."""
    texts: Any = _texts(seat)
    await anext(texts)
    await texts.aclose()
    return LEFT


_CLOSED = external("aclose", "streaming", "aclose", "aclose")
_ORPHAN = external("abandoned", "streaming")

FATES = (
    Fate("aclose", aclose, (MID_STREAM,), {LEFT: _CLOSED}),
    Fate("hanging-aclose", hanging_aclose, (MID_STREAM,), {LEFT: _CLOSED}),
    Fate("break", break_off, (MID_STREAM,), {LEFT: DROPPED}),
    Fate("break-in-a-task", break_in_a_task, (MID_STREAM,), {LEFT: DROPPED}, 8),
    Fate(
        "never-iterated",
        never_iterated,
        (MID_STREAM,),
        {LEFT: external("abandoned", "request", "gc", "gc")},
    ),
    Fate("cycle", cycle, (MID_STREAM,), {LEFT: _ORPHAN}),
    Fate("collected", collected, (MID_STREAM,), {LEFT: _ORPHAN}, 1),
    Fate("raising", raising, (MID_STREAM,), {"Raised": DROPPED}),
    Fate("failed-with-it", failed_with_it, (MID_STREAM,), {"Raised": _ORPHAN}),
    Fate("finish-reason", at_finish_reason, (SHORT,), {ANSWER: COMPLETED}),
    Fate("finish-reason-closed", closed_at_finish_reason, (SHORT,), {ANSWER: COMPLETED}),
    Fate("athrow", athrow, (MID_STREAM,), {"Raised": DROPPED}),
    Fate("generator-closed", generator_closed, (MID_STREAM,), {LEFT: DROPPED}),
)
