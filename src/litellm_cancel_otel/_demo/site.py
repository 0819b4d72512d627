"""One provider, called by one caller in one way: what the ways of cancelling are written with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import litellm

from .dropping import DroppingTransport, client_for
from .fakes import Exchange, ThreadedFakeProvider, Wire, litellm_kwargs

MESSAGES = [{"role": "user", "content": "Say something long."}]


class Site:
    """The caller's side of one way of cancelling: it calls, reads, waits for silence and leaves.

    ``call_id`` is LiteLLM's id of the call, by which its span and callbacks are found again.
    """

    def __init__(self, provider: Wire, fake: ThreadedFakeProvider, call_id: str) -> None:
        self.provider = provider
        self.call_id = call_id
        self.left_at: float | None = None
        """When the caller went away, or its deadline passed, on ``time.perf_counter()``."""
        self._fake = fake
        self._from = len(fake.provider.exchanges)
        self._until: int | None = None
        self._kwargs = litellm_kwargs(provider, fake.base_url)
        self._chunks = 0
        self._closes: list[Callable[[], Awaitable[None]]] = []

    @property
    def exchanges(self) -> list[Exchange]:
        """What the provider has seen of this site."""
        return self._fake.provider.exchanges[self._from : self._until]

    def over(self) -> None:
        """Note that the caller has ended: a request from now on is the next one's."""
        self._until = len(self._fake.provider.exchanges)

    async def call(self, *, stream: bool, **more: Any) -> Any:
        """Make the call through the real LiteLLM, as an application does."""
        return await litellm.acompletion(
            messages=MESSAGES,
            stream=stream,
            max_retries=0,
            litellm_call_id=self.call_id,
            **self._kwargs,
            **more,
        )

    async def read(self, **more: Any) -> None:
        """Make a streamed call and read it to its end."""
        async for _ in await self.call(stream=True, **more):
            self.got_chunk()

    def got_chunk(self) -> None:
        """Note that the caller has a chunk in its hands."""
        self._chunks += 1

    async def silence(self, *, chunks: bool = True) -> None:
        """Wait until the provider is silent and, where there are chunks, the caller read them."""
        while not self.exchanges:
            await asyncio.to_thread(self._fake.next_exchange)
        await asyncio.to_thread(self._fake.run, self.exchanges[0].wait_hanging())
        if not chunks:
            return
        async with asyncio.timeout(5):
            read = 0
            while not self._chunks or read != self._chunks:
                read = self._chunks
                await asyncio.sleep(0.01)

    def leaves(self, after: float = 0.0) -> None:
        """Note that the caller goes away, now or when its deadline passes."""
        self.left_at = time.perf_counter() + after

    async def client(self, transport: DroppingTransport) -> Any:
        """Return a client for ``litellm.acompletion(client=...)`` that goes through a transport."""
        if "api_key" in self._kwargs:
            # LiteLLM keeps a client that it is given for Azure, and would use it for later calls
            # with the same key.
            self._kwargs["api_key"] = self.call_id
        client, close = await client_for(self.provider, self._kwargs, transport)
        self._closes.append(close)
        return client

    async def aclose(self) -> None:
        """Close the clients that were made here."""
        for close in self._closes:
            await close()
