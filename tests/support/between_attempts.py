"""What a test waits for between two attempts of a call: a long sleep, or a hook that hangs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

LONG = 0.5
"""Seconds of a sleep that is a backoff, at the least."""


class Sleeps:
    """Knows when somebody begins to sleep for long."""

    def __init__(self, sleep: Callable[..., Awaitable[Any]]) -> None:
        self._sleep = sleep
        self._begun = asyncio.Event()

    async def __call__(self, delay: float, result: Any = None) -> Any:
        if delay >= LONG:
            self._begun.set()
        return await self._sleep(delay, result)

    async def begun(self) -> None:
        async with asyncio.timeout(5):
            await self._begun.wait()


class Mourner(CustomLogger):
    """A failure hook that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self._begun = asyncio.Event()

    async def async_log_failure_event(self, *_: Any, **__: Any) -> None:
        self._begun.set()
        await asyncio.Event().wait()

    async def begun(self) -> None:
        async with asyncio.timeout(5):
            await self._begun.wait()
