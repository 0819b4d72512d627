"""A fake provider in a thread of its own, for callers whose event loop is blocked or missing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

from litellm_cancel_otel._demo.fakes.exchange import Exchange
from litellm_cancel_otel._demo.fakes.script import Script
from litellm_cancel_otel._demo.fakes.server import FakeProvider

_T = TypeVar("_T")


class ThreadedFakeProvider:
    """Runs ``provider`` in another thread; use it with ``with``.

    Its attributes may be read, and its scripts changed, from any thread; its waits, and those of
    its exchanges, go through ``run``.
    """

    def __init__(self, script: Script | None = None) -> None:
        self._script = script
        self._started: Future[tuple[FakeProvider, asyncio.AbstractEventLoop, asyncio.Event]]
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._started = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main()), name="fake-provider", daemon=True
        )
        self._thread.start()
        self.provider, self._loop, self._stop = self._started.result()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    @property
    def base_url(self) -> str:
        """The address, without a path."""
        return self.provider.base_url

    def run(self, waiting: Coroutine[Any, Any, _T]) -> _T:
        """Run a wait in the provider's loop and block until it is over; its result or exception."""
        return asyncio.run_coroutine_threadsafe(waiting, self._loop).result()

    def next_exchange(self, timeout: float = 5.0) -> Exchange:
        """Block until the next exchange arrives; TimeoutError after ``timeout`` seconds."""
        return self.run(self.provider.next_exchange(timeout))

    def release(self, exchange: Exchange) -> None:
        """End the exchange's hang."""
        self._loop.call_soon_threadsafe(exchange.release)

    async def _main(self) -> None:
        try:
            stop = asyncio.Event()
            async with FakeProvider(self._script) as provider:
                self._started.set_result((provider, asyncio.get_running_loop(), stop))
                await stop.wait()
        except BaseException as exc:
            if not self._started.done():
                self._started.set_exception(exc)
            raise
