"""The callers: one small coroutine for every way in which a call can end before its time."""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

import anyio

from .dropping import DropAt, DroppingTransport
from .site import Site

DEADLINE = 0.25
"""Seconds of a deadline that cannot wait for the provider's silence."""

ANSWER = "answer"
GOES_ON = "goes on"
"""The caller got no exception: it went on by its own choice."""


class SiblingFailed(Exception):
    """The failure of another task in the caller's task group."""


async def completed(site: Site) -> str:
    """Read a stream to its end."""
    await site.read()
    return ANSWER


async def cancelled_body(site: Site) -> str:
    """Be cancelled while the answer, which is no stream, has not begun."""
    return await _cancelled(site, site.call(stream=False), chunks=False)


async def cancelled_first_byte(site: Site) -> str:
    """Be cancelled before a stream's first byte."""
    return await _cancelled(site, site.read(), chunks=False)


async def cancelled_waiting(site: Site) -> str:
    """Be cancelled while waiting for the next chunk."""
    return await _cancelled(site, site.read(), chunks=True)


async def cancelled_between(site: Site) -> str:
    """Be cancelled between two chunks of a burst, in an await of the caller's own."""
    return await asyncio.create_task(_read_burst(site, pause=True))


async def cancelled_backlog(site: Site) -> str:
    """Be cancelled in the middle of a burst that is read without a pause."""
    return await asyncio.create_task(_read_burst(site, pause=False))


async def timeout(site: Site) -> str:
    """Let an ``asyncio.timeout`` expire in the middle of a stream."""
    async with asyncio.timeout(None) as deadline:
        now = asyncio.get_running_loop().time
        expiring = _when_silent(site, lambda: deadline.reschedule(now()))
        await site.read()
        await expiring
    return ANSWER


async def wait_for(site: Site) -> str:
    """Let an ``asyncio.wait_for`` expire before the answer has begun."""
    site.leaves(after=DEADLINE)
    await asyncio.wait_for(site.call(stream=False), DEADLINE)
    return ANSWER


async def task_group(site: Site) -> str:
    """Be cancelled by a task group, one of whose other tasks has failed."""

    async def sibling() -> None:
        await site.silence()
        site.leaves()
        raise SiblingFailed

    async with asyncio.TaskGroup() as group:
        group.create_task(site.read())
        group.create_task(sibling())
    return ANSWER


async def anyio_scope(site: Site) -> str:
    """Let an ``anyio.move_on_after`` expire in the middle of a stream."""
    with anyio.move_on_after(math.inf) as scope:
        expiring = _when_silent(site, lambda: setattr(scope, "deadline", anyio.current_time()))
        await site.read()
        await expiring
    return GOES_ON if scope.cancelled_caught else ANSWER


async def shutdown(site: Site) -> str:
    """Leave a call pending when ``asyncio.run``, in a thread of its own, ends."""

    async def main() -> asyncio.Task[None]:
        # LiteLLM's session outlives this loop, about which aiohttp would complain.
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        pending = asyncio.create_task(site.read())
        await site.silence()
        site.leaves()
        return pending

    pending = await asyncio.to_thread(lambda: asyncio.run(main()))
    pending.result()
    return ANSWER


async def aclose(site: Site) -> str:
    """Close a stream in the middle."""
    stream = await _opened(site)
    site.leaves()
    await stream.aclose()
    return GOES_ON


async def break_off(site: Site) -> str:
    """Break out of the loop over a stream and drop it."""
    async for _ in await site.call(stream=True):
        site.got_chunk()
        await site.silence()
        site.leaves()
        break
    return GOES_ON


async def never_iterated(site: Site) -> str:
    """Ask for a stream and drop it unread."""
    stream = await site.call(stream=True)
    site.leaves()
    del stream
    return GOES_ON


async def collected(site: Site) -> str:
    """Leave a stream to the garbage collector, in a reference cycle."""
    cycle = [await _opened(site)]
    cycle.append(cycle)
    del cycle
    site.leaves()
    gc.collect()
    return GOES_ON


async def cancelled_twice(site: Site) -> str:
    """Be cancelled, and once more while the stream closes."""
    transport = DroppingTransport(slow_close=0.2)
    client = await site.client(transport)

    async def caller() -> None:
        async with aclosing(await site.call(stream=True, client=client)) as stream:
            async for _ in stream:
                site.got_chunk()

    task = asyncio.create_task(caller())
    await site.silence()
    site.leaves()
    task.cancel()
    closing = asyncio.create_task(transport.closing.wait())
    await asyncio.wait({task, closing}, timeout=1, return_when=asyncio.FIRST_COMPLETED)
    closing.cancel()
    task.cancel()
    await task
    return ANSWER


async def dropped_at_connect(site: Site) -> str:
    """Have the HTTP layer cancel the call at connect."""
    return await _dropped(site, "connect", stream=False)


async def dropped_in_body(site: Site) -> str:
    """Have the HTTP layer cancel the call while the answer's body is read."""
    return await _dropped(site, "body", stream=False)


async def dropped_in_stream(site: Site) -> str:
    """Have the HTTP layer cancel the call in the middle of a stream."""
    return await _dropped(site, "body", stream=True)


async def _cancelled(site: Site, caller: Coroutine[Any, Any, Any], *, chunks: bool) -> str:
    task = asyncio.create_task(caller)
    await site.silence(chunks=chunks)
    site.leaves()
    task.cancel()
    await task
    return ANSWER


async def _read_burst(site: Site, *, pause: bool) -> str:
    read = 0
    async for _ in await site.call(stream=True):
        read += 1
        task = asyncio.current_task()
        if read == 3 and task is not None:
            site.leaves()
            task.cancel()
        if pause:
            await asyncio.sleep(0)
    return ANSWER


def _when_silent(site: Site, act: Callable[[], None]) -> asyncio.Task[None]:
    async def acting() -> None:
        await site.silence()
        site.leaves()
        act()

    return asyncio.create_task(acting())


async def _opened(site: Site) -> Any:
    stream = await site.call(stream=True)
    await anext(stream)
    site.got_chunk()
    await site.silence()
    return stream


async def _dropped(site: Site, at: DropAt, *, stream: bool) -> str:
    client = await site.client(DroppingTransport(at, on_drop=site.leaves))
    if stream:
        await site.read(client=client)
    else:
        await site.call(stream=False, client=client)
    return ANSWER
