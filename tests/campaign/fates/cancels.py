"""Calls whose task is told to stop: by itself, another task, a deadline, a group or a scope."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import Any

import anyio

from litellm_cancel_otel._demo.fakes import Script

from ..expect import ANSWER, CANCELLED, COMPLETED, LEFT, NO_CALL, TIMEOUT, external, told
from ..seat import Seat
from ..wills import Will
from .fate import BEFORE_BYTE, BEFORE_CHUNK, HALF_A_BODY, MID_STREAM, PIECES, SHORT, Fate

QUIET = (BEFORE_BYTE, BEFORE_CHUNK)
SOON = 0.02
"""Seconds of a deadline that nothing but the clock can end; the provider is silent before it."""


class SiblingFailed(Exception):
    """The failure of another task in the caller's task group."""


async def _cancelled(seat: Seat, caller: Coroutine[Any, Any, Any], pieces: int = 0) -> str:
    task = asyncio.create_task(caller)
    await seat.silent(pieces)
    task.cancel()
    await task
    return ANSWER


async def body(seat: Seat) -> str:
    """Be cancelled while the answer, which is no stream, has not come."""
    return await _cancelled(seat, seat.call(stream=False))


async def first_byte(seat: Seat) -> str:
    """Be cancelled before a stream's first chunk."""
    return await _cancelled(seat, seat.read())


async def waiting(seat: Seat) -> str:
    """Be cancelled while waiting for the next chunk."""
    return await _cancelled(seat, seat.read(), PIECES)


async def between(seat: Seat) -> str:
    """Be cancelled between two chunks, in an await of the caller's own."""

    async def caller() -> None:
        async for chunk in await seat.call():
            if seat.got(chunk):
                await asyncio.Event().wait()

    task = asyncio.create_task(caller())
    await seat.has(1)
    task.cancel()
    await task
    return ANSWER


async def backlog(seat: Seat) -> str:
    """Be cancelled in the middle of a burst that is read without a pause."""

    async def caller() -> None:
        async for chunk in await seat.call():
            if seat.got(chunk) and seat.pieces == PIECES:
                task.cancel()

    task = asyncio.create_task(caller())
    await task
    return ANSWER


async def before_it_began(seat: Seat) -> str:
    """Be cancelled before the task's first step: there is no call."""
    task = asyncio.create_task(seat.call(stream=False))
    task.cancel()
    await task
    return ANSWER


async def unborn_chunk(seat: Seat) -> str:
    """Cancel a task for the next chunk before its first step, and read on."""
    stream = await seat.call()
    task = asyncio.ensure_future(anext(stream))
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    async for chunk in stream:
        seat.got(chunk)
    return ANSWER if seat.pieces == PIECES else f"{seat.pieces} of {PIECES} pieces"


async def timeout(seat: Seat) -> str:
    """Let an ``asyncio.timeout`` expire in the middle of a stream."""
    async with asyncio.timeout(None) as deadline, asyncio.TaskGroup() as group:

        async def expire() -> None:
            await seat.silent(PIECES)
            deadline.reschedule(asyncio.get_running_loop().time())

        group.create_task(expire())
        await seat.read()
    return ANSWER


async def wait_for(seat: Seat) -> str:
    """Let an ``asyncio.wait_for`` expire before the answer has begun."""
    await asyncio.wait_for(seat.call(stream=False), SOON)
    return ANSWER


async def wait_for_chunk(seat: Seat) -> str:
    """Let an ``asyncio.wait_for`` around one chunk expire."""
    stream = await seat.call()
    while seat.pieces < PIECES:
        seat.got(await anext(stream))
    while True:
        await asyncio.wait_for(anext(stream), SOON)


async def task_group(seat: Seat) -> str:
    """Be cancelled by a task group, one of whose other tasks has failed."""

    async def sibling() -> None:
        await seat.silent(PIECES)
        raise SiblingFailed

    async with asyncio.TaskGroup() as group:
        group.create_task(seat.read())
        group.create_task(sibling())
    return ANSWER


async def gathered(seat: Seat) -> str:
    """Be cancelled by the ``asyncio.gather`` that the call is one of."""
    gathering = asyncio.gather(seat.read(), return_exceptions=True)
    await seat.silent(PIECES)
    gathering.cancel()
    await gathering
    return ANSWER


