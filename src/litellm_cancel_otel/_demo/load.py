"""A steady mix of traffic at the fake providers, for dashboards: most of it is completed."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import litellm

from .._calls.unguarded import unguarded
from .._integration.listener import Message, Receive, Scope
from .._integration.middleware import CancellationMiddleware, Send
from .dropping import DroppingTransport, client_for
from .fakes import Script, ThreadedFakeProvider, Wire, aclose_litellm_clients, litellm_kwargs
from .site import MESSAGES

MODELS: dict[Wire, tuple[str, str]] = {
    "azure": ("gpt-4o", "gpt-4o-mini"),
    "openai": ("gpt-4o-mini", "gpt-4.1-mini"),
    "anthropic": ("claude-3-5-sonnet-20241022", "claude-3-5-haiku-20241022"),
    "bedrock": (
        "anthropic.claude-3-5-sonnet-20240620-v1:0",
        "anthropic.claude-3-haiku-20240307-v1:0",
    ),
}

ANSWER = Script(chunks=20, interval=0.03)
"""An answer of 0.6 s, within which callers leave."""
REFUSAL = Script(status=429)
GRACE = 2.0
"""Seconds for the calls under way at the end."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One call to make: whom it asks, and with which arguments."""

    kwargs: dict[str, Any]
    luck: random.Random

    async def ask(self, **how: Any) -> Any:
        """Make the call."""
        return await litellm.acompletion(messages=MESSAGES, max_retries=0, **how, **self.kwargs)

    async def read(self, at_most: int | None = None, **how: Any) -> None:
        """Make a streamed call and read it, or break off after some chunks."""
        read = 0
        async for _ in await self.ask(stream=True, **how):
            read += 1
            if read == at_most:
                break

    def patience(self) -> float:
        """Return how long a caller waits that does not wait to the end."""
        return self.luck.uniform(0.05, 0.5)


async def completed(caller: Caller) -> None:
    """Read a stream to its end."""
    await caller.read()


async def body(caller: Caller) -> None:
    """Ask for an answer in one piece."""
    await caller.ask(stream=False)


async def deadline(caller: Caller) -> None:
    """Let a deadline cut the stream short."""
    async with asyncio.timeout(caller.patience()):
        await caller.read()


async def client_gone(caller: Caller) -> None:
    """Serve a request whose client goes away."""
    await _served(caller, caller.read)


async def saved(caller: Caller) -> None:
    """Serve a request whose client goes away, and read the answer to its end to save it."""

    async def save() -> None:
        with unguarded():
            await caller.read(stream_options={"include_usage": True})

    await _served(caller, save)


async def _served(caller: Caller, work: Callable[[], Awaitable[None]]) -> None:
    """Do a request's work behind the middleware, without a socket, while its client goes away."""

    async def receive() -> Message:
        await asyncio.sleep(caller.patience())
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pass

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await work()
        await send({"type": "http.response.body", "body": b"done"})

    scope = {"type": "http", "http_version": "1.1", "method": "GET", "headers": []}
    await CancellationMiddleware(app)(scope, receive, send)


async def dropped(caller: Caller) -> None:
    """Break off after some chunks."""
    await caller.read(at_most=caller.luck.randint(1, 10))


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of call in the mix: how many of a hundred, what its caller does, whom it asks."""

    name: str
    weight: int
    act: Callable[[Caller], Awaitable[None]]
    at: Literal["answering", "refusing", "dropping"] = "answering"


KINDS = (
    Kind("completed", 58, completed),
    Kind("body", 12, body),
    Kind("deadline", 9, deadline),
    Kind("client_gone", 9, client_gone),
    Kind("saved", 2, saved),
    Kind("dropped", 4, dropped),
    Kind("refused", 4, body, "refusing"),
    Kind("azure_internal", 2, completed, "dropping"),
)


async def warm_up(providers: Sequence[Wire]) -> None:
    """Make the first calls to each provider, at which LiteLLM imports much.

    That holds the loop for seconds, in which every caller who leaves would be cleaned up late.
    """
    luck = random.Random(1)
    with ThreadedFakeProvider(Script()) as answering, ThreadedFakeProvider(REFUSAL) as refusing:
        for provider in providers:
            for fake, act in ((answering, completed), (answering, body), (refusing, body)):
                caller = Caller(litellm_kwargs(provider, fake.base_url), luck)
                await asyncio.gather(act(caller), return_exceptions=True)
        await aclose_litellm_clients()


class Load:
    """Calls the providers at a rate, each at a moment of its own, whatever became of the others."""

    def __init__(self, providers: Sequence[Wire], rate: float) -> None:
        self._providers = providers
        self._kinds = [one for one in KINDS if one.at != "dropping" or "azure" in providers]
        self._rate = rate
        self._luck = random.Random(1)
        self._callers_luck = random.Random(1)
        """One apart: callers draw when they come to it, and the calls are the same in each run."""
        self.made: Counter[str] = Counter()
        """Calls made, by kind."""

    async def run(self, seconds: float) -> None:
        """Call for that long, and see the calls under way to their end."""
        under_way: set[asyncio.Task[None]] = set()
        with ThreadedFakeProvider(ANSWER) as answering, ThreadedFakeProvider(REFUSAL) as refusing:
            urls = {"answering": answering.base_url, "refusing": refusing.base_url}
            dropping, close = await _dropping(answering.base_url)
            at = time.monotonic()
            end = at + seconds
            while (at := at + self._luck.expovariate(self._rate)) < end:
                await asyncio.sleep(max(0.0, at - time.monotonic()))
                task = asyncio.create_task(self._call(urls, dropping))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            if under_way:
                await asyncio.wait(under_way, timeout=GRACE)
            await close()
            await aclose_litellm_clients()

    async def _call(self, urls: dict[str, str], dropping: dict[str, Any]) -> None:
        (kind,) = self._luck.choices(self._kinds, [one.weight for one in self._kinds])
        provider = self._luck.choice(self._providers)
        model = self._luck.choice(MODELS[provider])
        kwargs = (
            dropping if kind.at == "dropping" else litellm_kwargs(provider, urls[kind.at], model)
        )
        self.made[kind.name] += 1
        # Whatever comes of it, a refusal or the cancel of a client that has gone, was asked for.
        await asyncio.gather(kind.act(Caller(kwargs, self._callers_luck)), return_exceptions=True)


async def _dropping(base_url: str) -> tuple[dict[str, Any], Callable[[], Awaitable[None]]]:
    """Return the arguments of a call to Azure through an HTTP layer that cancels, and its close."""
    # A key of its own: LiteLLM keeps the client for other calls with the same key.
    kwargs = litellm_kwargs("azure", base_url, MODELS["azure"][0]) | {"api_key": "dropping"}
    client, close = await client_for("azure", kwargs, DroppingTransport("body"))
    return {**kwargs, "client": client}, close
