"""Who is told of what becomes of a call: one list of what there is to tell."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from .._contract.faults import Faults
from .._contract.records import Ending, Stuck

C = TypeVar("C", contravariant=True)


class Observer(Protocol[C]):
    """Whom a call tells; ``C`` is the call."""

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

    def disconnected(self, call: C) -> None:
        """Take a call whose client has gone."""

    def dropped(self, call: C) -> None:
        """Take a call that nobody refers to any more; the garbage collector may be what tells."""

    def acted(self, call: C, action: str) -> None:
        """Take an action of the guard's."""

    def completed(self, call: C) -> bool:
        """Take a call that ran to its end; return False where its ending is wanted too."""

    def times_stuck(self, call: C) -> tuple[Stuck, ...]:
        """Return the times that the call's stream was found stuck."""

    def blocked(self, call: C, since: float, now: float) -> float | None:
        """Return for how long the stream's event loop was blocked, None where it was not."""

    def ended(self, call: C, ending: Ending) -> None:
        """Take the call's one end."""

    def lost(self, call: C) -> None:
        """Take a call whose end could not be told, by a fault of ours. Never raises."""
