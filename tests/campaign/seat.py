"""One call of the campaign, from its caller's side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import litellm

from litellm_cancel_otel._demo.fakes import Exchange, Script, Wire, litellm_kwargs

from .provider import Desk, marked
from .wills import WILL, Will

PATIENCE = 30.0
"""Seconds after which something that must come is given up: a backstop."""

Client = Callable[[Wire, dict[str, Any]], Awaitable[Any]]


class Seat:
    """Makes one call, and knows what the provider does in it.

    ``luck`` is the call's own random source: what a fate draws from it depends on the seed and the
    call's number alone. ``client`` makes LiteLLM's client for a call that has a will.
    """

    def __init__(
        self, index: int, wire: Wire, desk: Desk, script: Script, luck: Random, client: Client
    ) -> None:
        self.index = index
        self.wire = wire
        self.luck = luck
        self._kwargs = litellm_kwargs(wire, desk.base_url)
        self._client = client
        self._arrived: asyncio.Future[Exchange] = asyncio.get_running_loop().create_future()
        self._read: dict[int, asyncio.Event] = {}
        self.pieces = 0
        desk.expect(index, script, self._exchange)

    async def call(self, *, stream: bool = True, will: Will | None = None, **more: Any) -> Any:
        """Make the call, as an application does."""
        if will is not None:
            WILL.set(will)
            more["client"] = await self._client(self.wire, self._kwargs)
            more["api_key"] = "willed"  # LiteLLM keeps a client by its key
            if self.wire == "bedrock":
                del more["api_key"]
        return await litellm.acompletion(
            **{**self._kwargs, **more},
            messages=[{"role": "user", "content": marked(self.index)}],
            stream=stream,
            max_retries=0,
            litellm_call_id=str(self.index),
        )

    async def read(self, **more: Any) -> None:
        """Make the call, streamed, and read it to its end; nothing but the loop holds it."""
        async for chunk in await self.call(**more):
            self.got(chunk)

    def got(self, chunk: Any) -> bool:
        """Note a chunk; return whether there was text in it."""
        if not any(choice.delta.content for choice in chunk.choices):
            return False
        self.pieces += 1
        if (event := self._read.get(self.pieces)) is not None:
            event.set()
        return True

    async def has(self, pieces: int) -> None:
        """Wait until the caller has read that many pieces of text."""
        if self.pieces < pieces:
            event = self._read.setdefault(pieces, asyncio.Event())
            await asyncio.wait_for(event.wait(), PATIENCE)

    async def exchange(self) -> Exchange:
        """Return the call's first exchange, as soon as the provider has its request."""
        return await asyncio.wait_for(asyncio.shield(self._arrived), PATIENCE)

    async def silent(self, pieces: int = 0) -> Exchange:
        """Wait until the provider is silent and the caller has read that many pieces."""
        exchange = await self.exchange()
        await exchange.wait_hanging(PATIENCE)
        await self.has(pieces)
        return exchange

    def _exchange(self, exchange: Exchange) -> None:
        if self._arrived.done():
            exchange.release()  # LiteLLM asks once more, by itself: the fate has been played
        else:
            self._arrived.set_result(exchange)
