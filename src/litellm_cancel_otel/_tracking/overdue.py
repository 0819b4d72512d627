"""Decides when to look at a stream, and whether it is stuck: pure, with the clock handed in.

A stream is looked at when one of its limits may have passed, not every so often: ten thousand that
move cost nothing. Slow is not stuck: silence counts only while somebody waits for a chunk, which a
look well before the limit must have seen already. A consumer that takes its time asks for its
next chunk long after the last one came, and then the provider has had no time at all.
"""

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from typing import Final, Generic, NamedTuple, TypeVar

from .._contract.records import Reason

_FIRST_LOOK: Final = 2 / 3
"""How much of its limit a silent stream has used up when it is first looked at."""

_WAITED: Final = 1 / 6
"""For how much of it somebody must have been seen waiting; a look may be late by the rest."""


class Patience(NamedTuple):
    """How long is too long for one stream, in seconds."""

    after_disconnect: float
    no_chunk: float
    first_chunk: float


class Seen(NamedTuple):
    """What one look sees of a stream; times in seconds of one monotonic clock."""

    start: float
    chunks: int = 0
    last_chunk: float | None = None
    waiting: bool = False  # somebody waits for the next chunk
    disconnect: float | None = None
    chunks_at_disconnect: int = 0
    driver_done: float | None = None
    driver_failed: bool = False  # it was cancelled or raised: it has handed the stream to nobody


class Look(NamedTuple):
    """What a look finds: a reason, or when to look again."""

    due: float
    waited: int | None = None
    """The chunk, by its number, that the stream was seen waiting for."""
    reason: Reason | None = None
    since: float = 0.0
    """From when on the limit counted."""


def look(seen: Seen, patience: Patience, waited: int | None, now: float) -> Look:
    """Judge a stream; ``waited`` is what the look before this one returned."""
    silence = _silence(seen, patience, waited, now)
    if seen.driver_done is None and seen.disconnect is None:
        return silence
    due = silence.due
    for reason, since, limit in _clocks(seen, patience):
        if now >= since + limit:
            return Look(now, waited, reason, since)
        due = min(due, since + limit)
    return silence if silence.reason else Look(due, silence.waited)


def _clocks(seen: Seen, patience: Patience) -> Iterator[tuple[Reason, float, float]]:
    if seen.driver_done is not None:
        # One that returned in peace may have handed the stream to somebody who holds it still.
        limit = patience.after_disconnect if seen.driver_failed else patience.no_chunk
        yield Reason.ORPHANED, seen.driver_done, limit
    if seen.disconnect is not None:
        since, limit = seen.disconnect, patience.after_disconnect
        if seen.chunks > seen.chunks_at_disconnect and seen.last_chunk is not None:
            since = max(since, seen.last_chunk)
            if seen.waiting:  # drained on purpose: as patient as with any other stream
                limit = patience.no_chunk
        yield Reason.AFTER_DISCONNECT, since, limit


def _silence(seen: Seen, patience: Patience, waited: int | None, now: float) -> Look:
    if seen.last_chunk is not None:
        return _silent_since(seen.last_chunk, patience.no_chunk, seen, waited, now)
    found = _silent_since(seen.start, patience.first_chunk, seen, waited, now)
    # The first chunk may come right after this look: then the other limit, a shorter one, holds.
    return found._replace(due=min(found.due, now + patience.no_chunk * _FIRST_LOOK))


def _silent_since(since: float, limit: float, seen: Seen, waited: int | None, now: float) -> Look:
    first = since + limit * _FIRST_LOOK
    if now < first:
        return Look(first)
    if not seen.waiting:
        return Look(now + limit / 2)
    if waited != seen.chunks:
        return Look(max(since + limit, now + limit * _WAITED), seen.chunks)
    if now < since + limit:
        return Look(since + limit, waited)
    return Look(now, waited, Reason.NO_CHUNK, since)


class Due:
    """What is due at a time; of those that are due at one moment, any may be the first."""

    __slots__ = ("due",)

    def __init__(self) -> None:
        self.due = 0.0

    def __lt__(self, other: "Due") -> bool:
        return False


D = TypeVar("D", bound=Due)


class Agenda(Generic[D]):
    """What is due when, the next first; the old entry of a thing that was put off is skipped."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, D]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, thing: D, due: float) -> None:
        """Make a thing due at a time, and at no other."""
        thing.due = due
        heappush(self._entries, (due, thing))

    def take(self, now: float) -> list[D]:
        """Return what is due by now, and forget it."""
        taken: list[D] = []
        while self._entries and self._entries[0][0] <= now:
            due, thing = heappop(self._entries)
            if thing.due == due:
                taken.append(thing)
        return taken

    def keep(self, wanted: Callable[[D], bool]) -> None:
        """Forget whatever is not wanted, and entries that were put off."""
        self._entries = [one for one in self._entries if one[1].due == one[0] and wanted(one[1])]
        heapify(self._entries)
