"""Streams that more than one task has to do with: in turn, handed on, teed, at once."""

from __future__ import annotations

import asyncio
from typing import Any

from litellm_cancel_otel._demo.fakes import Script

from ..expect import ANSWER, CANCELLED, COMPLETED, ERROR, FAILED, LEFT, Expect, external, told
from ..seat import Seat
from .fate import MID_STREAM, PIECES, Fate
from .leaving import Raised, opened

LONGER = Script(chunks=4)


async def _rest(seat: Seat, stream: Any) -> None:
    async for chunk in stream:
        seat.got(chunk)


def _all_of(seat: Seat, pieces: int) -> str:
    return ANSWER if seat.pieces == pieces else f"{seat.pieces} of {pieces} pieces"


async def in_turn(seat: Seat) -> str:
    """Read each chunk in a task of its own."""
    stream = await seat.call()
    while (chunk := await asyncio.create_task(_next(stream))) is not None:
        seat.got(chunk)
    return _all_of(seat, 4)


async def _next(stream: Any) -> Any:
    return await anext(stream, None)


async def two_in_turn(seat: Seat) -> str:
    """Have two tasks take every other chunk."""
    stream = await seat.call()
    lock = asyncio.Lock()

    async def reader() -> None:
        chunk = True
        while chunk is not None:
            async with lock:
                chunk = await anext(stream, None)
                if chunk is not None:
                    seat.got(chunk)

    async with asyncio.TaskGroup() as group:
        group.create_task(reader())
        group.create_task(reader())
    return _all_of(seat, 4)


async def handed_on(seat: Seat) -> str:
    """Open a stream in one task and read it in another, after the first has returned."""
    stream = await asyncio.create_task(seat.call())
    await asyncio.create_task(_rest(seat, stream))
    return _all_of(seat, 4)


async def handed_on_and_cancelled(seat: Seat) -> str:
    """Hand a stream on to a task that is cancelled."""
    task = asyncio.create_task(_rest(seat, await asyncio.create_task(opened(seat))))
    await asyncio.sleep(0)  # it has begun to wait for a chunk that does not come
    task.cancel()
    await task
    return ANSWER


async def teed(seat: Seat) -> str:
    """Copy each chunk for two readers, of which one fails."""
    queues: list[asyncio.Queue[Any]] = [asyncio.Queue(), asyncio.Queue()]

    async def copies() -> None:
        async for chunk in await seat.call():
            for queue in queues:
                queue.put_nowait(chunk)
        for queue in queues:
            queue.put_nowait(None)

    async def fails() -> None:
        await queues[0].get()
        raise Raised

    async def reads() -> None:
        while (chunk := await queues[1].get()) is not None:
            seat.got(chunk)

    tasks = [asyncio.create_task(work()) for work in (copies, fails, reads)]
    await asyncio.wait(tasks)
    assert isinstance(tasks[1].exception(), Raised)
    await asyncio.gather(tasks[0], tasks[2])
    return _all_of(seat, 4)


async def teed_by_pull(seat: Seat) -> str:
    """Have the branch that needs the next chunk ask for it; one branch fails, one goes on."""
    stream = await seat.call()
    lock = asyncio.Lock()
    taken: list[Any] = []
    pulled = asyncio.Event()

    async def chunk_at(at: int) -> Any:
        async with lock:
            if at == len(taken):
                taken.append(await anext(stream, None))
        return taken[at]

    async def fails() -> None:
        await chunk_at(0)
        pulled.set()
        raise Raised

    async def reads() -> None:
        await pulled.wait()
        await asyncio.wait([failing])
        at = 0
        while (chunk := await chunk_at(at)) is not None:
            seat.got(chunk)
            at += 1

    failing = asyncio.create_task(fails())
    await asyncio.create_task(reads())
    assert isinstance(failing.exception(), Raised)
    return _all_of(seat, 4)


async def two_at_once(seat: Seat) -> str:
    """Ask for a chunk while another task waits for one; then let the answer go on."""
    stream = await opened(seat)
    tasks = [asyncio.create_task(_next(stream)) for _ in range(2)]
    await asyncio.sleep(0)  # both have asked
    (await seat.exchange()).release()
    await asyncio.wait(tasks)
    failed = any(task.exception() for task in tasks)
    try:
        await _rest(seat, stream)
    except Exception:
        failed = True
    return "one failed" if failed else LEFT


async def cancelled_while_another_waits(seat: Seat) -> str:
    """Cancel the task that drives a stream while another holds it, and close it there."""
    stream = await opened(seat)
    task = asyncio.create_task(_next(stream))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await stream.aclose()
    return LEFT if task.cancelled() else ANSWER


_ANY = Expect("completed error cancelled")
_AT_ONCE = {"one failed": _ANY, LEFT: _ANY, FAILED: ERROR}

FATES = (
    Fate("in-turn", in_turn, (LONGER,), {ANSWER: COMPLETED}),
    Fate("two-in-turn", two_in_turn, (LONGER,), {ANSWER: COMPLETED}),
    Fate("handed-on", handed_on, (LONGER,), {ANSWER: COMPLETED}),
    Fate(
        "handed-on-cancelled",
        handed_on_and_cancelled,
        (MID_STREAM,),
        {CANCELLED: told("task_cancel", "streaming")},
    ),
    Fate("teed", teed, (LONGER,), {ANSWER: COMPLETED}),
    Fate("teed-by-pull", teed_by_pull, (LONGER,), {ANSWER: COMPLETED}),
    Fate("two-at-once", two_at_once, (Script(chunks=4, hang_at=PIECES),), _AT_ONCE),
    Fate(
        "cancelled-of-two",
        cancelled_while_another_waits,
        (MID_STREAM,),
        {LEFT: external("task_cancel", "streaming")},
    ),
)
