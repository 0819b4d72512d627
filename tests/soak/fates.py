"""The campaign's fates, and those of a soak: a client that leaves, a stuck stream, a retry."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from random import Random

from litellm_cancel_otel import CancellationMiddleware
from litellm_cancel_otel._demo.fakes import Script, Wire
from litellm_cancel_otel._seams.active import ACTIVE
from litellm_cancel_otel._tracking.watched_stream import streams_of

from ..campaign.expect import ANSWER, CANCELLED, ERROR, FAILED, LEFT, external, told
from ..campaign.fates import FATES as CAMPAIGNS
from ..campaign.fates import Fate
from ..campaign.fates.fate import MID_STREAM, PIECES
from ..campaign.plan import Plan
from ..campaign.seat import PATIENCE, Seat
from ..disconnect.asgi import Receive, Scope, Send, Served, piece, start

STUCK_LIMITS = {"*/soak": (0.05, 600.0), "*/anthropic.claude-3-haiku*": (0.05, 600.0)}
"""The models whose streams are stuck soon, and no other: the calls of a loaded machine are slow."""
_STUCK: Mapping[str, str] = {
    "azure": "azure/soak",
    "openai": "openai/soak",
    "anthropic": "anthropic/soak",
    "bedrock": "bedrock/anthropic.claude-3-haiku-20240307-v1:0",
}


async def disconnect(seat: Seat) -> str:
    """Stream to a client that leaves while the provider is silent; nobody listens for it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        async for chunk in await seat.call():
            seat.got(chunk)
            await send(piece(b"piece", more=True))

    served = Served(CancellationMiddleware(app))
    await seat.silent(PIECES)
    served.leave()
    return LEFT if await served.ended() is None else ANSWER


async def stuck(seat: Seat) -> str:
    """Wait for a silent provider until the watchdog has found the stream, and be cancelled."""
    task = asyncio.create_task(seat.read(model=_STUCK[seat.wire]))
    await seat.silent(PIECES)
    async with asyncio.timeout(PATIENCE):
        while not _is_found(str(seat.index)):
            await asyncio.sleep(0.01)
    task.cancel()
    await task
    return ANSWER


def _is_found(call_id: str) -> bool:
    tracker = ACTIVE.tracker
    assert tracker is not None
    return any(
        stream.found and call.facts().call_id == call_id
        for call, stream in streams_of(tracker.streams)
    )


async def retried(seat: Seat) -> str:
    """Have LiteLLM ask once more, in vain."""
    await seat.call(stream=False, num_retries=1)
    return ANSWER


FATES: Mapping[str, Fate] = {
    **CAMPAIGNS,
    **{
        fate.name: fate
        for fate in (
            Fate(
                "disconnect",
                disconnect,
                (MID_STREAM,),
                {LEFT: external("client_disconnect", "streaming")},
                8,
            ),
            Fate("stuck", stuck, (MID_STREAM,), {CANCELLED: told("task_cancel", "streaming")}, 1),
            Fate("retried", retried, (Script(status=500),), {FAILED: ERROR}),
        )
    },
}

WATCHED_ONLY = ("disconnect", "stuck", "failed-with-it")
"""Without the package nobody ends these."""


def plans(
    seed: int, indices: Iterable[int], wires: tuple[Wire, ...], names: Iterable[str]
) -> Iterator[Plan]:
    """Draw the calls with these numbers: a pure function of the seed and the number."""
    fates = [FATES[name] for name in names]
    weights = [fate.weight for fate in fates]
    for index in indices:
        luck = Random(f"{seed}:{index}")
        (fate,) = luck.choices(fates, weights)
        yield Plan(index, fate, luck.choice(wires), luck.choice(fate.scripts))
