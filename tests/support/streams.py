"""Streams of a provider's, with a will of their own, to be put into LiteLLM's."""

import asyncio
from typing import Any

from litellm_cancel_otel._demo.fakes.board import Board


class Silence:
    """Any number of tasks may ask it at once, in vain."""

    def __init__(self) -> None:
        self._asked = 0
        self._board = Board()

    def __aiter__(self) -> "Silence":
        return self

    async def __anext__(self) -> Any:
        self._asked += 1
        self._board.announce()
        await asyncio.Event().wait()

    async def asked(self, times: int) -> None:
        """Wait until it was asked so often."""
        await self._board.until(lambda: self._asked >= times, f"asked {times} times", 5)


class Answers:
    """Answers the first cancel with a chunk which it has at hand."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._answered = False
        self.waits = asyncio.Event()
        """It waits for the cancel."""

    def __aiter__(self) -> "Answers":
        return self

    async def __anext__(self) -> Any:
        chunk = await anext(self._inner)
        if self._answered:
            return chunk
        self.waits.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self._answered = True
        return chunk
