"""Follows the calls that run: begins them, knows the open streams, hands their endings on."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from opentelemetry import context as otel_context

from .._asyncio.generators import follow_generators
from .._asyncio.tasks import running_loop
from .._calls.call import Call
from .._calls.description import Description
from .._calls.request import REQUEST
from .._calls.unguarded import UNGUARDED
from .._calls.upstream import Upstream
from .._contract.faults import Faults
from .._contract.forks import follow_forks
from .._contract.records import Ending, Outcome, Stuck
from .._contract.settings import Settings
from .._telemetry.instruments import Key
from .._telemetry.recorder import LateClose, Recorder
from .bell import Door
from .guard import Guard
from .notes import Notes
from .unstoppable_log import UnstoppableLog
from .watchdog import Watchdog
from .watched_stream import WatchedStream, streams_of


class Tracker:
    """The observer of every call: one for each ``CancelTelemetry``."""

    def __init__(
        self,
        recorder: Recorder,
        settings: Settings,
        faults: Faults,
        clock: Callable[[], float],
        flush: Callable[[], object],
        door: Door | None = None,
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
        self.streams: dict[Call, WatchedStream] = {}
        """The streams that have not ended."""
        self._door = door
        self.watchdog = self._new_watchdog()
        self.notes = Notes(faults)
        self._unstoppable = UnstoppableLog()
        self._began = 0.0
        recorder.instruments.disconnected = self._since_disconnect
        follow_forks(self)

    def close(self) -> None:
        """Watch no stream any more."""
        if self.watchdog is not None:
            self.watchdog.close()
        self.notes.close()

    def begin(self, description: Description, *, unguarded: bool = False) -> Call:
        """Return a new call, begun now, in the running task, context and request.

        The guard leaves it alone where it is ``unguarded``, or begins in a block that says so.
        """
        call = Call(self, description, otel_context.get_current())
        if unguarded or UNGUARDED.get() > 0:
            call.unguarded = True
        request = REQUEST.get()
        if request is not None:
            request.began(call)
        return call

    def opened(self, call: Call) -> None:
        """Take a call's stream as open until the call ends."""
        facts = call.facts()
        key = self.recorder.instruments.key(facts)
        if self.watchdog is not None:
            self.streams[call] = self.watchdog.watch(call, key, facts)
        else:
            self.streams[call] = WatchedStream(call, key)
        self.recorder.instruments.opened(key)
        self.notes.start()

    def driven(self, call: Call) -> None:
        """Take a stream that another task asks for chunks than before."""
        loop = call.driving.loop
        if self.guard is not None and call.driving.task is not None and loop is not None:
            follow_generators(loop)

    def driver_done(self, call: Call) -> None:
        """Take a stream that has not ended and whose driver has."""
        self._changed(call)
        if self.guard is not None:
            self.guard.driver_done(call)

    def disconnected(self, call: Call) -> None:
        """Take a call whose client has gone."""
        self._changed(call)

    def dropped(self, call: Call) -> None:
        """Take a call that nobody refers to any more; the garbage collector may be what tells."""
        self.notes.leave(call)

    def acted(self, call: Call, action: str) -> None:
        """Count an action of the guard's."""
        instruments = self.recorder.instruments
        stream = self.streams.get(call)
        key = instruments.key(call.facts()) if stream is None else stream.key
        instruments.guarded(key, action)

    def completed(self, call: Call) -> bool:
        """Count a call that ran to its end, where no span is wanted of it: the common case."""
        if call.start < self._began:  # the parent process's, and counted there
            return True
        if self.settings.spans == "all" or call.signs.disconnect is not None:
            return False
        stream = self.streams.get(call)
        if stream is not None and stream.found:
            return False
        instruments = self.recorder.instruments
        key = instruments.key(call.facts()) if stream is None else stream.key
        self._forget(call)
        instruments.count(key, Outcome.COMPLETED)
        return True

    def times_stuck(self, call: Call) -> tuple[Stuck, ...]:
        """Return the times that the call's stream was found stuck."""
        stream = self.streams.get(call)
        return () if stream is None else stream.found

    def blocked(self, call: Call, since: float, now: float) -> float | None:
        """Return for how long the stream's event loop was blocked, None where it was not."""
        stream = self.streams.get(call)
        return None if stream is None else stream.blocked(since, now)

    def ended(self, call: Call, ending: Ending) -> None:
        """Record a call's one end, and see to it that nothing stays open behind it."""
        if call.start < self._began:  # the parent process's, seen by a forked child's collector
            return
        stream = self._forget(call)
        late = None
        try:
            first = None if stream is None else stream.first
            late = self.recorder.record(ending, call.parent, first)
        except Exception as fault:  # noqa: BLE001 - an exporter of the host's may raise: we clean up all the same
            self.faults.note("recorder", fault)
        if ending.unstoppable:
            self._unstoppable.tell(ending)
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
        upstream, loop = call.upstream, call.driving.loop
        if upstream is None or loop is None:
            return
        if late is not None:
            self.notes.start()  # no stream may have had it started by now
            upstream.on_closed = lambda at: self.notes.leave(_LateNote(late, at))
        # A stream may be dropped in another thread, by the garbage collector.
        in_loop = partial(self._after_end, loop, call, upstream, late)
        if running_loop() is loop:
            in_loop()
        elif not loop.is_closed():
            loop.call_soon_threadsafe(in_loop)

    def _changed(self, call: Call) -> None:
        stream = self.streams.get(call)
        if stream is not None:
            stream.changed()

    def _forget(self, call: Call) -> WatchedStream | None:
        if call.request is not None:
            call.request.ended(call)
            call.request = None
        stream = self.streams.pop(call, None)
        if stream is not None:
            stream.ended()
            self.recorder.instruments.closed(stream.key)
        if self.guard is not None:
            self.guard.forget(call)
        return stream

    def _since_disconnect(self) -> list[tuple[Key, float]]:
        """Return for each stream whose client has gone the seconds since then."""
        now = self.clock()
        gone = [(stream.key, call.signs.disconnect) for call, stream in streams_of(self.streams)]
        return [(key, now - sign.at) for key, sign in gone if sign is not None]

    def _new_watchdog(self) -> Watchdog | None:
        if not self.settings.watchdog:
            return None
        return Watchdog(
            self.streams, self.recorder, self.settings, self.faults, self.clock, self._door
        )

    def forked(self) -> None:
        """Begin anew in a forked child: its parent goes on with the calls of before."""
        self._began = self.clock()
        self.streams = {}
        self.faults.counts.clear()
        self.recorder.forked()
        self.guard = Guard(self.settings, self.faults) if self.settings.guard else None
        self.notes = Notes(self.faults)
        if self.watchdog is not None:
            self.watchdog.forked()
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
