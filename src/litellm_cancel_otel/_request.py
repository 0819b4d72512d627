"""One request of a server's, as far as the calls made in it are concerned."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from ._call import Call
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
        "on_call",
        "on_disconnect",
        "responding",
        "signal",
        "task",
    )

    def __init__(self, task: "asyncio.Task[object] | None", clock: Callable[[], float]) -> None:
        self.task = task
        self.clock = clock
        self.calls: set[Call] = set()
        """The calls that have not ended."""
        self.responding = False
        """The response has begun."""
        self.complete = False
        """The response was sent whole: what the server then calls a disconnect is none."""
        self.finished = False
        """The application has returned."""
        self.aborted = False
        """The application ended by an exception."""
        self.cancelled = False
        """The guard told its task to stop."""
        self.disconnect: float | None = None
        self.signal: Signal | None = None
        self.on_call: Callable[[], None] | None = None
        """Called when a call begins."""
        self.on_disconnect: Callable[[], None] | None = None
        """Called at the disconnect."""

    def began(self, call: Call) -> None:
        """Take a call that begins in this request."""
        if self.finished:
            return
        call.request = self
        self.calls.add(call)
        if self.disconnect is not None and self.signal is not None:
            call.disconnected(self.signal, self.disconnect)
        if self.on_call is not None:
            self.on_call()

    def ended(self, call: Call) -> None:
        """Let go of a call that has ended."""
        self.calls.discard(call)

    def disconnected(self, signal: Signal) -> None:
        """Take the server's word that the client has gone; the first counts."""
        if self.disconnect is not None or self.complete:
            return
        self.disconnect = self.clock()
        self.signal = signal
        for call in self.calls:
            call.disconnected(signal, self.disconnect)
        if self.on_disconnect is not None:
            self.on_disconnect()


REQUEST: Final[ContextVar[Request | None]] = ContextVar("litellm_cancel_otel_request", default=None)
