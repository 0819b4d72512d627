"""What is noted of a call's end, in its loop, and recorded outside of it."""

import time
from contextvars import copy_context
from typing import NamedTuple

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from .._contract.records import Ending
from .._telemetry.recorder import FirstSpan, LateClose, Recorder
from .._telemetry.timeline import Clocks


class EndingNote:
    """A call's one end. Both clocks are read when it is made, so that the times are exact.

    What the application's span processors see is what they would see in the task that the call
    ended in: its context variables. OpenTelemetry's own context is the call's.
    """

    __slots__ = ("_clocks", "_context", "_ending", "_first", "_parent", "_recorder", "late")

    def __init__(
        self, recorder: Recorder, ending: Ending, parent: Context | None, first: FirstSpan | None
    ) -> None:
        self._recorder = recorder
        self._ending = ending
        self._parent = parent
        self._first = first
        self._context = copy_context()
        self._clocks = Clocks(recorder.clock(), time.time_ns())
        self.late: LateClose | None = None
        """Who waits for the upstream's close, once the end is recorded."""

    def settle(self) -> None:
        """Record it."""
        with self._recorder.contained:  # an exporter of the host's may raise
            self._context.run(self._record)

    def _record(self) -> None:
        parent = self._parent
        token = otel_context.attach(Context() if parent is None else parent)
        try:
            self.late = self._recorder.record(self._ending, parent, self._first, self._clocks)
        finally:
            otel_context.detach(token)


class CloseNote(NamedTuple):
    """A close that comes after its call's end; a coroutine that is destroyed may tell it too."""

    ending: EndingNote
    at: float

    def settle(self) -> None:
        """Measure it."""
        if self.ending.late is not None:
            self.ending.late.closed(self.at)


class GiveUpNote(NamedTuple):
    """Nobody waits any more for a close."""

    ending: EndingNote

    def settle(self) -> None:
        """Let the span go without it."""
        if self.ending.late is not None:
            self.ending.late.give_up()


class UsedNote(NamedTuple):
    """LiteLLM's count of an answer's tokens, which comes after the call's end."""

    recorder: Recorder
    call_id: str
    output_tokens: int

    def settle(self) -> None:
        """Take it."""
        self.recorder.used(self.call_id, self.output_tokens)
