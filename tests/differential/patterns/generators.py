"""Async generators over a stream, and what their callers do with them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from typing import Any

from litellm import CustomStreamWrapper

from ..application import App, chained, take, text_of, whole
from ..pattern import pattern

REQUEST: ContextVar[str] = ContextVar("REQUEST", default="none")


async def texts(app: App, stream: Any) -> AsyncIterator[str]:
    """Yield a stream's pieces, and log how that ended."""
    try:
        async for chunk in stream:
            yield text_of(chunk)
    except BaseException as exc:
        app.caught(exc, "in the generator:")
        raise
    finally:
        app.log("finally")


@pattern()
async def an_exception_thrown_into_a_generator(app: App) -> None:
    """asynccontextmanager and frameworks with interrupts use athrow."""

    class Interrupt(Exception):
        pass

    pieces: Any = texts(app, await app.stream())
    app.log(await anext(pieces))
    try:
        await pieces.athrow(Interrupt("stop"))
    except Interrupt as exc:
        app.caught(exc, chained(exc))
    app.log([piece async for piece in pieces])


@pattern()
async def a_generator_that_catches_and_goes_on(app: App) -> None:
    """A filter inside the generator catches what the consumer throws in and yields the rest."""

    async def patient() -> AsyncIterator[str]:
        stream = await app.stream()
        async for chunk in stream:
            try:
                yield text_of(chunk)
            except ValueError as exc:
                app.caught(exc)
                yield "sorry"

    pieces: Any = patient()
    app.log(await anext(pieces), await anext(pieces))
    app.log(await pieces.athrow(ValueError("no such word")))
    app.log([piece async for piece in pieces])


@pattern()
async def aclosing_and_break(app: App) -> None:
    """LangChain's astream and the asyncio documentation say: aclosing around a generator that is
    left early."""
    app.script(hang_at=2)
    async with aclosing(texts(app, await app.stream())) as pieces:
        async for piece in pieces:
            app.log(piece)
            if piece:
                break
    app.log("after")
    async with aclosing(await app.stream()) as stream:
        app.log(await take(stream, 1))
    try:
        app.log(repr(await anext(stream, "nothing")))
    except BaseException as exc:
        app.caught(exc)


@pattern()
async def break_at_finish_reason(app: App) -> None:
    """The most common loop of all: break at finish_reason, then drop the stream or close it."""
    for closes in (False, True):
        stream = await app.stream()
        async for chunk in stream:
            app.log(text_of(chunk), chunk.choices[0].finish_reason)
            if chunk.choices[0].finish_reason:
                break
        if closes:
            await stream.aclose()
        del stream, chunk
        gc.collect()
        await app.turns(20)
        app.log("left", _streams())


def _streams() -> int:
    return sum(issubclass(type(one), CustomStreamWrapper) for one in gc.get_objects())


@pattern()
async def a_stream_left_by_break_in_a_task(app: App) -> None:
    """A task looks at the beginning of an answer, returns, and nobody refers to the stream any
    more: it must be freed, and its connection with it."""

    async def look() -> str:
        async for chunk in await app.stream():
            if text_of(chunk):
                break
        return text_of(chunk)

    app.script(chunks=None, interval=0.001)
    for _ in range(6):
        app.log(await asyncio.create_task(look()))
    await app.turns(20)
    gc.collect()
    await asyncio.sleep(0.01)
    gc.collect()
    app.log("left", _streams())


@pattern()
async def a_stream_in_a_cycle(app: App) -> None:
    """An answer object refers to its stream and the stream's callbacks to the answer."""

    class Answer:
        def __init__(self, stream: Any) -> None:
            self.stream = stream
            self.me = self

    async def look() -> None:
        answer = Answer(await app.stream())
        app.log(await take(answer.stream, 1))

    app.script(chunks=None, interval=0.001)
    for _ in range(3):
        await look()
    gc.collect()
    await app.turns(20)
    app.log("left", _streams())


@pattern()
async def a_dropped_generator(app: App) -> None:
    """A generator is left by break and dropped: its finally runs as the loop finalizes it.

    It is compared once all garbage is gone: the package may run that finally earlier.
    """
    app.script(hang_at=1)

    async def look() -> None:
        async for piece in texts(app, await app.stream()):
            if piece:
                break

    await look()
    gc.collect()
    await app.turns(20)
    await asyncio.sleep(0.01)
    app.log("after")


@pattern()
async def comprehensions(app: App) -> None:
    """Notebooks write an async comprehension over a stream, or over a generator of generators."""
    stream = await app.stream()
    app.log([text_of(chunk) async for chunk in stream if chunk.choices])
    app.log({text: len(text) async for text in texts(app, await app.stream())})
    app.log(await anext(aiter(stream), "the end"), await anext(stream, "still"))
    app.log([len(await whole(await app.stream())) for _ in range(2)])


@pattern()
async def context_variables(app: App) -> None:
    """Structlog, OpenTelemetry and Starlette's context keep a request's id in a context variable
    that a generator sets and its caller sees."""

    async def sets() -> AsyncIterator[str]:
        stream = await app.stream()
        number = 0
        async for _ in stream:
            number += 1
            REQUEST.set(f"chunk {number}")
            yield REQUEST.get()

    token = REQUEST.set("mine")
    async for seen in sets():
        app.log(seen, REQUEST.get())
    REQUEST.reset(token)
    app.log(REQUEST.get())
    await asyncio.create_task(_in_a_task(app))
    app.log(REQUEST.get())


async def _in_a_task(app: App) -> None:
    REQUEST.set("the task's")
    app.log((await app.chat()).choices[0].message.content, REQUEST.get())


@pattern()
async def a_stream_as_a_context_manager(app: App) -> None:
    """Applications wrap a stream in an asynccontextmanager that closes it and says what it
    cost."""

    @asynccontextmanager
    async def answering() -> AsyncIterator[Any]:
        stream = await app.stream()
        try:
            yield stream
        except ValueError as exc:
            app.caught(exc, "inside:")
            raise
        finally:
            await stream.aclose()
            app.log("closed")

    async with answering() as stream:
        app.log(await whole(stream))
    app.script(hang_at=1)
    try:
        async with answering() as stream:
            app.log(await take(stream, 1))
            raise ValueError("enough")
    except ValueError as exc:
        app.caught(exc)


@pattern()
async def values_sent_into_a_generator(app: App) -> None:
    """A steerable agent takes the user's next word by asend, between two pieces of an answer."""

    async def steerable() -> Any:
        word = yield "ready"
        while word:
            stream = await app.stream()
            async for chunk in stream:
                said = yield f"{word}: {text_of(chunk)}"
                if said:
                    word = said
                    break
            else:
                word = None

    pieces: Any = steerable()
    app.log(await anext(pieces))
    app.log(await pieces.asend("left"))
    app.log(await anext(pieces))
    app.log(await pieces.asend("right"))
    app.log([piece async for piece in pieces])


@pattern()
async def a_generator_is_closed_while_it_waits(app: App) -> None:
    """A consumer's deadline closes a generator in whose stream another task waits: Python says
    that it is already running."""

    async def read() -> None:
        async for piece in pieces:
            if piece:
                started.set()

    app.script(hang_at=1)
    started = asyncio.Event()
    pieces: Any = texts(app, await app.stream())
    task = asyncio.create_task(read())
    await app.until(started, "the first piece")
    await app.turns()
    try:
        await pieces.aclose()
    except RuntimeError as exc:
        app.caught(exc)
    task.cancel()
    await app.ended(task)
