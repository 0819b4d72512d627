"""Calls that the HTTP layer cancels from within: nobody has told their task to stop."""

from __future__ import annotations

from ..expect import ANSWER, COMPLETED, FAILED, internal
from ..seat import Seat
from ..wills import Will
from .fate import BEFORE_CHUNK, MID_STREAM, SHORT, Fate


async def connect(seat: Seat) -> str:
    """Be cancelled from within before the request is sent."""
    await seat.call(stream=False, will=Will("connect"))
    return ANSWER


async def body(seat: Seat) -> str:
    """Be cancelled from within while the answer's body is waited for."""
    await seat.call(stream=False, will=Will("body"))
    return ANSWER


async def first_chunk(seat: Seat) -> str:
    """Be cancelled from within before a stream's first chunk."""
    await seat.read(will=Will("body"))
    return ANSWER


async def rest(seat: Seat) -> str:
    """Be cancelled from within in the middle of a stream."""
    await seat.read(will=Will("rest"))
    return ANSWER


# LiteLLM asks once more over a new connection, of its own making, where some providers' fails.
_CONNECT = {FAILED: internal("request"), ANSWER: COMPLETED}

FATES = (
    Fate("internal-connect", connect, (SHORT,), _CONNECT),
    Fate("internal-body", body, (BEFORE_CHUNK,), {FAILED: internal("request")}),
    Fate("internal-first-chunk", first_chunk, (BEFORE_CHUNK,), {FAILED: internal("request")}),
    Fate("internal-rest", rest, (MID_STREAM,), {FAILED: internal("streaming")}),
)
