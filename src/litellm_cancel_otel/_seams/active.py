"""Who listens behind the seams, and which call the running code belongs to."""

from contextvars import ContextVar
from typing import Final

from .._asyncio.tasks import running_task
from .._calls.call import Call
from .._tracking.tracker import Tracker


class Active:
    """The tracker that calls report to: that of the newest ``CancelTelemetry`` still open."""

    def __init__(self) -> None:
        self._open: list[Tracker] = []
        self.tracker: Tracker | None = None

    def add(self, tracker: Tracker) -> None:
        """Let a tracker take over."""
        self._open.append(tracker)
        self.tracker = tracker

    def remove(self, tracker: Tracker) -> None:
        """Take a tracker out and hand back to the one before it."""
        if tracker in self._open:
            self._open.remove(tracker)
        self.tracker = self._open[-1] if self._open else None


ACTIVE: Final = Active()

CURRENT: Final[ContextVar[Call | None]] = ContextVar("litellm_cancel_otel_call", default=None)


def call_in_progress() -> Call | None:
    """Return the call that this task is making, or None.

    A task that was started during a call inherits its context: what it calls is a call of its own.
    """
    call = CURRENT.get()
    if call is None or call.ended or call.has_stream or call.driving.task is not running_task():
        return None
    return call


def asking_call() -> Call | None:
    """Return the call whose provider this task asks, if it sends a request now, or None.

    A task that was started during a call inherits its context: what it sends is not the call's.
    """
    call = CURRENT.get()
    if call is None or call.ended or call.driving.task is not running_task():
        return None
    return call
