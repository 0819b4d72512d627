"""What a fake provider does with one request."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from litellm_cancel_otel._demo.fakes.wire.base import text_of

HangAt: TypeAlias = Literal["before_headers", "before_first_chunk"] | int | None
Ending: TypeAlias = Literal["complete", "fin", "rst", "half_chunk", "rubbish"]

UNENDING_PIECES = 5
"""How many pieces of text an answer in one body has when ``chunks`` is None."""


@dataclass(frozen=True, slots=True)
class Script:
    """How one request is answered, and where and how the answer stops.

    A chunk is one piece of text. The wire format's own opening events travel with the first
    chunk, its closing events after the last.

    * ``chunks``: how many; None streams until the client goes.
    * ``interval``: seconds from one chunk to the next.
    * ``status``: the HTTP status; from 400 the body is the provider's own error JSON.
    * ``hang_at``: where the provider falls silent until the client goes or the exchange is
      released: before the response's headers, before its body, or after that many chunks (0 sends
      the opening events alone). In an answer that is no stream, a number means half of the body.
    * ``ending``: what happens after the last chunk, or after half of a body that is no stream:
      ``fin`` and ``rst`` close the connection, ``half_chunk`` closes it inside an event,
      ``rubbish`` sends bytes that are no event and then ends the answer properly.
    * ``burst``: all chunks (up to the hang) in one write.

    Raises ValueError for a value out of range, or for two that contradict each other.
    """

    chunks: int | None = 5
    interval: float = 0.0
    status: int = 200
    hang_at: HangAt = None
    ending: Ending = "complete"
    burst: bool = False

    def __post_init__(self) -> None:
        if self.chunks is not None and self.chunks < 0:
            raise ValueError(f"chunks is {self.chunks}, must be 0 or more, or None for endless")
        if not 0 <= self.interval < math.inf:
            raise ValueError(f"interval is {self.interval}, must be 0 or more seconds")
        if self.status != 200 and not 400 <= self.status <= 599:
            raise ValueError(f"status is {self.status}, must be 200 or from 400 to 599")
        if self.ending not in get_args(Ending):
            raise ValueError(f"ending is {self.ending!r}, must be one of {get_args(Ending)}")
        self._check_hang()
        if self.chunks is None and (self.burst or self.ending != "complete"):
            raise ValueError("chunks is None (endless), so there can be no burst and no ending")
        if self.burst and self.interval:
            raise ValueError("burst sends all chunks in one write, so interval must be 0")

    def _check_hang(self) -> None:
        if isinstance(self.hang_at, int):
            if self.hang_at < 0 or (self.chunks is not None and self.hang_at > self.chunks):
                raise ValueError(
                    f"hang_at is {self.hang_at}, must be from 0 to chunks ({self.chunks})"
                )
        elif self.hang_at not in (None, "before_headers", "before_first_chunk"):
            raise ValueError(
                f"hang_at is {self.hang_at!r}, must be None, 'before_headers', "
                "'before_first_chunk' or a number of chunks"
            )

    @property
    def pieces(self) -> int:
        """The number of pieces of text in an answer that is no stream."""
        return UNENDING_PIECES if self.chunks is None else self.chunks

    @property
    def text(self) -> str:
        """The whole text of a complete answer."""
        return text_of(self.pieces)
