"""The guard: closes what a disconnect, or a driver that is done, has left open.

What it leaves alone matters as much: a request that is at work of its own; a stream that something
alive can still reach, for as long as somebody goes on with it; one that a task of its own drains on
purpose (LiteLLM's proxy does, to bill what was generated); one whose driver returned in peace while
its client is there; and whatever the application says it means to go on with.
"""

import asyncio
import gc
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter
from weakref import ref

from .._asyncio.generators import (
    AsyncGenerator,
    Holders,
    consumers_of,
    held_by,
    is_suspended,
)
from .._asyncio.tasks import running_loop
from .._asyncio.waiting import waits_for_nothing_else
from .._calls.call import Call
from .._calls.request import Application, Request, Response
from .._calls.upstream import Upstream
from .._contract.faults import Faults
from .._contract.records import Action
from .._contract.settings import Settings
from .closing import Closing
from .holding import Holding, candidates
from .turns import Turns

_LOOK = 0.002
"""Seconds that are spent in one turn of the loop on who holds what, so that it holds nobody up."""

_SETTLE = 0.005
"""Seconds that the frames of a driver that failed have to let go of their stream."""

_BETWEEN = 0.02
"""Seconds between two collections of what is young, at the least."""

_YOUNG = 50_000
"""Allocations since the last collection that make the next one too long to be asked for."""

_LOOK_AGAIN, _LOOK_SELDOM = 0.02, 1.0
"""Seconds until a request that is at work of its own is looked at again: the first, the longest."""


