"""Agent frameworks: turns, tools, interruptions, several models at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, suppress
from typing import Any

from ..application import App, take, text_of, whole
from ..pattern import pattern


@pattern()
async def a_run_that_is_streamed(app: App) -> None:
    """The OpenAI Agents SDK runs a turn in a task that feeds a queue, and its user breaks out of
    stream_events."""

    class Run:
        def __init__(self) -> None:
            self.events: asyncio.Queue[str | None] = asyncio.Queue()
            self.task = asyncio.create_task(self._turns())

        async def _turns(self) -> None:
            try:
                for turn in range(2):
                    async for chunk in await app.stream():
                        self.events.put_nowait(f"{turn}{text_of(chunk)}")
            finally:
                app.log("the run's finally")
                self.events.put_nowait(None)

        async def stream_events(self) -> AsyncIterator[str]:
            while (event := await self.events.get()) is not None:
                yield event

        def cancel(self) -> None:
            self.task.cancel()

    run = Run()
    app.log([event async for event in run.stream_events()])
    app.script(hang_at=1)
    run = Run()
    async for event in run.stream_events():
        app.log(event)
        if "word" in event:
            run.cancel()
            break
    await app.ended(run.task)


@pattern()
async def a_user_interrupts_and_asks_again(app: App) -> None:
    """Voice bots and chats cancel the answer that is being spoken as soon as a new question
    comes, ten times in a row."""
    answering: asyncio.Task[str] | None = None

    async def answer(number: int, begun: asyncio.Event) -> str:
        stream = await app.stream()
        pieces = await take(stream, 1)
        begun.set()
        return f"{number}: {pieces[0]}{await whole(stream)}"

    app.script(hang_at=1)
    for number in range(10):
        if answering is not None:
            answering.cancel("a new question")
            await app.ended(answering, number)
        begun = asyncio.Event()
        answering = asyncio.create_task(answer(number, begun))
        await app.until(begun, "the answer")
    assert answering is not None
    app.provider.run(_release_all(app))
    await app.ended(answering)


async def _release_all(app: App) -> None:
    for exchange in app.provider.provider.exchanges:
        exchange.release()


@pattern()
async def nested_generators(app: App) -> None:
    """LangChain's and LlamaIndex' chains are generators in generators, each with a finally of its
    own; the outermost is closed early."""

    async def layer(number: int, inner: AsyncIterator[str]) -> AsyncIterator[str]:
        try:
            async for piece in inner:
                yield f"{number}{piece}"
        except BaseException as exc:
            app.log(number, type(exc).__name__)
            raise
        finally:
            aclose: Any = getattr(inner, "aclose", None)
            if aclose is not None:
                await aclose()
            app.log(number, "finally")

    async def innermost() -> AsyncIterator[str]:
        async for chunk in await app.stream():
            yield text_of(chunk)

    app.script(hang_at=1)
    async with aclosing(layer(2, layer(1, innermost()))) as chain:
        async for piece in chain:
            app.log(piece)
            if "word" in piece:
                break


@pattern()
async def resources_on_an_exit_stack(app: App) -> None:
    """MCP clients keep streams and sessions on an AsyncExitStack, which unwinds in order while a
    cancel passes through."""

    class Session:
        def __init__(self, name: str) -> None:
            self.name = name

        async def __aenter__(self) -> None:
            app.log("open", self.name)

        async def __aexit__(self, kind: Any, *_: object) -> None:
            await asyncio.sleep(0)
            app.log("close", self.name, getattr(kind, "__name__", None))

    reached = asyncio.Event()

    async def work() -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(Session("first"))
            stream = await stack.enter_async_context(aclosing(await app.stream()))
            await stack.enter_async_context(Session("second"))
            app.log(await take(stream, 1))
            reached.set()
            await whole(stream)

    app.script(hang_at=1)
    task = asyncio.create_task(work())
    await app.until(reached, "the first piece")
    await app.turns()
    task.cancel()
    await app.ended(task)


@pattern()
async def a_race_between_models(app: App) -> None:
    """Latency hedging asks two models, takes the first word and cancels the other."""
    app.script("slow", hang_at="before_first_chunk")

    async def first_word(model: str) -> tuple[str, Any]:
        stream = await app.stream(model=model)
        return (await take(stream, 1))[0], stream

    racers = [asyncio.create_task(first_word(model)) for model in ("slow", "fast")]
    done, losers = await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
    for loser in losers:
        loser.cancel()
        await app.ended(loser, "loser")
    word, stream = done.pop().result()
    app.log(word, await whole(stream))


@pattern()
async def a_stop_event(app: App) -> None:
    """Agent kits stop a stream by an event that is looked at between chunks; the stream is
    closed, and the turn returns what it has."""
    stop = asyncio.Event()

    async def turn() -> str:
        said = ""
        async with aclosing(await app.stream()) as stream:
            async for chunk in stream:
                said += text_of(chunk)
                if said:
                    stop.set()
                if stop.is_set():
                    break
        return said

    app.script(chunks=None, interval=0.001)
    app.log(await turn())
    await app.idle()


@pattern()
async def a_semaphore_and_many_calls(app: App) -> None:
    """Batch runners hold a semaphore around each call; cancelled ones give it back."""
    gate = asyncio.Semaphore(2)

    async def call(model: str) -> str:
        async with gate:
            return await whole(await app.stream(model=model))

    app.script("slow", hang_at=1)
    slow = [asyncio.create_task(call("slow")) for _ in range(2)]
    quick = [asyncio.create_task(call("quick")) for _ in range(4)]
    for _ in slow:
        await app.hanging()
    for task in slow:
        task.cancel()
    for task in slow + quick:
        await app.ended(task)
    app.log(gate.locked())


@pattern()
async def a_cleanup_that_calls_a_model(app: App) -> None:
    """A cancelled agent asks for a summary of what it has done, in its finally, under a shield of
    its own task."""
    reached = asyncio.Event()

    async def agent() -> None:
        try:
            stream = await app.stream()
            await take(stream, 1)
            reached.set()
            await whole(stream)
        finally:
            app.script()
            summary = await asyncio.shield(asyncio.create_task(app.chat()))
            app.log("summary", summary.choices[0].message.content)
            with suppress(Exception):
                app.log(await whole(await app.stream()))

    app.script(hang_at=1)
    task = asyncio.create_task(agent())
    await app.until(reached, "the first piece")
    await app.turns()
    task.cancel()
    await app.ended(task)
