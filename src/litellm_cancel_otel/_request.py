"""One request of a server's, as far as the calls made in it are concerned."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from ._call import Call
from ._evidence import running_loop
from ._records import Signal


class Request:
    """Links a client's going to the calls that were made for it, in child tasks too."""

    __slots__ = (
        "aborted",
        "calls",
        "cancelled",
        "clock",
        "complete",
        "disconnect",
        "finished",
        "loop",
        "on_call",
        "on_disconnect",
        "responding",
        "signal",
        "task",
        "told",
    )

    def __init__(self, task: "asyncio.Task[object] | None", clock: Callable[[], float]) -> None:
        self.task = task
        self.loop = running_loop()
        self.clock = clock
        self.calls: set[Call] = set()
        """The calls that have not ended."""
        self.responding = False
        """The response has begun."""
        self.complete = False
        """The response is whole: what the server then calls a disconnect is none."""
        self.told = False
        """The application knows of the disconnect: what it begins from then on it means to."""
        self.finished = False
        """The application has returned."""
        self.aborted = False
        """The application ended by an exception."""
        self.cancelled = False
        """The guard told its task to stop."""
        self.disconnect: float | None = None
        self.signal: Signal | None = None
        self.on_call: Callable[[], None] | None = None
        """Called in the request's loop when a call begins."""
        self.on_disconnect: Callable[[], None] | None = None
        """Called there at the disconnect, and again when something begins after it."""

    def began(self, call: Call) -> None:
        """Take a call that begins in this request, maybe in a loop and thread of its own."""
        if self.finished:
            return
        call.request = self
        self.calls.add(call)
        if self.disconnect is not None and self.signal is not None and not self.told:
            call.disconnected(self.signal, self.disconnect)
            self._in_loop(self.on_disconnect)
        self._in_loop(self.on_call)

    def ended(self, call: Call) -> None:
        """Let go of a call that has ended."""
        self.calls.discard(call)

    def responds(self) -> None:
        """Note that the response begins, which may be after the disconnect."""
        self.responding = True
        if self.disconnect is not None:
            self._in_loop(self.on_disconnect)

    def disconnected(self, signal: Signal) -> None:
        """Take the server's word that the client has gone; the first counts."""
        if self.disconnect is not None or self.complete:
            return
        self.disconnect = self.clock()
        self.signal = signal
        for call in list(self.calls):
            call.disconnected(signal, self.disconnect)
        self._in_loop(self.on_disconnect)

    def _in_loop(self, what: Callable[[], None] | None) -> None:
        # A synchronous endpoint runs in a thread, and may run a loop of its own there.
        if what is None or self.loop is None:
            return
        if running_loop() is self.loop:
            what()
        elif not self.loop.is_closed():
            self.loop.call_soon_threadsafe(what)


REQUEST: Final[ContextVar[Request | None]] = ContextVar("litellm_cancel_otel_request", default=None)
