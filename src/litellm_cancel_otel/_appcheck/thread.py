"""The application in a thread of this process, for a test that has it as an object."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from .host import App, Host
from .problem import Problem
from .process import START_UP, listen_at
from .told import Told


class ThreadApplication:
    """An application that another thread serves."""

    def __init__(self, app: App, *, package: bool) -> None:
        self.told = Told()
        self._loop = asyncio.get_running_loop()
        self._host = Host(app, self._tell, package=package)
        self._listening = listen_at(0)
        self.address: tuple[str, int] = self._listening.getsockname()
        self._thread = threading.Thread(target=self._serve, name="litellm-app", daemon=True)
        self._thread.start()

    def ask_state(self) -> None:
        """Ask what is open."""
        self._tell({"event": "state", **self._host.state()})  # behind the spans that it has made

    async def aclose(self) -> None:
        """Stop the server, and wait until its thread has ended."""
        self._host.stop()
        await asyncio.to_thread(self._thread.join)
        self._listening.close()

    def _tell(self, event: dict[str, Any]) -> None:
        self._loop.call_soon_threadsafe(self.told.take, event)

    def _serve(self) -> None:
        try:
            asyncio.run(self._host.serve(self._listening))
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - the application's own: it is told
            problem = exc if isinstance(exc, Problem) else f"{type(exc).__name__}: {exc}"
            self._tell({"event": "failed", "problem": str(problem)})
        self._loop.call_soon_threadsafe(self.told.end)


@asynccontextmanager
async def in_thread(app: App, *, package: bool) -> AsyncIterator[ThreadApplication]:
    """Serve an application; raise Problem where it does not start."""
    application = ThreadApplication(app, package=package)
    told = application.told
    try:
        await told.until(lambda: told.layout or told.failure, "the application's start", START_UP)
        if told.failure:
            raise Problem(told.failure)
        yield application
    finally:
        await application.aclose()
