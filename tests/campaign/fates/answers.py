"""Calls that end by themselves: whole answers, and the provider's faults of every kind."""

from __future__ import annotations

import asyncio
from itertools import product

from litellm_cancel_otel._demo.fakes import Script

from ..expect import ANSWER, COMPLETED, ERROR, FAILED, FAULT
from ..seat import Seat
from .fate import PIECES, SHORT, Fate

STATUSES = (400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 529)
BREAKS = ("fin", "rst", "half_chunk", "rubbish")


async def stream(seat: Seat) -> str:
    """Read a stream to its end."""
    await seat.read()
    return ANSWER


async def body(seat: Seat) -> str:
    """Ask for an answer in one piece."""
    await seat.call(stream=False)
    return ANSWER


async def any_kind(seat: Seat) -> str:
    """Ask for one or the other."""
    return await (stream if seat.luck.random() < 0.5 else body)(seat)


async def stalled(seat: Seat) -> str:
    """Read on, until a provider that has fallen silent goes on and breaks off."""

    async def release() -> None:
        (await seat.silent()).release()

    releasing = asyncio.create_task(release())
    try:
        return await any_kind(seat)
    finally:
        await releasing


FATES = (
    Fate("stream", stream, (SHORT, Script(chunks=6, burst=True)), {ANSWER: COMPLETED}, 8),
    Fate("body", body, (SHORT,), {ANSWER: COMPLETED}, 8),
    Fate("empty", any_kind, (Script(chunks=0),), {ANSWER: COMPLETED}, 1),
    Fate(
        "error-status",
        any_kind,
        tuple(Script(status=status) for status in STATUSES),
        {FAILED: ERROR},
    ),
    Fate(
        "broken-off",
        any_kind,
        tuple(
            Script(chunks=chunks, ending=ending) for chunks, ending in product((0, PIECES), BREAKS)
        ),
        FAULT,
    ),
    Fate(
        "stalled",
        stalled,
        tuple(
            Script(chunks=PIECES, hang_at=hang_at, ending=ending)
            for hang_at, ending in product(
                ("before_headers", "before_first_chunk", PIECES), (*BREAKS, "complete")
            )
        ),
        FAULT,
    ),
)
