"""Follows the calls that run: begins them, knows the open streams, hands their endings on."""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple
from weakref import WeakMethod

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from .._asyncio.generators import follow_generators
from .._asyncio.tasks import running_loop
from .._calls.call import Call
from .._calls.request import REQUEST
from .._calls.unguarded import UNGUARDED
from .._calls.upstream import Upstream
from .._contract.faults import Faults
from .._contract.records import CallFacts, Ending, Outcome
from .._contract.settings import Settings
from .._telemetry.instruments import Key
from .._telemetry.recorder import LateClose, Recorder
from .guard import Guard
from .notes import Notes
from .watch import Watch, open_streams
from .watchdog import Watchdog


class Tracker:
    """The sink of every call: one for each ``CancelTelemetry``."""

    def __init__(
        self,
        recorder: Recorder,
        settings: Settings,
        faults: Faults,
        clock: Callable[[], float],
        flush: Callable[[], object],
    ) -> None:
        self.recorder = recorder
        self.settings = settings
        self.faults = faults
        self.clock = clock
        self.flush = flush
        """Exports what was recorded; it may block, for 2 seconds at most."""
        self.guard = Guard(settings, faults) if settings.guard else None
        self.checkpoint_interval = settings.checkpoint_interval if settings.guard else 0.0
        self.cancel_messages = settings.cancel_messages
        self.streams: dict[Call, Key] = {}
        """The streams that have not ended, each with the key that it was counted under."""
        self.watchdog = self._new_watchdog()
        self.notes = Notes(faults)
        self._began = 0.0
        recorder.instruments.disconnected = self._disconnected
        if hasattr(os, "register_at_fork"):
            forked = WeakMethod(self._forked)
            os.register_at_fork(after_in_child=lambda: (method := forked()) and method())

    def close(self) -> None:
        """Watch no stream any more."""
        if self.watchdog is not None:
            self.watchdog.close()
        self.notes.close()

    def begin(self, describe: Callable[[Call], CallFacts], *, unguarded: bool = False) -> Call:
        """Return a new call, begun now, in the running task, context and request.

        The guard leaves it alone where it is ``unguarded``, or begins in a block that says so.
        """
        call = Call(self, describe, otel_context.get_current())
        call.unguarded = unguarded or UNGUARDED.get() > 0
        request = REQUEST.get()
        if request is not None:
            request.began(call)
        return call

    def opened(self, call: Call) -> None:
        """Take a call's stream as open until the call ends."""
        call.is_stream = True
        call.requesting = False
        facts = call.describe(call)
        key = self.recorder.instruments.key(facts)
        self.streams[call] = key
        self.recorder.instruments.opened(key)
        if self.watchdog is not None:
            self.watchdog.opened(call, key, facts)
        self.notes.start()
        call.follow()

    def driven(self, call: Call) -> None:
        """Take a stream that another task asks for chunks than before."""
        if self.guard is not None and call.driver is not None and call.loop is not None:
            follow_generators(call.loop)

    def driver_done(self, call: Call) -> None:
        """Take a stream that has not ended and whose driver has."""
        if self.guard is not None:
            self.guard.driver_done(call)

    def dropped(self, call: Call) -> None:
        """Take a call that nobody refers to any more; the garbage collector may be what tells."""
        self.notes.leave(call)

    def acted(self, call: Call, action: str) -> None:
        """Count an action of the guard's."""
        instruments = self.recorder.instruments
        key = self.streams.get(call) or instruments.key(call.describe(call))
        instruments.guarded(key, action)

    def completed(self, call: Call) -> bool:
        """Count a call that ran to its end, where no span is wanted of it: the common case."""
        if call.start < self._began:  # the parent process's, and counted there
            return True
        found = call.watch is not None and call.watch.found
        if self.settings.spans == "all" or found or call.disconnect is not None:
            return False
        key = self._forget(call)
        instruments = self.recorder.instruments
        instruments.count(key or instruments.key(call.describe(call)), Outcome.COMPLETED)
        return True

    def ended(self, call: Call, ending: Ending) -> None:
        """Record a call's one end, and see to it that nothing stays open behind it."""
        if call.start < self._began:  # the parent process's, seen by a forked child's collector
            return
        parent = call.parent if isinstance(call.parent, Context) else None
        first = call.watch.first if isinstance(call.watch, Watch) else None
        self._forget(call)
        late = None
        try:
            late = self.recorder.record(ending, parent, first)
        except Exception as fault:  # noqa: BLE001 - an exporter of the host's may raise: we clean up all the same
            self.faults.note("recorder", fault)
        # A response that was read to its end is LiteLLM's to close, and may be about to be.
        if ending.upstream_open and ending.verdict.outcome is not Outcome.COMPLETED:
            self._clean_up(call, late)

    def lost(self, call: Call) -> None:
        """Clean up behind a call whose end could not be told."""
        try:
            self._forget(call)
            if call.upstream is not None and call.upstream.is_open(self.clock()):
                self._clean_up(call, None)
        except Exception as fault:  # noqa: BLE001 - ours: nothing is left to try
            self.faults.note("call.lost", fault)

    def _clean_up(self, call: Call, late: LateClose | None) -> None:
        upstream, loop = call.upstream, call.loop
        if upstream is None or loop is None:
            return
        if late is not None:
            upstream.on_closed = lambda at: self.notes.leave(_LateNote(late, at))
        # A stream may be dropped in another thread, by the garbage collector.
        in_loop = partial(self._after_end, loop, call, upstream, late)
        if running_loop() is loop:
            in_loop()
        elif not loop.is_closed():
            loop.call_soon_threadsafe(in_loop)

    def _forget(self, call: Call) -> Key | None:
        if call.request is not None:
            call.request.ended(call)
            call.request = None
        if isinstance(call.watch, Watch):
            call.watch.end()
        key = self.streams.pop(call, None)
        if key is not None:
            self.recorder.instruments.closed(key)
        if self.guard is not None:
            self.guard.forget(call)
        return key

    def _disconnected(self) -> list[tuple[Key, float]]:
        now = self.clock()
        ages = [(self.streams.get(call), call.disconnect) for call in open_streams(self.streams)]
        return [(key, now - at) for key, at in ages if key is not None and at is not None]

    def _new_watchdog(self) -> Watchdog | None:
        if not self.settings.watchdog:
            return None
        return Watchdog(self.streams, self.recorder, self.settings, self.faults, self.clock)

    def _forked(self) -> None:
        """Begin anew in a forked child: its parent goes on with the calls of before."""
        self._began = self.clock()
        self.streams = {}
        self.faults.counts.clear()
        self.recorder.forked()
        self.guard = Guard(self.settings, self.faults) if self.settings.guard else None
        self.notes = Notes(self.faults)
        if self.watchdog is not None:
            self.watchdog.close()
        self.watchdog = self._new_watchdog()

    def _after_end(
        self,
        loop: asyncio.AbstractEventLoop,
        call: Call,
        upstream: Upstream,
        late: LateClose | None,
    ) -> None:
        if upstream.is_read():
            # A task of LiteLLM's own reads on: the proxy bills what was generated for nobody.
            upstream.on_closed = None
            if late is not None:
                late.give_up()
            return
        if late is not None:
            loop.call_later(self.settings.upstream_wait, late.give_up)
        if self.guard is not None:
            self.guard.close_upstream(call, upstream)


class _LateNote(NamedTuple):
    """A close that comes after its call's end; a coroutine that is destroyed may tell it too."""

    late: LateClose
    at: float

    def settle(self) -> None:
        self.late.closed(self.at)
