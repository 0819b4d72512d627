"""One open stream as the watchdog sees it: what is kept of it, and what a look at it finds."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from .._asyncio.await_chain import await_chain
from .._asyncio.generators import consumers_of, generators_of, holders_of
from .._asyncio.loop_lag import BLOCKED
from .._calls.call import Call
from .._contract.records import CallFacts, Place, Stuck
from .._telemetry.instruments import Key
from .._telemetry.recorder import FirstSpan
from .overdue import Limits, Seen

T = TypeVar("T")


class Dog(Protocol):
    """The watchdog, as far as a watch knows it."""

    def hand_over(self, watch: "Watch") -> None:
        """Have the thread look at a stream at its next tick."""

    def lag(self, loop: asyncio.AbstractEventLoop | None, since: float, now: float) -> float:
        """Return a loop's worst lag from a moment until now, 0 where it is not known."""


class Watch:
    """What the watchdog keeps of one open stream; the stream's loop and the thread share it."""

    __slots__ = (
        "call",
        "counted",
        "dog",
        "due",
        "facts",
        "first",
        "found",
        "key",
        "limits",
        "logged",
        "loop",
        "stuck",
        "waited",
    )

    def __init__(self, dog: Dog, call: Call, key: Key, limits: Limits) -> None:
        self.dog = dog
        self.call: Call | None = call
        """None once the stream has ended."""
        self.key = key
        self.limits = limits
        self.loop = call.loop
        self.due = 0.0
        self.waited: int | None = None
        self.counted = False
        """It counts among its loop's streams."""
        self.stuck: Stuck | None = None
        """Why it is stuck, where it is."""
        self.found: tuple[Stuck, ...] = ()
        self.facts: CallFacts | None = None
        """Asked for when it is found stuck."""
        self.first: FirstSpan | None = None
        """The span that says so while it lasts."""
        self.logged = False

    def changed(self) -> None:
        """Have the stream looked at anew, at the next tick."""
        self.dog.hand_over(self)

    def blocked(self, since: float, now: float) -> float | None:
        """Return by how long the stream's event loop was blocked, None where it was not."""
        lag = self.dog.lag(self.loop, since, now)
        return lag if lag >= BLOCKED else None

    def end(self) -> None:
        """Let go of the stream, which has ended."""
        self.call = None
        self.changed()


def open_streams(streams: Mapping[Call, Key]) -> list[Call]:
    """Return the streams that are open, from any thread."""
    return _unchanging(lambda: list(streams))


def _unchanging(copy: Callable[[], list[T]]) -> list[T]:
    while True:
        try:
            return copy()
        except RuntimeError:  # another thread put something in, or took it out, as it was copied
            continue


def where(call: Call) -> tuple[Place, ...]:
    """Return what a stream waits for; where nobody drives it, who holds it."""
    driver, loop = call.driver, call.loop
    if driver is not None:
        return await_chain(driver)
    stream = None if call.stream is None else call.stream()
    if stream is None or loop is None:
        return ()
    held = consumers_of(stream, holders_of(_unchanging(lambda: generators_of(loop))))
    return tuple(place for generator in held for place in await_chain(generator))


def seen(call: Call) -> Seen:
    done_at = call.driver_done_at
    return Seen(
        call.start,
        call.chunks,
        call.last_chunk,
        call.is_awaited,
        call.disconnect,
        call.chunks_at_disconnect or 0,
        done_at,
        done_at is not None and call.driver_failed,
    )
