"""The ways in which a client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from .._demo.fakes import Exchange, Script
from .client import Client, Moment
from .told import Told

SHOWN: Final = 2.0
"""Seconds that an application may take to hand on what its provider has sent; some keep it back."""
FULL: Final = 10.0
"""Seconds in which what is between the application and a client that does not read has filled."""
DEADLINE: Final = 0.5
"""Seconds that a client with a deadline waits."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way: what the provider does meanwhile, and what the client does until it leaves."""

    name: str
    title: str
    script: Script
    until: Callable[[Client, Exchange, Told], Awaitable[None]]
    reads: bool = True
    leave: Callable[[Client], Moment] = Client.leave


async def _before(client: Client, exchange: Exchange, told: Told) -> None:
    await exchange.wait_hanging()


async def _after_first(client: Client, exchange: Exchange, told: Told) -> None:
    await exchange.wait_hanging()
    await _read(client, 1)


async def _in_the_middle(client: Client, exchange: Exchange, told: Told) -> None:
    await _read(client, 10)


async def _not_reading(client: Client, exchange: Exchange, told: Told) -> None:
    blocked = told.blocked
    with suppress(TimeoutError):
        await told.until(lambda: told.blocked > blocked, "a full connection", FULL)


async def _until_deadline(client: Client, exchange: Exchange, told: Told) -> None:
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(DEADLINE):
            await client.body()


async def _read(client: Client, pieces: int) -> None:
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(SHOWN):
            for _ in range(pieces):
                if await client.piece() is None:
                    return


WAYS: Final = (
    Way(
        "before-first-chunk",
        "before the first chunk",
        Script(chunks=None, hang_at="before_first_chunk"),
        _before,
    ),
    Way("after-first-chunk", "after the first chunk", Script(chunks=None, hang_at=1), _after_first),
    Way("middle", "in the middle", Script(chunks=None, interval=0.01), _in_the_middle),
    Way(
        "reset",
        "stopped reading, reset",
        Script(chunks=None, interval=0.002),
        _not_reading,
        reads=False,
        leave=Client.reset,
    ),
    Way(
        "half-closed",
        "sending side closed",
        Script(chunks=None, hang_at=1),
        _after_first,
        leave=Client.half_close,
    ),
    Way("deadline", "by its deadline", Script(chunks=None, hang_at=3), _until_deadline),
)
NAMES: Final = tuple(way.name for way in WAYS)


def ways_of(names: tuple[str, ...] | None) -> tuple[Way, ...]:
    """Return the ways of these names, all where none are given; ValueError for an unknown name."""
    if names is None:
        return WAYS
    if unknown := [name for name in names if name not in NAMES]:
        raise ValueError(f"no way is called {unknown[0]!r}; they are {', '.join(NAMES)}")
    return tuple(way for way in WAYS if way.name in names)