async def anyio_deadline(seat: Seat) -> str:
    """Let an ``anyio.move_on_after`` expire in the middle of a stream."""

    async def expire() -> None:
        await seat.silent(PIECES)
        scope.deadline = anyio.current_time()

    with anyio.move_on_after(math.inf) as scope:
        expiring = asyncio.create_task(expire())
        await seat.read()
    await expiring
    return LEFT if scope.cancelled_caught else ANSWER


async def anyio_cancel(seat: Seat) -> str:
    """Be cancelled by an anyio scope."""

    async def cancel() -> None:
        await seat.silent(PIECES)
        scope.cancel()

    with anyio.CancelScope() as scope:
        cancelling = asyncio.create_task(cancel())
        await seat.read()
    await cancelling
    return LEFT if scope.cancelled_caught else ANSWER


async def anyio_group(seat: Seat) -> str:
    """Be cancelled as a child of an anyio task group."""
    async with anyio.create_task_group() as group:
        group.start_soon(seat.read)
        await seat.silent(PIECES)
        group.cancel_scope.cancel()
    return LEFT


async def twice(seat: Seat) -> str:
    """Be cancelled, and once more while the response closes."""
    with Will(slow_close=True) as will:
        task = asyncio.create_task(seat.read(will=will))
        await seat.silent(PIECES)
        task.cancel()
        await will.closing_or(task)
        task.cancel()
    await task
    return ANSWER


async def hanging_close(seat: Seat) -> str:
    """Be cancelled, and have the response close only after a while."""
    with Will(slow_close=True) as will:
        task = asyncio.create_task(seat.read(will=will))
        await seat.silent(PIECES)
        task.cancel()
        await will.closing_or(task)
    await task
    return ANSWER


async def stale_count(seat: Seat) -> str:
    """Swallow a cancel, and then read an answer to its end."""

    async def caller() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            await seat.read()

    await asyncio.create_task(caller())
    return ANSWER


_CANCEL, _DEADLINE = "task_cancel", "deadline"

FATES = (
    Fate("cancel-body", body, (*QUIET, HALF_A_BODY), {CANCELLED: told(_CANCEL, "request")}),
    Fate("cancel-first-byte", first_byte, QUIET, {CANCELLED: told(_CANCEL, "request")}),
    Fate("cancel-waiting", waiting, (MID_STREAM,), {CANCELLED: told(_CANCEL, "streaming")}, 8),
    Fate("cancel-between", between, (MID_STREAM,), {CANCELLED: told(_CANCEL, "streaming")}),
    Fate(
        "cancel-backlog",
        backlog,
        (Script(chunks=PIECES + 2, hang_at=PIECES + 2, burst=True),),
        {CANCELLED: told(_CANCEL, "streaming")},
    ),
    Fate("cancel-before-it-began", before_it_began, (SHORT,), {CANCELLED: NO_CALL}, 2),
    Fate("cancel-unborn-chunk", unborn_chunk, (SHORT,), {ANSWER: COMPLETED}),
    Fate("timeout", timeout, (MID_STREAM,), {TIMEOUT: told(_DEADLINE, "streaming")}),
    Fate("wait-for", wait_for, QUIET, {TIMEOUT: told(_DEADLINE, "request")}, 2),
    Fate(
        "wait-for-chunk",
        wait_for_chunk,
        (MID_STREAM,),
        {TIMEOUT: told(_DEADLINE, "streaming")},
        2,
    ),
    Fate("task-group", task_group, (MID_STREAM,), {"SiblingFailed": told(_CANCEL, "streaming")}),
    Fate("gather", gathered, (MID_STREAM,), {CANCELLED: told(_CANCEL, "streaming")}, 2),
    Fate("anyio-deadline", anyio_deadline, (MID_STREAM,), {LEFT: told(_DEADLINE, "streaming")}),
    Fate("anyio-cancel", anyio_cancel, (MID_STREAM,), {LEFT: told(_CANCEL, "streaming")}, 2),
    Fate("anyio-group", anyio_group, (MID_STREAM,), {LEFT: told(_CANCEL, "streaming")}, 2),
    Fate(
        "cancel-twice",
        twice,
        (MID_STREAM,),
        {CANCELLED: external(_CANCEL, "streaming", "cancel", "exception")},
    ),
    Fate("hanging-close", hanging_close, (MID_STREAM,), {CANCELLED: told(_CANCEL, "streaming")}),
    Fate("stale-count", stale_count, (SHORT,), {ANSWER: COMPLETED}, 2),
)
