"""One open stream as the tracker keeps it, and what a look at it finds."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Protocol

from .._asyncio.await_chain import await_chain
from .._asyncio.loop_lag import BLOCKED
from .._calls.call import Call
from .._contract.records import CallFacts, Place, Stuck
from .._telemetry.instruments import Key
from .._telemetry.recorder import FirstSpan
from .holding import Holding
from .overdue import Due, Look, Patience, Seen, look

_REMEMBERED: Final = 8
"""The times a stream was stuck that its last span tells of, the latest ones."""

_NOBODY: Final = Holding()
"""Who holds a stream that has ended, as far as it matters: it is asked, and never written."""


class Watcher(Protocol):
    """The watchdog, as far as a stream knows it."""

    def hand_over(self, stream: "WatchedStream") -> None:
        """Have the thread look at a stream at its next tick."""

    def lag(self, loop: asyncio.AbstractEventLoop | None, since: float, now: float) -> float:
        """Return a loop's worst lag from a moment until now, 0 where it is not known."""


class Case:
    """What is kept of a stream that was found stuck, which few ever are."""

    __slots__ = ("facts", "first", "found", "logged", "stuck")

    def __init__(self) -> None:
        self.stuck: Stuck | None = None
        """Why it is stuck, where it still is."""
        self.found: tuple[Stuck, ...] = ()
        """The times that it was found stuck."""
        self.facts: CallFacts | None = None
        """What the call is; asked for when it is first found stuck."""
        self.first: FirstSpan | None = None
        """The span that says so while it lasts."""
        self.logged = False
        """The log says that it is stuck."""


class WatchedStream(Due):
    """What is kept of one open stream; the stream's loop and the watchdog's thread share it."""

    __slots__ = (
        *("call", "case", "counted", "holding", "key", "loop", "patience", "waited"),
        "watcher",
    )

    def __init__(
        self,
        call: Call,
        key: Key,
        watcher: Watcher | None = None,
        patience: Patience | None = None,
    ) -> None:
        super().__init__()
        self.call: Call | None = call
        """None once the stream has ended."""
        self.key = key
        """What it was counted under."""
        self.watcher = watcher
        """None where the watchdog is off."""
        self.patience = patience
        self.loop = call.driving.loop
        self.waited: int | None = None
        """The chunk, by its number, that the last look saw it waiting for."""
        self.counted = False
        """It counts among its loop's streams."""
        self.case: Case | None = None
        """None where it was never stuck."""
        self.holding = Holding()
        """Who holds it, once its drivers are done."""

    @property
    def stuck(self) -> Stuck | None:
        """Why it is stuck, where it is."""
        return None if self.case is None else self.case.stuck

    @property
    def found(self) -> tuple[Stuck, ...]:
        """The times that it was found stuck."""
        return () if self.case is None else self.case.found

    @property
    def first(self) -> FirstSpan | None:
        """The span that said so while it lasted, where there is one."""
        return None if self.case is None else self.case.first

    def __repr__(self) -> str:
        state = "open" if self.stuck is None else f"stuck: {self.stuck.reason}"
        return f"<WatchedStream: {'ended' if self.call is None else state}>"

    def changed(self) -> None:
        """Have it looked at anew, at the next tick."""
        if self.watcher is not None:
            self.watcher.hand_over(self)

    def ended(self) -> None:
        """Let go of the call, which has ended; the agenda may keep the record for a while."""
        self.call = None
        self.holding = _NOBODY
        self.changed()

    def blocked(self, since: float, now: float) -> float | None:
        """Return for how long its event loop was blocked, None where it was not."""
        lag = 0.0 if self.watcher is None else self.watcher.lag(self.loop, since, now)
        return lag if lag >= BLOCKED else None

    # In the watchdog's thread

    def look(self, now: float) -> Look | None:
        """Return what a look at it finds; None where it has ended."""
        call, patience = self.call, self.patience
        if call is None or call.ended or patience is None:
            return None
        found = look(seen(call), patience, self.waited, now)
        self.waited = found.waited
        return found

    def is_found(self, found: Look, now: float) -> None:
        """Note that it is stuck from now on."""
        assert found.reason is not None
        case = self.case = self.case or Case()
        case.stuck = Stuck(found.reason, found.since, now)
        case.found = (*case.found[1 - _REMEMBERED :], case.stuck)

    def is_explained(self) -> Case | None:
        """Note where it waits, and since when its loop is blocked; None where it is not stuck."""
        call, case, stuck = self.call, self.case, self.stuck
        if call is None or case is None or stuck is None:
            return None
        since = call.progress.last_chunk or call.start
        explained = replace(stuck, chain=self.where(), loop_lag=self.blocked(since, stuck.found))
        case.stuck, case.found = explained, (*case.found[:-1], explained)
        case.facts = call.facts()
        return case

    def where(self) -> tuple[Place, ...]:
        """Return what it waits for; where nobody drives it, who holds it. From any thread."""
        call = self.call
        driver = None if call is None else call.driving.task
        if call is None or driver is not None:
            return () if driver is None else await_chain(driver)
        stream, loop = None if call.stream is None else call.stream(), call.driving.loop
        if stream is None or loop is None:
            return ()
        held = self.holding.consumers(stream, loop)
        return tuple(place for generator in held for place in await_chain(generator))

    def is_cleared(self) -> None:
        """Note that it is no longer stuck."""
        if self.case is not None:
            self.case.stuck = None
            self.case.logged = False


def streams_of(streams: Mapping[Call, WatchedStream]) -> list[tuple[Call, WatchedStream]]:
    """Return the streams that are open, from any thread."""
    while True:
        try:
            return list(streams.items())
        except RuntimeError:  # another thread put something in, or took it out, as it was copied
            continue


def seen(call: Call) -> Seen:
    """Return what a look at a stream sees."""
    progress, disconnect, driving = call.progress, call.signs.disconnect, call.driving
    done_at = driving.done_at
    return Seen(
        call.start,
        progress.chunks,
        progress.last_chunk,
        progress.is_awaited,
        None if disconnect is None else disconnect.at,
        0 if disconnect is None else disconnect.chunks,
        done_at,
        done_at is not None and driving.failed,
    )
