"""Calls a route, leaves it, and observes what becomes of it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from .._demo.fakes import Exchange, FakeProvider, Script
from .client import Client
from .problem import Problem
from .records import Checked, Left, Middleware, middleware_of
from .request import Request
from .told import Application, state_of
from .ways import Way

WINDOW: Final = 2.0
"""Seconds for which a request is observed after its client has left, at most."""
PATIENCE: Final = 60.0
"""Seconds for an answer: LiteLLM imports much at its first call."""
TRIES: Final = 3
"""A way that is late is tried again, and the best counts: one hiccup may be the machine's."""
LOOK: Final = 0.05
"""Seconds from one look at what is still open to the next."""


class Bench:
    """An application before a fake provider, both running."""

    def __init__(self, application: Application, provider: FakeProvider) -> None:
        self.application = application
        self.told = application.told
        self._provider = provider
        provider.plain = Script()

    async def probe(self, request: Request) -> None:
        """Call a route and read its answer; raise Problem where no LiteLLM call is streamed."""
        self._provider.script = Script(chunks=3)
        calls, refused = len(self._provider.exchanges), len(self._provider.refused)
        raised = len(self.told.raised)
        broken = False
        with Client(self.application.address) as client:
            try:
                async with asyncio.timeout(PATIENCE):
                    await client.ask(request)
                    head = await client.head()
                    with_length = any(name == b"content-length" for name, _ in head.headers)
                    try:
                        await client.body()
                    except ConnectionError:
                        broken = True
            except TimeoutError:
                raise Problem(f"{request.route} does not answer within {PATIENCE:g} s") from None
            except ConnectionError:
                raise Problem(f"{request.route} closes the connection without an answer") from None
        if broken or head.status_code >= 500:  # why it failed is told after its answer
            with suppress(TimeoutError):
                await self.told.until(lambda: len(self.told.raised) > raised, "why", WINDOW)
        if unknown := self._provider.refused[refused:]:
            raise Problem(
                f"{request.route} asks a provider that has no fake here ({unknown[0]}): "
                "choose a model of azure, openai, anthropic or bedrock for the check"
            )
        why = f": {self.told.raised[-1]}" if len(self.told.raised) > raised else ""
        if head.status_code != 200:
            advice = _advice(head.status_code, why)
            raise Problem(f"{request.route} answers {head.status_code}{advice}")
        if broken:
            raise Problem(f"{request.route} breaks its answer off{why}")
        if with_length:
            raise Problem(f"{request.route} never streams: its answer comes in one piece")
        if not any(call.stream for call in self._provider.exchanges[calls:]):
            raise Problem(f"{request.route} streams, but makes no streamed LiteLLM call")

    async def check(self, request: Request, ways: tuple[Way, ...], within: float) -> Checked:
        """Leave a route in these ways."""
        lefts = []
        for way in ways:
            tries = [await self.leave(request, way)]
            while len(tries) < TRIES and tries[-1].seen and any(tries[-1].problems(within)):
                tries.append(await self.leave(request, way))
            lefts.append(min(tries, key=lambda left: left.lateness))
        return Checked(request.route, self.middleware_of(request), tuple(lefts))

    async def leave(self, request: Request, way: Way) -> Left:
        """Leave a route in one way."""
        self._provider.script = way.script
        swallowed = (await state_of(self.application))["swallowed"]
        run = _Run(len(self._provider.exchanges), len(self.told.overs), time.time_ns())
        with Client(self.application.address, reads=way.reads) as client:
            await client.ask(request)
            exchange = await self._streamed(request, run)
            with suppress(RuntimeError, TimeoutError):  # the call was over before
                await way.until(client, exchange, self.told)
            left, left_ns = way.leave(client)
            state = await self._observe(run)
        ends = [span["end"] for span in self.told.spans if span["start"] >= run.began]
        closes = [one.closed_at for one in self._provider.exchanges[run.calls :]]
        open_streams = run.still_open(state)
        if open_streams or None in closes:
            await self._clear(run)
        return Left(
            way.name,
            way.title,
            None if open_streams or not ends else max(0.0, (max(ends) - left_ns) / 1e9),
            _last(closes, left),
            state["swallowed"] - swallowed,
            open_streams,
            seen=bool(ends or open_streams),
        )

    def middleware_of(self, request: Request) -> Middleware:
        """Return the middleware around a route."""
        parts = (self.told.layout or {}).get("parts", [])
        return middleware_of(parts, request.method, request.path)

    async def _streamed(self, request: Request, run: _Run) -> Exchange:
        with suppress(TimeoutError):
            while True:
                exchange = await self._provider.next_exchange(PATIENCE)
                if exchange.stream and exchange in self._provider.exchanges[run.calls :]:
                    return exchange
        raise Problem(f"{request.route} calls no more: earlier clients have left it busy")

    async def _observe(self, run: _Run) -> dict[str, Any]:
        """Wait until all is over, or the window closes; return the state then."""
        until = time.perf_counter() + WINDOW

        def time_left() -> float:
            return max(0.001, until - time.perf_counter())

        with suppress(TimeoutError):
            for exchange in self._provider.exchanges[run.calls :]:
                await exchange.wait_closed(time_left())
            await self.told.until(lambda: len(self.told.overs) > run.overs, "the end", time_left())
        return await self._ended(run, until)

    async def _clear(self, run: _Run) -> None:
        """End what is left, so that the next client finds the application as this one did."""
        await self._provider.hang_up()
        await self._ended(run, time.perf_counter() + WINDOW)

    async def _ended(self, run: _Run, until: float) -> dict[str, Any]:
        while True:
            state = await state_of(self.application)
            if not run.still_open(state) or time.perf_counter() > until:
                return state
            await asyncio.sleep(LOOK)


@dataclass(frozen=True, slots=True)
class _Run:
    """Where one request begins in what was seen: earlier ones may have left something behind."""

    calls: int
    overs: int
    began: int
    """In nanoseconds since the epoch."""

    def still_open(self, state: dict[str, Any]) -> int:
        """Return how many of its streams are open."""
        return sum(start >= self.began for start in state["open"])


def _last(closes: list[float | None], left: float) -> float | None:
    """Return how long after the client left the last of these was; None where one was not."""
    known = [at for at in closes if at is not None]
    if not known or len(known) < len(closes):
        return None
    return max(0.0, max(known) - left)


def _advice(status: int, why: str) -> str:
    match status:
        case 401 | 403:
            return ": it wants credentials, which are given with --header 'Authorization: …'"
        case 404:
            return ": there is no such route, or nothing behind it"
        case 405:
            return ": it takes another method"
        case 422 | 400:
            return ": the request does not fit, give one that does with --body"
        case _:
            return why
