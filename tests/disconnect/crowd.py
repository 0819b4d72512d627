"""A thousand clients gone at once: how long each turn of the event loop was held, and by what.

``python -m tests.disconnect.crowd``. A benchmark, not a test: its figures are this machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
from asyncio import base_events, events
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import litellm
from litellm.llms.custom_llm import CustomLLM
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from litellm_cancel_otel import CancellationMiddleware, CancelTelemetry, Settings

from .asgi import Receive, Scope, Send, Served, piece, start


class Turn(NamedTuple):
    """One turn of the loop, which runs everything that is due: seconds of the processor.

    Python's cyclic collector, which runs in whatever callback comes to its threshold and takes the
    longer the more LiteLLM has loaded, is apart.
    """

    ours: float
    """In callbacks of this package's."""
    others: float
    longest: float
    what: str
    """The package's callback that took longest."""
    collector: float
    """In the cyclic collector."""


class Silent(CustomLLM):
    """A provider that falls silent after two chunks: LiteLLM limits connections, but not these."""

    async def astreaming(self, *args: Any, **kwargs: Any) -> Any:
        for _ in range(2):
            yield {
                "finish_reason": "",
                "index": 0,
                "is_finished": False,
                "text": "word",
                "tool_use": None,
                "usage": None,
            }
        await asyncio.Event().wait()


async def pieces(ends: list[float]) -> AsyncIterator[bytes]:
    """An application's generator."""
    try:
        stream: Any = await litellm.acompletion(
            model="silent/model", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        async for _ in stream:
            yield b"piece"
    finally:
        ends.append(time.perf_counter())


def unheard(ends: list[float]) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return an application that listens for no disconnect: the guard stops it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        async for one in pieces(ends):
            await send(piece(one, more=True))

    return app


def orphaning(ends: list[float]) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return an application that fails while its generator is at its ``yield``: an orphan."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        generator = pieces(ends)
        kept.append(generator)  # as a framework's response object does
        await anext(generator)
        await send(piece(b"piece", more=True))
        while (await receive())["type"] != "http.disconnect":
            pass
        raise ConnectionError

    return app


kept: list[object] = []


async def measure(name: str, make: Any, clients: int) -> None:
    """Let the clients go at once, and print what the loop's turns were."""
    ends: list[float] = []
    app = CancellationMiddleware(make(ends))
    crowd = [Served(app) for _ in range(clients)]
    for served in crowd:
        await served.has_sent(2)
    await asyncio.sleep(0.5)
    turns: list[Turn] = []
    with timed(turns):
        left = time.perf_counter()
        for served in crowd:
            served.leave()
        while len(ends) < clients:
            await asyncio.sleep(0.001)
    await asyncio.gather(*(served.ended() for served in crowd))
    kept.clear()
    most, longest = max(turns), max(turns, key=lambda turn: turn.longest)
    print(f"{name}: {clients} clients")
    print(f"  the last finally came after {(ends[-1] - left) * 1e3:.0f} ms, in {len(turns)} turns")
    print(
        f"  the turn with most of ours: {most.ours * 1e3:.1f} ms ours, {most.others * 1e3:.1f} not"
    )
    print(f"  our longest callback: {longest.longest * 1e3:.1f} ms, {longest.what}")
    collector = max(turn.collector for turn in turns)
    print(f"  the turn with most of Python's cyclic collector: {collector * 1e3:.1f} ms")


@contextmanager
def timed(turns: list[Turn]) -> Iterator[None]:
    """Note every turn of the loop."""
    run, run_once = events.Handle._run, base_events.BaseEventLoop._run_once  # type: ignore[attr-defined]
    spent: list[tuple[float, str, bool]] = []
    collected: list[float] = []
    """When the collector began and ended, in turn."""

    def note_collector(*_: object) -> None:
        collected.append(time.thread_time())

    def taken() -> float:
        return sum(collected[1::2]) - sum(collected[::2])

    def timed_run(handle: events.Handle) -> None:
        name, ours = _whose(handle)
        before, begin = taken(), time.thread_time()  # of this thread: other processes do not count
        run(handle)
        took = time.thread_time() - begin
        spent.append((took - (taken() - before), name, ours))

    def timed_turn(loop: object) -> None:
        run_once(loop)
        mine = [(seconds, name) for seconds, name, ours in spent if ours]
        others = sum(seconds for seconds, _, ours in spent if not ours)
        longest = max(mine, default=(0.0, ""))
        turns.append(Turn(sum(one for one, _ in mine), others, *longest, taken()))
        spent.clear()
        collected.clear()

    gc.callbacks.append(note_collector)
    events.Handle._run = timed_run  # type: ignore[method-assign, assignment]
    base_events.BaseEventLoop._run_once = timed_turn  # type: ignore[attr-defined]
    try:
        yield
    finally:
        gc.callbacks.remove(note_collector)
        events.Handle._run = run  # type: ignore[method-assign]
        base_events.BaseEventLoop._run_once = run_once  # type: ignore[attr-defined]


def _whose(handle: events.Handle) -> tuple[str, bool]:
    """Return a callback's name, and whether it is this package's."""
    callback: Any = handle._callback  # type: ignore[attr-defined]
    callback = getattr(callback, "func", callback)
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        callback = task.get_coro()
        code = getattr(callback, "cr_code", None)
    else:
        code = getattr(callback, "__code__", None)
    return getattr(callback, "__qualname__", str(callback)), code is not None and (
        "litellm_cancel_otel" in code.co_filename
    )


async def main(clients: int) -> None:
    """Measure both ways."""
    litellm.custom_provider_map = [{"provider": "silent", "custom_handler": Silent()}]
    settings = Settings(max_models=10)
    with CancelTelemetry(
        tracer_provider=TracerProvider(), meter_provider=MeterProvider(), settings=settings
    ):
        await measure("nobody listens, the guard stops the request", unheard, clients)
        await measure("orphans, the guard closes them", orphaning, clients)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.disconnect.crowd", description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    asyncio.run(main(parser.parse_args().clients))
