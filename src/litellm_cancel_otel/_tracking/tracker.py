"""Follows the calls that run: begins them, knows the open streams, hands their endings on."""

from collections.abc import Callable

from opentelemetry import context as otel_context

from .._asyncio.generators import follow_generators, unfollow_generators
from .._calls.call import Call
from .._calls.description import Description
from .._calls.request import REQUEST
from .._calls.unguarded import UNGUARDED
from .._contract.exits import follow_exit, told_to_end
from .._contract.faults import Faults
from .._contract.forks import follow_forks
from .._contract.records import Ending, Outcome, Source, Stuck
from .._contract.settings import Settings
from .._telemetry.before_export import BeforeExport
from .._telemetry.instruments import Key
from .._telemetry.recorder import Recorder
from .bell import Door
from .clean_up import clean_up
from .endings import EndingNote, UsedNote
from .guard import Guard
from .holding import Holding
from .notes import Notes
from .unstoppable_log import UnstoppableLog
from .watchdog import Watchdog
from .watched_stream import WatchedStream


class Tracker:
    """The observer of every call: one for each ``CancelTelemetry``."""

    def __init__(
        self,
        recorder: Recorder,
        settings: Settings,
        faults: Faults,
        clock: Callable[[], float],
        flush: Callable[[], object],
        exports: BeforeExport,
        door: Door | None = None,
    ) -> None:
        self.recorder = recorder
        self.settings = settings
        self.faults = faults
        self.clock = clock
        self.flush = flush
        """Exports what was recorded; it may block, for 2 seconds at most."""
        self.guard = self._new_guard()
        self.before_first: Callable[[], object] | None = None
        """Is called once, before the first call."""
        self.checkpoint_interval = settings.checkpoint_interval if settings.guard else 0.0
        self.cancel_messages = settings.cancel_messages
        self.streams: dict[Call, WatchedStream] = {}
        """The streams that have not ended."""
        self._gone: dict[Key, dict[Call, float]] = {}
        """Of those, the streams whose client has gone, and when."""
        self._door = door
        self.watchdog = self._new_watchdog()
        self.notes = Notes(faults)
        self._unstoppable = UnstoppableLog()
        self._began = 0.0
        recorder.instruments.disconnected = self._since_disconnect
        follow_forks(self)
        follow_exit(self)
        self._exports = exports
        exports.do(self.settle)

    def settle(self) -> None:
        """Record what is noted."""
        self.notes.settle()

    def process_ends(self) -> None:
        """Record what is noted, and what waits for a close that will not come."""
        self.notes.at_once()
        self.recorder.flush()

    def close(self) -> None:
        """Watch no stream any more."""
        if self.watchdog is not None:
            self.watchdog.close()
        self.notes.close()
        self._exports.undo()
        unfollow_generators()

    def begin(self, description: Description, *, unguarded: bool = False) -> Call:
        """Return a new call, begun now, in the running task, context and request.

        The guard leaves it alone where it is ``unguarded``, or begins in a block that says so.
        """
        if self.before_first is not None:
            before_first, self.before_first = self.before_first, None
            before_first()
        call = Call(self, description, otel_context.get_current())
        if unguarded or UNGUARDED.get() > 0:
            call.unguarded = True
        request = REQUEST.get()
        if request is not None:
            request.began(call)
        return call

    def opened(self, call: Call) -> None:
        """Take a call's stream as open until the call ends."""
        subject = call.subject()
        key = self.recorder.instruments.key(subject)
        if self.watchdog is not None:
            self.streams[call] = self.watchdog.watch(call, key, subject)
        else:
            self.streams[call] = WatchedStream(call, key)
        self.recorder.instruments.opened(key)
        self._is_gone(call)  # before it had a stream
        self.notes.start()  # here, and not when the garbage collector drops it

    def driven(self, call: Call) -> None:
        """Take a stream that another task asks for chunks than before."""
        task, loop = call.driving.task, call.driving.loop
        stream = self.streams.get(call)
        if task is not None and loop is not None and stream is not None:
            follow_generators(loop)
            stream.holding.driven_by(task)

    def driver_done(self, call: Call) -> None:
        """Take a stream that has not ended and whose driver has."""
        stream = self.streams.get(call)
        if stream is not None:
            stream.holding.driver_done()
        self._changed(call)
        if self.guard is not None:
            self.guard.driver_done(call)

    def disconnected(self, call: Call) -> None:
        """Take a call whose client has gone."""
        self._is_gone(call)
        self._changed(call)

    def _is_gone(self, call: Call) -> None:
        stream, sign = self.streams.get(call), call.signs.disconnect
        if stream is not None and sign is not None:
            self._gone.setdefault(stream.key, {})[call] = sign.at

    def dropped(self, call: Call) -> None:
        """Take a call that nobody refers to any more; the garbage collector may be what tells."""
        self.notes.leave(call)

    def acted(self, call: Call, action: str) -> None:
        """Count an action of the guard's."""
        instruments = self.recorder.instruments
        stream = self.streams.get(call)
        key = instruments.key(call.subject()) if stream is None else stream.key
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
        key = instruments.key(call.subject()) if stream is None else stream.key
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
        note = EndingNote(
            self.recorder, ending, call.parent, None if stream is None else stream.first
        )
        self._exports.follow()
        self.notes.put_off(note)
        if ending.verdict.source is Source.SHUTDOWN or told_to_end():
            self.notes.settle()
        if ending.unstoppable:
            self._unstoppable.tell(ending)
        # A response that was read to its end is LiteLLM's to close, and may be about to be.
        if ending.upstream_open and ending.verdict.outcome is not Outcome.COMPLETED:
            clean_up(call, note, self.notes, self.guard, self.settings.upstream_wait)

    @property
    def waits_for_usage(self) -> bool:
        """Whether a whole answer's length may still be to be told."""
        return bool(self.notes.pending) or self.recorder.waits_for_usage

    def used(self, call_id: str, output_tokens: int) -> None:
        """Take LiteLLM's count of a whole answer's tokens, which it makes after the call's end."""
        if self.notes.pending:  # that call's own end may be among them
            self.notes.put_off(UsedNote(self.recorder, call_id, output_tokens))
        else:
            self.recorder.used(call_id, output_tokens)

    def lost(self, call: Call) -> None:
        """Clean up behind a call whose end could not be told."""
        try:
            self._forget(call)
            if call.upstream is not None and call.upstream.is_open(self.clock()):
                clean_up(call, None, self.notes, self.guard, self.settings.upstream_wait)
        except Exception as fault:  # noqa: BLE001 - ours: nothing is left to try
            self.faults.note("call.lost", fault)

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
            if call.signs.disconnect is not None:
                self._gone.get(stream.key, {}).pop(call, None)
            self.recorder.instruments.closed(stream.key)
        if self.guard is not None:
            self.guard.forget(call)
        return stream

    def _since_disconnect(self) -> list[tuple[Key, float]]:
        """Return the seconds since the first client went whose stream is still open; else 0."""
        now = self.clock()
        # One step of the interpreter each, which no other thread comes in between: 15 ns a stream.
        return [(key, now - min(gone.values(), default=now)) for key, gone in [*self._gone.items()]]

    def _new_guard(self) -> Guard | None:
        return Guard(self.settings, self.faults, self._holding) if self.settings.guard else None

    def _holding(self, call: Call) -> Holding | None:
        stream = self.streams.get(call)
        return None if stream is None else stream.holding

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
        self._gone = {}
        self.faults.counts.clear()
        self.recorder.forked()
        self.guard = self._new_guard()
        self.notes = Notes(self.faults)
        if self.watchdog is not None:
            self.watchdog.forked()
        self.watchdog = self._new_watchdog()
