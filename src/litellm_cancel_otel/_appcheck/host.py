"""Serves the application with uvicorn, and tells what becomes of its requests and calls."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import uvicorn

from .._demo.fakes.clients import aclose_litellm_clients, cached_litellm_clients
from .._integration.middleware import CancellationMiddleware
from .layout import describe
from .problem import Problem, one_line
from .telemetry import Watching, told

Message = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]
Tell = Callable[[dict[str, Any]], None]
"""Takes one event; it may be called from any thread."""

BLOCKED: Final = 0.05
"""Seconds after which a message that is not sent yet waits for a client that does not read."""
GRACE: Final = 1
"""Seconds that requests have to end when the server stops."""


class Host:
    """One application, served until ``stop()``; ``package`` puts this package around it."""

    def __init__(self, app: App, tell: Tell, *, package: bool = False) -> None:
        self._application = app
        self._app: App = CancellationMiddleware(app) if package else app
        self._tell = tell
        self._package = package
        self._watching: Watching | None = None
        self._failure: str | None = None
        self._server: _Server | None = None

    async def serve(self, listening: socket.socket) -> None:
        """Serve at a socket; raise Problem where the application does not start."""
        config = uvicorn.Config(
            self._serve_one,
            interface="asgi3",
            http="h11",
            proxy_headers=False,
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=GRACE,
        )
        self._server = _Server(config, self._started)
        others = cached_litellm_clients()
        try:
            await self._server.serve(sockets=[listening])
        except SystemExit:  # how uvicorn says that the lifespan failed
            raise Problem(f"the application does not start: {self._failure}") from None
        finally:
            if self._watching is not None:
                self._watching.close()
            await aclose_litellm_clients(but=others)

    def stop(self) -> None:
        """Ask the server to end; from any thread."""
        if self._server is not None:
            self._server.should_exit = True

    def state(self) -> dict[str, Any]:
        """Return what is open and what was swallowed by now; from any thread."""
        return {"open": [], "swallowed": 0} if self._watching is None else self._watching.state()

    def _started(self) -> None:
        try:
            layout = describe(self._application)
        except Exception as exc:  # noqa: BLE001 - the application's own: the check can do without
            layout = {"routes": [], "parts": [], "unclear": f"{type(exc).__name__}: {exc}"}
        self._watching = Watching(
            lambda span: self._tell({"event": "span", **told(span)}), package=self._package
        )
        package = self._package or self._watching.had_package
        self._tell({"event": "ready", "package": package, **layout})

    async def _serve_one(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, self._noting(send))
            return
        try:
            await self._app(scope, receive, self._sending(send))
        except Exception as exc:
            what = one_line(f"{type(exc).__name__}: {exc}")
            self._tell({"event": "raised", "what": what})
            raise
        finally:
            self._tell({"event": "over", "at": time.perf_counter()})

    def _noting(self, send: Any) -> Any:
        async def noting(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                *_, last = str(message.get("message") or "its startup failed").strip().split("\n")
                self._failure = one_line(last)
            await send(message)

        return noting

    def _sending(self, send: Any) -> Any:
        """Return a ``send`` that tells when it waits for the client."""
        # A client that stops reading is felt after a few kilobytes rather than megabytes.
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        if transport is not None:
            transport.set_write_buffer_limits(high=0)
        loop = asyncio.get_running_loop()

        async def sending(message: Message) -> None:
            waiting = loop.call_later(BLOCKED, self._tell, {"event": "blocked"})
            try:
                await send(message)
            finally:
                waiting.cancel()

        return sending


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._when_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._when_started()
