"""Waiting for a condition that other code makes true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Board:
    """Wakes everybody who waits whenever something has changed; for one event loop."""

    __slots__ = ("_changed",)

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def announce(self) -> None:
        """Say that something has changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, holds: Callable[[], bool], what: str, timeout: float) -> None:
        """Return once ``holds()``; TimeoutError, which says what, after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while not holds():
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(f"waited {timeout} s in vain for {what}") from None
