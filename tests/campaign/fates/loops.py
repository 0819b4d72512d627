"""Calls of applications that have no running loop of their own, or another one."""

from __future__ import annotations

import asyncio
from typing import Any

from ..expect import ANSWER, COMPLETED
from ..seat import Seat
from .fate import PIECES, SHORT, Fate


async def from_a_thread(seat: Seat) -> str:
    """Ask for each chunk from another thread."""
    loop = asyncio.get_running_loop()
    stream = await seat.call()

    def reads() -> None:
        while True:
            try:
                seat.got(asyncio.run_coroutine_threadsafe(_next(stream), loop).result(30))
            except StopAsyncIteration:
                return

    async def _next(stream: Any) -> Any:
        return await anext(stream)

    await asyncio.to_thread(reads)
    return ANSWER if seat.pieces == PIECES else f"{seat.pieces} of {PIECES} pieces"


FATES = (Fate("from-a-thread", from_a_thread, (SHORT,), {ANSWER: COMPLETED}, 1),)
