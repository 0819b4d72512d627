"""A stream that hangs, to try the alert, ``top`` and the runbook with."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import litellm

from .fakes import Script, ThreadedFakeProvider, Wire, aclose_litellm_clients, litellm_kwargs
from .site import MESSAGES

LIMIT = 2.0
"""Seconds without a chunk after which it is stuck here, in place of a minute."""

_CHUNKS = 3


def advice() -> str:
    """Return what to do while it hangs."""
    return (
        f"a stream hangs after {_CHUNKS} chunks, and is stuck after {LIMIT:g} s more; in another "
        f"terminal: litellm-cancel-otel top {os.getpid()}"
    )


async def hang(provider: Wire, seconds: float) -> None:
    """Ask a provider that falls silent in its answer, and wait for so long."""
    with ThreadedFakeProvider(Script(hang_at=_CHUNKS)) as fake:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await endpoint(provider, fake.base_url)
        await aclose_litellm_clients()


async def endpoint(provider: Wire, base_url: str) -> None:
    """Be an application's endpoint, which sends the pieces of an answer on."""
    async with aclosing(answer(provider, base_url)) as pieces:
        async for _ in pieces:
            pass


async def answer(provider: Wire, base_url: str) -> AsyncGenerator[object, None]:
    """Be the application's function that hangs: this is the frame to be found."""
    stream = await litellm.acompletion(
        messages=MESSAGES, stream=True, max_retries=0, **litellm_kwargs(provider, base_url)
    )
    async for chunk in stream:
        yield chunk
