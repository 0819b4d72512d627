"""One request of a server's, as far as the calls made in it are concerned."""

import asyncio
import sys
from collections.abc import Callable
from contextvars import ContextVar
from enum import Enum, auto
from typing import Final
from weakref import WeakSet

from .._asyncio.cancels import shutting_down, told_by_server
from .._asyncio.tasks import baseline_of, cancelling, running_loop
from .._asyncio.waiting import tasks_of
from .._contract.records import Signal
from .call import Call


class Response(Enum):
    """How far the response of a request is."""

    NONE = auto()
    BEGUN = auto()
    WHOLE = auto()
    """It has been sent: the client may go now, and that is no disconnect."""


class Application(Enum):
    """What the application that answers a request does."""

    RUNS = auto()
    RETURNED = auto()
    RAISED = auto()


class Request:
    """Links a client's going to the calls that were made for it, in child tasks too."""

    __slots__ = (
        "__weakref__",
        "app_was_told",
        "application",
        "baseline",
        "calls",
        "clock",
        "disconnect",
        "loop",
        "maybe",
        "on_call",
        "on_disconnect",
        "response",
        "signal",
        "stopped_by_guard_at",
        "task",
        "unguarded",
    )

    def __init__(self, task: "asyncio.Task[object] | None", clock: Callable[[], float]) -> None:
        self.task = task
        self.baseline = baseline_of(task)
        """How many cancels its task had been told before it."""
        self.loop = running_loop()
        self.clock = clock
        self.calls: set[Call] = set()
        """Its calls that have not ended."""
        self.maybe: set[Call] = set()
        """Calls of tasks that have its context, and for which it does not wait: as far as is known
        they are somebody else's."""
        self.unguarded = 0
        """How often the application has said that the guard is to leave it alone."""
        self.response = Response.NONE
        self.application = Application.RUNS
        self.app_was_told = False
        """The application knows of the disconnect: what it begins from then on it means to."""
        self.stopped_by_guard_at: int | None = None
        """How many cancels its task had been told when the guard told it to stop."""
        self.disconnect: float | None = None
        self.signal: Signal | None = None
        self.on_call: Callable[[], None] | None = None
        """Called in the request's loop when a call begins."""
        self.on_disconnect: Callable[[], None] | None = None
        """Called there at the disconnect, and again when something begins after it."""
        _requests.add(self)

    def __repr__(self) -> str:
        gone = "client gone" if self.disconnect is not None else "client there"
        states = f"{self.application.name}, response {self.response.name}".lower()
        return f"<Request: {states}, {gone}, {len(self.calls)} calls>"

    @property
    def finished(self) -> bool:
        """Whether the application has returned or raised."""
        return self.application is not Application.RUNS

    def began(self, call: Call) -> None:
        """Take a call that begins in this request, maybe in a loop and thread of its own."""
        if self.finished:
            return
        call.request = self
        if not self._makes(call):
            self.maybe.add(call)
            if self.loop is not None and not self.loop.is_closed():
                # An eager task begins while the request's own still runs.
                self.loop.call_soon_threadsafe(self._adopt)
            return
        self._take(call, told=self.app_was_told)

    def _take(self, call: Call, *, told: bool) -> None:
        """Take a call that is its own; ``told``: the application knew of the disconnect before."""
        call.unguarded = call.unguarded or self.unguarded > 0
        self.calls.add(call)
        if self.disconnect is not None and self.signal is not None and not told:
            call.disconnected(self.signal, self.disconnect)
            self._in_loop(self.on_disconnect)
        self._in_loop(self.on_call)

    def _makes(self, call: Call) -> bool:
        """Return whether a call is made for this request, whose context its task has.

        So has a worker that the request started, and that works for everybody. A task that the
        request waits for, or holds, works for it.
        """
        task, loop = call.driving.task, call.driving.loop
        if task is None or self.task is None or task is self.task or loop is not self.loop:
            return True
        return task in tasks_of(self.task)

    def _adopt(self) -> None:
        """Take the calls that turn out to be the request's, now that its task is suspended."""
        if self.finished:
            return
        for call in [call for call in list(self.maybe) if self._makes(call)]:
            self.maybe.discard(call)
            if not call.ended:
                before = self.disconnect is None or call.start <= self.disconnect
                self._take(call, told=self.app_was_told and not before)

    def ended(self, call: Call) -> None:
        """Let go of a call that has ended."""
        self.calls.discard(call)
        self.maybe.discard(call)

    @property
    def is_gone(self) -> bool:
        """Whether its client has gone, or its application ended by an exception."""
        return self.disconnect is not None or self.application is Application.RAISED

    def stop(self) -> None:
        """Tell its task to stop, for the guard."""
        if self.task is not None:
            self.stopped_by_guard_at = cancelling(self.task)
            self.task.cancel()

    def take_back(self) -> bool:
        """Take the guard's cancel back; return whether the task was told of no other since."""
        task, before = self.task, self.stopped_by_guard_at
        if before is None or task is None:
            return False
        alone = cancelling(task) <= before + 1
        if cancelling(task) > before:  # the application may have taken it back itself
            task.uncancel()
        return alone

    def thrown(self, exc: BaseException) -> None:
        """Take what is thrown into the application, before anything unwinds.

        A framework that answers from a child task tells that one to stop in words of its own: that
        the server shuts down is known here alone.
        """
        if isinstance(exc, asyncio.CancelledError) and (
            told_by_server(exc) or shutting_down(sys._getframe(1))
        ):
            for call in list(self.calls):
                call.server_stops()

    def responds(self) -> None:
        """Note that the response begins, which may be after the disconnect."""
        if self.response is Response.NONE:
            self.response = Response.BEGUN
        if self.disconnect is not None:
            self._in_loop(self.on_disconnect)

    def sends_last(self) -> None:
        """Note that the response's last piece is about to be sent."""
        self.response = Response.WHOLE

    def cannot_send(self) -> None:
        """Note that the application was told, by its ``send``, that the client has gone."""
        self.app_was_told = True
        if self.response is Response.WHOLE:
            self.response = Response.BEGUN
        self.disconnected(Signal.ASGI_SEND)

    def raised(self) -> None:
        """Note that the application has ended by an exception."""
        self.application = Application.RAISED

    def over(self) -> None:
        """Let go of what a request needs while it lasts; its application has ended."""
        if self.application is Application.RUNS:
            self.application = Application.RETURNED
        # Whoever keeps the request's context keeps no server by it, and no cycle is left.
        self.on_call = self.on_disconnect = None

    def disconnected(self, signal: Signal) -> None:
        """Take the server's word that the client has gone; the first counts."""
        if self.disconnect is not None or self.response is Response.WHOLE:
            return
        self.disconnect = self.clock()
        self.signal = signal
        for call in list(self.calls):
            call.disconnected(signal, self.disconnect)
        if self.maybe:
            self._adopt()
        if self.maybe and self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._adopt)  # what runs now is its task, or a child's
        self._in_loop(self.on_disconnect)

    def _in_loop(self, what: Callable[[], None] | None) -> None:
        # A synchronous endpoint runs in a thread, and may run a loop of its own there.
        if what is None or self.loop is None:
            return
        if running_loop() is self.loop:
            what()
        elif not self.loop.is_closed():
            self.loop.call_soon_threadsafe(what)


_PATIENCE = 0.5
"""Seconds that a server's shutdown waits for its last requests to unwind, at the most."""

_LOOK = 0.005
"""Seconds from one look to the next."""

_requests: "WeakSet[Request]" = WeakSet()


async def last_requests() -> None:
    """Wait, not for long, until the loop's requests are over and so are their calls.

    A server that shuts down tells its last requests to stop and goes on at once: what becomes of
    their calls is known some turns of the loop later, and would come too late to be exported.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + _PATIENCE
    while loop.time() < until and _has_more(loop):
        await asyncio.sleep(_LOOK)


def _has_more(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        requests = list(_requests)
    except RuntimeError:  # a server in another thread has begun one meanwhile: look again
        return True
    return any(one.loop is loop and (one.calls or not one.finished) for one in requests)


REQUEST: Final[ContextVar[Request | None]] = ContextVar("litellm_cancel_otel_request", default=None)
