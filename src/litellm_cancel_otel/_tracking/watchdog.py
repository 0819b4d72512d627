"""The watchdog: a thread that finds the streams that are stuck while they are, and says where.

A thread, so that it sees a blocked event loop too. The loops hand it what is new through a deque
and never wait for it; it keeps no stream alive, and sleeps as long as none is open.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Final

from .._asyncio.loop_lag import LoopLag
from .._calls.call import Call
from .._contract.faults import Faults
from .._contract.records import CallFacts, Stuck, Times
from .._contract.settings import Settings
from .._telemetry.instruments import Key
from .._telemetry.recorder import Recorder
from .overdue import Agenda, Limits, Look, look
from .stuck_log import StuckLog
from .watch import Watch, open_streams, seen, where

EXPLAINED_AT_ONCE: Final = 20
"""Stuck streams that get their await chain and span in one tick; the gauge has them all at once."""

_REMEMBERED: Final = 8
"""The times a stream was stuck that its last span tells of, the latest ones."""


class Watchdog:
    """Looks at every open stream when it is due. ``streams`` are those that have not ended."""

    def __init__(
        self,
        streams: Mapping[Call, Key],
        recorder: Recorder,
        settings: Settings,
        faults: Faults,
        clock: Callable[[], float],
    ) -> None:
        self._streams = streams
        self._recorder = recorder
        self._settings = settings
        self._faults = faults
        self._clock = clock
        self._limits = lru_cache(maxsize=256)(self._limits_of)
        self._log = StuckLog(faults)
        self._pinging = faults.contained("watchdog.ping")
        self._closed = False
        self._died = False
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._work = threading.Event()
        self._begin()

    def _begin(self) -> None:
        self._news: deque[Watch] = deque()
        self._agenda: Agenda[Watch] = Agenda()
        self._stuck: dict[Watch, None] = {}
        self._unexplained: deque[Watch] = deque()
        self._loops: dict[asyncio.AbstractEventLoop, LoopLag] = {}

    # In the loops' threads

    def opened(self, call: Call, key: Key, facts: CallFacts) -> None:
        """Watch a stream until it ends."""
        if self._closed:
            return
        call.watch = Watch(self, call, key, self._limits(facts.provider, facts.model))
        if self._thread is None:
            self._start()
        call.watch.changed()

    def hand_over(self, watch: Watch) -> None:
        """Have the thread look at a stream at its next tick."""
        if self._closed:
            return
        self._news.append(watch)
        if not self._work.is_set():
            self._work.set()

    def lag(self, loop: asyncio.AbstractEventLoop | None, since: float, now: float) -> float:
        """Return a loop's worst lag from a moment until now, 0 where it is not known."""
        lag = None if loop is None else self._loops.get(loop)
        return 0.0 if lag is None else lag.worst(since, now)

    def close(self) -> None:
        """Stop; the streams that are open still are no longer watched."""
        self._closed = True
        self._stop.set()
        self._work.set()

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
            self._run()
        except BaseException as fault:  # noqa: BLE001 - a thread of ours: nobody else would hear of it
            self._faults.note("watchdog", fault)
            self._bury()

    def _run(self) -> None:
        while not self._closed:
            if self._streams or self._stuck or self._news:
                self._stop.wait(self._settings.watchdog_interval)
                if not self._closed:
                    self.tick()
                continue
            self._work.clear()
            if not self._news:  # what is handed over from here on sets it again
                self._work.wait()

    def _bury(self) -> None:
        """Begin again with every stream that is open; after a second death, give up."""
        for watch in self._stuck:
            self._count(watch, -1)
            watch.stuck = None
        self._begin()
        if self._died or self._closed:
            self._closed = True
            return
        self._died = True
        for call in open_streams(self._streams):
            if isinstance(call.watch, Watch):
                call.watch.counted = False
                self._news.append(call.watch)
        self._start()

    def tick(self) -> None:
        """Look at what is new, due or stuck; say what is found; ask the loops how late they are."""
        now = self._clock()
        self._log.tick(now)
        for _ in range(len(self._news)):
            watch = self._news.popleft()
            self._count_for_loop(watch)
            self._look(watch, now)
        for watch in self._agenda.take(now):
            self._look(watch, now)
        for watch in list(self._stuck):
            self._look(watch, now)
        self._explain()
        self._ping()
        if len(self._agenda) > 2 * len(self._streams) + 256:
            self._agenda.keep(lambda watch: watch.call is not None)

    def _look(self, watch: Watch, now: float) -> None:
        try:
            self._judge(watch, now)
        except Exception as fault:  # noqa: BLE001 - ours: the other streams are looked at all the same
            self._faults.note("watchdog.look", fault)

    def _judge(self, watch: Watch, now: float) -> None:
        call = watch.call
        found = None
        if call is not None and not call.ended:
            found = look(seen(call), watch.limits, watch.waited, now)
            watch.waited = found.waited
        if found is not None and found.reason is not None:
            if watch.stuck is None:
                self._found(watch, found, now)
            return
        if watch.stuck is not None:
            self._cleared(watch, now, ended=found is None)
        if found is not None:
            self._agenda.put(watch, found.due)

    def _found(self, watch: Watch, found: Look, now: float) -> None:
        assert found.reason is not None
        watch.stuck = Stuck(found.reason, found.since, now)
        watch.found = (*watch.found[1 - _REMEMBERED :], watch.stuck)
        self._stuck[watch] = None
        self._unexplained.append(watch)
        self._count(watch, 1)

    def _cleared(self, watch: Watch, now: float, *, ended: bool) -> None:
        self._count(watch, -1)
        stuck, watch.stuck = watch.stuck, None
        del self._stuck[watch]
        if watch.logged and stuck is not None and watch.facts is not None:
            self._log.cleared(watch.facts, stuck, now, ended=ended)
        watch.logged = False

    def _count(self, watch: Watch, by: int) -> None:
        if watch.stuck is not None:
            self._recorder.instruments.stuck(watch.key, watch.stuck.reason, by)

    # What is said

    def _explain(self) -> None:
        for _ in range(min(len(self._unexplained), EXPLAINED_AT_ONCE)):
            watch = self._unexplained.popleft()
            try:
                self._explain_one(watch)
            except Exception as fault:  # noqa: BLE001 - an exporter or a log handler of the host's may raise
                self._faults.note("watchdog.explain", fault)

    def _explain_one(self, watch: Watch) -> None:
        call, stuck = watch.call, watch.stuck
        if call is None or stuck is None:
            return
        since = call.last_chunk or call.start
        stuck = replace(stuck, chain=where(call), loop_lag=watch.blocked(since, stuck.found))
        watch.stuck, watch.found = stuck, (*watch.found[:-1], stuck)
        watch.facts = call.describe(call)
        if watch.first is None:
            times = Times(call.start, stuck.found, call.first_chunk, call.disconnect)
            watch.first = self._recorder.stuck(watch.facts, times, call.chunks, stuck, call.parent)
        watch.logged = self._log.found(watch.facts, stuck, call.chunks)

    # The loops

    def _count_for_loop(self, watch: Watch) -> None:
        loop = watch.loop
        if loop is None or watch.counted is (watch.call is not None):
            return
        watch.counted = not watch.counted
        lag = self._loops.get(loop)
        if lag is None:
            lag = self._loops[loop] = LoopLag(loop, self._clock)
        lag.streams += 1 if watch.counted else -1

    def _ping(self) -> None:
        for loop, lag in list(self._loops.items()):
            for seconds in lag.measured():
                self._recorder.instruments.lag(seconds)
            if not lag.streams:
                del self._loops[loop]
            elif self._settings.loop_lag:
                with self._pinging:  # a loop of the application's own make may refuse
                    lag.ping()

    def _limits_of(self, provider: str, model: str) -> Limits:
        limit = self._settings.limit(provider, model)
        return Limits(self._settings.stuck_after_disconnect, limit.no_chunk, limit.first_chunk)
