"""What a call knows of those who follow it: where it reports to, and what the watchdog keeps."""

from collections.abc import Callable, Collection
from typing import Protocol, TypeVar

from .._contract.faults import Faults
from .._contract.records import Ending, Stuck


class Step(Protocol):
    """What hands out a stream's chunks."""

    coro: object | None
    """What is awaited for the next one; None between chunks."""


C = TypeVar("C", contravariant=True)


class Request(Protocol):
    """The server's request that a call was made in."""

    @property
    def calls(self) -> Collection[object]:
        """The calls that are the request's and have not ended."""

    @property
    def is_gone(self) -> bool:
        """Whether its client has gone, or its application ended by an exception."""

    def ended(self, call: object) -> None:
        """Let go of a call that has ended."""


class Sink(Protocol[C]):
    """Where a call reports to; ``C`` is the call."""

    clock: Callable[[], float]
    faults: Faults
    checkpoint_interval: float
    """Seconds that a stream may go without letting the loop run; 0 for ever."""
    cancel_messages: bool
    """Whether the cancel's own message is wanted."""

    def opened(self, call: C) -> None:
        """Take a call that has returned its stream."""

    def driven(self, call: C) -> None:
        """Take a stream that another task asks for chunks than before."""

    def driver_done(self, call: C) -> None:
        """Take a stream that has not ended and whose driver has."""

    def dropped(self, call: C) -> None:
        """Take a call that nobody refers to any more; the garbage collector may be what tells."""

    def acted(self, call: C, action: str) -> None:
        """Take an action of the guard's."""

    def completed(self, call: C) -> bool:
        """Take a call that ran to its end; return False where its ending is wanted too."""

    def ended(self, call: C, ending: Ending) -> None:
        """Take the call's one end."""

    def lost(self, call: C) -> None:
        """Take a call whose end could not be told, by a fault of ours. Never raises."""


class Watch(Protocol):
    """What the watchdog keeps of one open stream."""

    found: tuple[Stuck, ...]
    """The times that it was found stuck."""

    def changed(self) -> None:
        """Have the stream looked at anew, at the next tick."""

    def blocked(self, since: float, now: float) -> float | None:
        """Return by how long the stream's event loop was blocked, None where it was not."""
