"""One request of a server's, as far as the calls made in it are concerned."""

import asyncio
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final
from weakref import WeakSet

from .._asyncio.cancels import shutting_down, told_by_server
from .._asyncio.tasks import baseline_of, cancelling, running_loop
from .._asyncio.waiting import tasks_of
from .._contract.records import Signal
from .call import Call


class Request:
    """Links a client's going to the calls that were made for it, in child tasks too."""

    __slots__ = (
        "__weakref__",
        "aborted",
        "calls",
        "clock",
        "complete",
        "disconnect",
        "finished",
        "loop",
        "maybe",
        "on_call",
        "on_disconnect",
        "responding",
        "signal",
        "since",
        "stopped_at",
        "stopped_by_guard",
        "task",
        "told",
        "unguarded",
    )

    def __init__(self, task: "asyncio.Task[object] | None", clock: Callable[[], float]) -> None:
        self.task = task
        self.since = baseline_of(task)
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
        self.stopped_by_guard = False
        """The guard told its task to stop."""
        self.stopped_at = 0
        """How many cancels its task had been told by then."""
        self.disconnect: float | None = None
        self.signal: Signal | None = None
        self.on_call: Callable[[], None] | None = None
        """Called in the request's loop when a call begins."""
        self.on_disconnect: Callable[[], None] | None = None
        """Called there at the disconnect, and again when something begins after it."""
        _requests.add(self)

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
        self._take(call, told=self.told)

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
        task = call.driver
        if task is None or self.task is None or task is self.task or call.loop is not self.loop:
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
                self._take(call, told=self.told and not before)

    def ended(self, call: object) -> None:
        """Let go of a call that has ended."""
        self.calls.discard(call)
        self.maybe.discard(call)

    @property
    def is_gone(self) -> bool:
        """Whether its client has gone, or its application ended by an exception."""
        return self.disconnect is not None or self.aborted

    def stop(self) -> None:
        """Tell its task to stop, for the guard."""
        if self.task is not None:
            self.stopped_by_guard = True
            self.stopped_at = cancelling(self.task)
            self.task.cancel()

    def take_back(self) -> bool:
        """Take the guard's cancel back; return whether the task was told of no other since."""
        task = self.task
        if not self.stopped_by_guard or task is None:
            return False
        alone = cancelling(task) <= self.stopped_at + 1
        if cancelling(task) > self.stopped_at:  # the application may have taken it back itself
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
                call.shutdown = True

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