class Guard:
    """Watches the drivers of open streams and cleans up behind those that will not return."""

    def __init__(
        self,
        settings: Settings,
        faults: Faults,
        holding: Callable[[Call], Holding | None],
    ) -> None:
        self._settings = settings
        self._faults = faults
        self._holding = holding
        """Returns what is kept of the drivers of a call's stream."""
        self._turns = Turns(faults)
        self.closing = Closing(settings.close_timeout, faults)
        self._waiting: set[Call] = set()
        """Streams without a driver, in their grace."""
        self._unreached: dict[asyncio.AbstractEventLoop, list[Call]] = {}
        """Streams that may be out of everybody's reach."""
        self._collected = float("-inf")
        self._orphans: dict[asyncio.AbstractEventLoop, set[Call]] = {}

    # Requests

    def disconnected(self, request: Request, loop: asyncio.AbstractEventLoop) -> None:
        """Give the server and its framework a grace to stop the request, then stop it."""
        grace = self._settings.disconnect_grace
        loop.call_later(grace, self._turns.soon, loop, partial(self._stop, request, grace))

    def _stop(self, request: Request, grace: float) -> None:
        """Stop a request that waits for nothing but its gone client, or the provider for its sake.

        One that is at work of its own is looked at again later; one that knows of the disconnect
        means what it does.
        """
        task, loop = request.task, request.loop
        if request.finished or request.app_was_told or request.unguarded:
            return
        if request.stopped_by_guard_at is not None or request.response is Response.NONE:
            return
        if task is None or loop is None:
            return
        left = [
            call
            for call in list(request.calls)
            if call.signs.disconnect is not None
            and call.driving.loop is loop
            and not call.unguarded
        ]
        if not left:
            return
        if not waits_for_nothing_else(task, request.baseline, partial(_may_stop, request)):
            later = min(max(2 * grace, _LOOK_AGAIN), _LOOK_SELDOM)
            loop.call_later(later, self._turns.soon, loop, partial(self._stop, request, later))
            return
        for call in left:
            call.guarded()
            call.acted(Action.CLOSED_ON_DISCONNECT)
        request.stop()

    def finished(self, request: Request) -> None:
        """Take a request whose application has returned; what it left behind is looked at."""
        if not request.is_gone:
            return
        raised = request.application is Application.RAISED
        for call in list(request.calls):
            if call.has_stream and call.driving.task is request.task:
                call.let_go(failed=raised)

    # Orphans

    def driver_done(self, call: Call) -> None:
        """Take a stream that nobody drives any more, and that has not ended."""
        driving, request = call.driving, call.request
        loop = driving.loop
        gone = request is not None and request.is_gone and call in request.calls
        if loop is None or loop.is_closed() or call.unguarded or not (driving.failed or gone):
            return
        if running_loop() is not loop:  # that of a thread in which an endpoint ran
            loop.call_soon_threadsafe(self.driver_done, call)
            return
        if call.ended or driving.done_at is None:
            return
        if driving.failed:
            self._collect_soon(loop, call)
        if call not in self._waiting:
            self._wait(loop, call, self._settings.orphan_grace)

    def _wait(self, loop: asyncio.AbstractEventLoop, call: Call, seconds: float) -> None:
        # By a weak reference: a loop that ends before it is due keeps nothing alive.
        self._waiting.add(call)
        loop.call_later(seconds, self._turns.soon, loop, partial(self._due, ref(call)))

    def forget(self, call: Call) -> None:
        """Let go of a call that has ended."""
        self._waiting.discard(call)

    def _collect_soon(self, loop: asyncio.AbstractEventLoop, call: Call) -> None:
        """Have what nothing can reach any more found: a cycle of an exception and its frames."""
        if loop not in self._unreached:
            for one in [one for one in self._unreached if one.is_closed()]:
                del self._unreached[one]
            wait = max(_SETTLE, self._collected + _BETWEEN - perf_counter())
            loop.call_later(wait, self._collect, loop)
        self._unreached.setdefault(loop, []).append(call)

    def _collect(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the collector look at what is young.

        Whether anything that lives can reach a stream is the collector's to say, and nobody else's.
        What keeps an abandoned stream alive is the exception of the task that was cancelled, which
        is as young as the cancel.
        """
        orphans = [call for call in self._unreached.pop(loop, ()) if _nobody_drives(call)]
        # An application that has turned the collector off, or has it come seldom, means to.
        if not orphans or not gc.isenabled() or gc.get_count()[0] > _YOUNG:
            return
        for call in orphans:
            call.guarded()
        gc.collect(1)
        self._collected = perf_counter()
        for call in orphans:
            if call.signs.drop is None:  # it can be reached: somebody may go on with it
                call.guarded(call in self.closing.calls)

    def _due(self, waiting: "ref[Call]") -> None:
        call = waiting()
        if call is None:
            return
        self._waiting.discard(call)
        loop, since = call.driving.loop, call.driving.done_at
        if loop is None or since is None or call.ended:
            return  # somebody has taken it over; when that one is done it begins anew
        left = since + self._settings.orphan_grace - call.clock()
        if left > 0:
            self._wait(loop, call, left)
            return
        if loop not in self._orphans:
            self._forget_closed_loops()
            loop.call_soon(self._sweep, loop)
        self._orphans.setdefault(loop, set()).add(call)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close the orphans that nobody has taken over within the grace, consumers first."""
        orphans = [one for one in self._orphans.pop(loop, ()) if _nobody_drives(one)]
        if orphans:
            # What it costs depends on these streams' own generators alone, not on the others'.
            generators = candidates(map(self._holding, orphans), loop)
            self._look(loop, orphans, iter(generators), {})

    def _look(
        self,
        loop: asyncio.AbstractEventLoop,
        orphans: list[Call],
        generators: Iterator[AsyncGenerator],
        holders: Holders,
    ) -> None:
        """Look who holds what, for a moment in each turn; then close the orphans."""
        until = perf_counter() + _LOOK
        try:
            for generator in generators:
                if is_suspended(generator):
                    holders.update(held_by(generator))
                    if perf_counter() > until:
                        loop.call_soon(self._look, loop, orphans, generators, holders)
                        return
        except Exception as fault:  # noqa: BLE001 - ours: what was found so far has to do
            self._faults.note("guard.look", fault)
        for call in orphans:
            self._turns.soon(loop, partial(self._close, loop, call, holders))

    def _close(self, loop: asyncio.AbstractEventLoop, call: Call, holders: Holders) -> None:
        stream = None if call.stream is None else call.stream()
        if stream is not None and _nobody_drives(call) and call not in self.closing.calls:
            call.guarded()
            call.acted(Action.CLOSED_ORPHAN)
            self.closing.stream(loop, call, stream, consumers_of(stream, holders))

    def _forget_closed_loops(self) -> None:
        for loop in [loop for loop in self._orphans if loop.is_closed()]:
            self._orphans.pop(loop, None)
        self._turns.forget_closed()

    # Upstreams

    def close_upstream(self, call: Call, upstream: Upstream) -> None:
        """Close a provider's response that its ended call has left open; in the call's loop."""
        loop = call.driving.loop
        if loop is not None and upstream.connection is not None:
            self.closing.upstream(loop, call, upstream)


def _may_stop(request: Request, awaited: object) -> bool | None:
    """Return whether a stream need not be waited for; None where this is no stream."""
    call = getattr(awaited, "call", None)
    return call in request.calls and not call.unguarded if isinstance(call, Call) else None


def _nobody_drives(call: Call) -> bool:
    # One that was dropped already ends by that, though it may not have been told yet.
    return not call.ended and call.driving.done_at is not None and call.signs.drop is None
