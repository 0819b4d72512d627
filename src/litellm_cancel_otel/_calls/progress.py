"""How far a call has come."""

from math import inf
from typing import Final, Protocol


class ChunkSource(Protocol):
    """What hands out a stream's chunks."""

    coro: object | None
    """What is awaited for the next chunk; None between chunks."""


BEGINS: Final = inf
"""When a stream is due that has suspended for its last chunk: not before its backlog begins."""


class Progress:
    """What has come of a call's answer; times are seconds of the call's clock.

    ``_seams/chunk_step.py`` is what writes it: one chunk after the other, so it does that directly.
    """

    __slots__ = ("chunks", "due", "first_chunk", "last_chunk", "source", "suspended", "whole")

    def __init__(self) -> None:
        self.chunks = 0
        self.first_chunk: float | None = None
        self.last_chunk: float | None = None
        self.due = BEGINS
        """When a stream that does not suspend must let the loop run; 0: it is suspended."""
        self.suspended = 0.0
        """What ``due`` is set to when it suspends; below 0 it lets the loop run for each chunk."""
        self.whole = False
        """The provider's ``finish_reason`` was seen, where only the stream's seam can see it."""
        self.source: ChunkSource | None = None
        """None as long as the call has returned no stream, and once it has ended."""

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for the stream's next chunk at this moment."""
        return self.source is not None and self.source.coro is not None

    def got_chunk(self, now: float) -> None:
        """Note a chunk that came by an ``athrow``, and not because one was asked for."""
        self.chunks += 1
        self.last_chunk = now
        self.due = self.due or BEGINS

    def let_loop_run(self) -> None:
        """Have the stream let the loop run at each chunk from now on, whenever it comes."""
        self.due = self.suspended = -1.0

    def __repr__(self) -> str:
        return f"<Progress: {self.chunks} chunks, the last at {self.last_chunk}>"
