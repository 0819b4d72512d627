"""The watchdog: a thread that finds the streams that are stuck while they are, and says where.

A thread, so that it sees a blocked event loop too. The loops hand it what is new through a deque
and never wait for it; it keeps no stream alive, and sleeps as long as none is open.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from .._asyncio.loop_lag import LoopLag
from .._calls.call import Call
from .._contract.faults import Faults
from .._contract.records import Subject, Times
from .._contract.settings import Settings
from .._telemetry.instruments import Key
from .._telemetry.recorder import Recorder
from .bell import Bell, Door
from .overdue import Agenda, Look, Patience
from .stuck_log import StuckLog
from .watched_stream import WatchedStream, streams_of

EXPLAINED_AT_ONCE: Final = 20
"""Stuck streams that get their await chain and span in one tick; the gauge has them all at once."""

_SPARE: Final = 64
"""Entries of streams that have ended which the agenda may hold while any stream is open."""


class Watchdog:
    """Looks at every open stream when it is due. ``streams`` are those that have not ended."""

    def __init__(
        self,
        streams: Mapping[Call, WatchedStream],
        recorder: Recorder,
        settings: Settings,
        faults: Faults,
        clock: Callable[[], float],
        door: Door | None = None,
    ) -> None:
        self._streams = streams
        self._recorder = recorder
        self._settings = settings
        self._faults = faults
        self._clock = clock
        self._patience = lru_cache(maxsize=256)(self._patience_with)
        self._log = StuckLog(faults)
        self._pinging = faults.contained("watchdog.ping")
        self._closed = False
        self._died = False
        self._thread: threading.Thread | None = None
        self._bell = Bell(door, faults)
        self._begin()

    def _begin(self) -> None:
        self._news: deque[WatchedStream] = deque()
        self._agenda: Agenda[WatchedStream] = Agenda()
        self._stuck: dict[WatchedStream, None] = {}
        self._unexplained: deque[WatchedStream] = deque()
        self._loops: dict[asyncio.AbstractEventLoop, LoopLag] = {}
        self._awake = True

    # In the loops' threads

    def watch(self, call: Call, key: Key, subject: Subject) -> WatchedStream:
        """Return a call's stream, watched until it ends."""
        if self._closed:
            return WatchedStream(call, key)
        stream = WatchedStream(call, key, self, self._patience(subject.provider, subject.model))
        if self._thread is None:
            self._start()
        stream.changed()
        return stream

    def hand_over(self, stream: WatchedStream) -> None:
        """Have the thread look at a stream at its next tick."""
        if self._closed:
            return
        self._news.append(stream)
        if not self._awake:
            self._awake = True
            self._bell.ring()

    def lag(self, loop: asyncio.AbstractEventLoop | None, since: float, now: float) -> float:
        """Return a loop's worst lag from a moment until now, 0 where it is not known."""
        lag = None if loop is None else self._loops.get(loop)
        return 0.0 if lag is None else lag.worst(since, now)

    def close(self) -> None:
        """Stop; the streams that are open still are no longer watched."""
        self._closed = True
        self._bell.ring()

    def forked(self) -> None:
        """Let go, in a forked child, of what is the parent's: its thread goes on there."""
        self._closed = True
        self._bell.shut()

    # The thread

    def _start(self) -> None:
        self._thread = threading.Thread(
            target=self._live, name="litellm-cancel-otel-watchdog", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError as fault:  # no thread is to be had, or the process is about to end
            self._faults.note("watchdog", fault)
            self._closed = True

    def _live(self) -> None:
        try:
            self._bell.open()
            self._run()
            self._bell.shut()
        except BaseException as fault:  # noqa: BLE001 - a thread of ours: nobody else would hear of it
            self._faults.note("watchdog", fault)
            self._bury()

    def _run(self) -> None:
        while not self._closed:
            if self._streams or self._stuck or self._news:
                self._bell.wait(self._settings.watchdog_interval)
                if not self._closed:
                    self.tick()
                continue
            self._awake = False
            if not self._news:  # what is handed over from here on rings
                self._bell.wait(None)

    def _bury(self) -> None:
        """Begin again with every stream that is open; after a second death, give up."""
        for stream in self._stuck:
            self._count(stream, -1)
            stream.is_cleared()
        self._begin()
        if self._died or self._closed:
            self._closed = True
            self._bell.shut()
            return
        self._died = True
        for _, stream in streams_of(self._streams):
            stream.counted = False
            self._news.append(stream)
        self._start()

    def tick(self) -> None:
        """Look at what is new, due or stuck; say what is found; ask the loops how late they are."""
        now = self._clock()
        self._log.tick(now)
        for _ in range(len(self._news)):
            stream = self._news.popleft()
            self._count_for_loop(stream)
            self._look(stream, now)
        for stream in self._agenda.take(now):
            self._look(stream, now)
        for stream in list(self._stuck):
            self._look(stream, now)
        self._explain()
        self._ping()
        spare = _SPARE if self._streams else 0
        if len(self._agenda) > 2 * len(self._streams) + spare:
            self._agenda.keep(lambda stream: stream.call is not None)

    def _look(self, stream: WatchedStream, now: float) -> None:
        try:
            self._judge(stream, now)
        except Exception as fault:  # noqa: BLE001 - ours: the other streams are looked at all the same
            self._faults.note("watchdog.look", fault)

    def _judge(self, stream: WatchedStream, now: float) -> None:
        found = stream.look(now)
        if found is not None and found.reason is not None:
            if stream.stuck is None:
                self._found(stream, found, now)
            return
        if stream.stuck is not None:
            self._cleared(stream, now, ended=found is None)
        if found is not None:
            self._agenda.put(stream, found.due)

    def _found(self, stream: WatchedStream, found: Look, now: float) -> None:
        stream.is_found(found, now)
        self._stuck[stream] = None
        self._unexplained.append(stream)
        self._count(stream, 1)

    def _cleared(self, stream: WatchedStream, now: float, *, ended: bool) -> None:
        self._count(stream, -1)
        stuck, case = stream.stuck, stream.case
        logged = case is not None and case.logged
        stream.is_cleared()
        del self._stuck[stream]
        if logged and stuck is not None and case is not None and case.facts is not None:
            self._log.cleared(case.facts, stuck, now, ended=ended)

    def _count(self, stream: WatchedStream, by: int) -> None:
        if stream.stuck is not None:
            self._recorder.instruments.stuck(stream.key, stream.stuck.reason, by)

    # What is said

    def _explain(self) -> None:
        for _ in range(min(len(self._unexplained), EXPLAINED_AT_ONCE)):
            stream = self._unexplained.popleft()
            try:
                self._explain_one(stream)
            except Exception as fault:  # noqa: BLE001 - an exporter or a log handler of the host's may raise
                self._faults.note("watchdog.explain", fault)

    def _explain_one(self, stream: WatchedStream) -> None:
        call, case = stream.call, stream.is_explained()
        if call is None or case is None or case.stuck is None or case.facts is None:
            return
        facts, stuck = case.facts, case.stuck
        progress, disconnect = call.progress, call.signs.disconnect
        if case.first is None:
            gone = None if disconnect is None else disconnect.at
            times = Times(call.start, stuck.found, progress.first_chunk, gone)
            case.first = self._recorder.stuck(facts, times, progress.chunks, stuck, call.parent)
        case.logged = self._log.found(facts, stuck, progress.chunks)

    # The loops

    def _count_for_loop(self, stream: WatchedStream) -> None:
        loop, is_open = stream.loop, stream.call is not None
        if not is_open:
            stream.loop = None  # the agenda may keep the record for a while, and not a closed loop
        if loop is None or stream.counted is is_open:
            return
        stream.counted = not stream.counted
        lag = self._loops.get(loop)
        if lag is None:
            lag = self._loops[loop] = LoopLag(loop, self._clock)
        lag.streams += 1 if stream.counted else -1

    def _ping(self) -> None:
        for loop, lag in list(self._loops.items()):
            for seconds in lag.measured():
                self._recorder.instruments.lag(seconds)
            if not lag.streams:
                del self._loops[loop]
            elif self._settings.loop_lag:
                with self._pinging:  # a loop of the application's own make may refuse
                    lag.ping()

    def _patience_with(self, provider: str, model: str) -> Patience:
        limit = self._settings.limit(provider, model)
        return Patience(self._settings.stuck_after_disconnect, limit.no_chunk, limit.first_chunk)
