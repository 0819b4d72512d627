"""Streams that do not stay with the task that opened them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from ..application import App, take, text_of, whole
from ..pattern import pattern


class Tee:
    """One stream for several branches, each of which reads at a pace of its own."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._lock = asyncio.Lock()
        self._read: list[str] = []
        self._over = False

    async def branch(self) -> AsyncIterator[str]:
        """Yield every piece, whoever asked for it first."""
        at = 0
        while True:
            async with self._lock:
                if at == len(self._read):
                    if self._over:
                        return
                    try:
                        self._read.append(text_of(await anext(self._stream)))
                    except StopAsyncIteration:
                        self._over = True
                        return
                piece = self._read[at]
            at += 1
            yield piece


@pattern()
async def a_tee_whose_one_branch_fails(app: App) -> None:
    """LangChain's RunnableParallel and aitertools.tee share one stream: one branch fails, the
    other takes 30 ms a chunk."""

    async def failing() -> None:
        async for piece in tee.branch():
            if piece:
                raise ValueError("a branch fails")

    async def slow() -> None:
        async for piece in tee.branch():
            app.log(piece, book="slow")
            await asyncio.sleep(0.03)

    app.script(chunks=15, interval=0.002)
    tee = Tee(await app.stream())
    branches = [asyncio.create_task(failing()), asyncio.create_task(slow())]
    for branch in branches:
        await asyncio.wait([branch])
        await app.ended(branch)


@pattern()
async def a_generator_goes_on_in_another_task(app: App) -> None:
    """A voice bot's first task is cancelled by the user's word, and another reads on from where
    the generator stands."""

    async def sentences(stream: Any) -> AsyncIterator[str]:
        try:
            async for chunk in stream:
                yield text_of(chunk)
        finally:
            app.log("finally")

    async def speak() -> None:
        async for sentence in kept:
            app.log("first", sentence)
            if sentence:
                spoken.set()
                await asyncio.Event().wait()

    spoken = asyncio.Event()
    kept = sentences(await app.stream())
    first = asyncio.create_task(speak())
    await app.until(spoken, "the first sentence")
    first.cancel()
    await app.ended(first)
    await asyncio.sleep(0.05)  # the user speaks
    app.log("second", [sentence async for sentence in kept])


@pattern()
async def a_stream_goes_on_in_another_task(app: App) -> None:
    """A job's worker fails after it has taken a chunk, and a retry takes the stream over."""

    async def worker(fails: bool) -> str:
        pieces = await take(stream, 1)
        if fails:
            raise ValueError(pieces)
        return pieces[0] + await whole(stream)

    stream = await app.stream()
    for fails in (True, False):
        await app.ended(asyncio.create_task(worker(fails)))
        await asyncio.sleep(0.05)  # the job's backoff


@pattern(loops=("asyncio", "uvloop"))
async def a_task_for_a_chunk_is_cancelled_before_it_began(app: App) -> None:
    """Prefetchers make a task for the next chunk and cancel it where it is not wanted yet.

    An eager task has begun by then.
    """
    app.script(hang_at=2)
    stream = await app.stream()
    for _ in range(2):
        early = asyncio.create_task(stream.__anext__())
        early.cancel()
        await app.ended(early)
        app.log(await take(stream, 1))
    await asyncio.sleep(0.02)  # the application has other things to do
    app.release(await app.exchange())
    app.log(await whole(stream))


@pattern()
async def a_chunks_task_is_cancelled_while_it_waits(app: App) -> None:
    """Prefetchers cancel the task that waits for the next chunk, and look at the stream later."""
    app.script(hang_at=1)
    stream = await app.stream()
    app.log(await take(stream, 1))
    waiting = asyncio.create_task(stream.__anext__())
    await app.turns(20)
    waiting.cancel("not wanted yet")
    await app.ended(waiting)
    app.release(await app.exchange())
    try:
        app.log(repr(await whole(stream)))
    except Exception as exc:
        app.caught(exc)


@pattern()
async def an_anext_that_nobody_awaits(app: App) -> None:
    """Merging libraries call __anext__ and decide then that they do not await it."""
    app.script(hang_at=1)
    stream = await app.stream()
    waiting = stream.__anext__()
    waiting.close()
    del waiting
    await asyncio.sleep(0.02)  # the application has other things to do
    app.release(await app.exchange())
    app.log(await whole(stream))


@pattern()
async def a_stream_in_turns(app: App) -> None:
    """Two consumers of one stream take a chunk each in turn, as a load balancer's workers do."""
    stream = await app.stream()
    turn = asyncio.Condition()
    state = {"next": 0}

    async def consumer(number: int) -> None:
        while True:
            async with turn:
                await turn.wait_for(lambda: state["next"] % 2 == number)
                try:
                    app.log(number, text_of(await anext(stream)))
                except StopAsyncIteration:
                    app.log(number, "end")
                    return
                finally:
                    state["next"] += 1
                    turn.notify_all()

    consumers = [asyncio.create_task(consumer(number)) for number in (0, 1)]
    for one in consumers:
        await app.ended(one)


@pattern()
async def keep_alives_while_a_chunk_is_awaited(app: App) -> None:
    """Server-sent events send a comment while the model thinks: the chunk's task is waited for
    with a timeout, again and again, and never cancelled."""
    app.script(hang_at=2)
    stream = await app.stream()
    exchange = await app.exchange()
    waiting: Any = None
    kept_alive = False
    while True:
        waiting = waiting or asyncio.ensure_future(anext(stream))
        done, _ = await asyncio.wait({waiting}, timeout=0.05)
        if not done:
            kept_alive = True
            app.release(exchange)
            await asyncio.wait({waiting})
        try:
            app.log(text_of(waiting.result()))
        except StopAsyncIteration:
            break
        waiting = None
    app.log("kept alive", kept_alive)


@pattern()
async def a_producer_and_a_queue(app: App) -> None:
    """Chainlit, Open WebUI and the OpenAI Agents SDK run the model in a task that fills a queue;
    a consumer drains it and leaves early."""

    async def produce() -> None:
        try:
            async for chunk in await app.stream():
                await pieces.put(text_of(chunk))
        except BaseException as exc:
            app.caught(exc, book="producer")
            raise
        finally:
            pieces.put_nowait(None)
            app.log("finally", book="producer")

    for stops_after in (99, 2):
        app.script(hang_at=None if stops_after > 9 else 2)
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        producer = asyncio.create_task(produce())
        taken = 0
        while (piece := await pieces.get()) is not None:
            app.log(piece)
            taken += bool(piece)
            if taken == stops_after:
                await app.turns()
                producer.cancel()
                break
        await app.ended(producer)


@pattern()
async def a_broadcast_whose_listener_leaves(app: App) -> None:
    """A room's answer goes to every listener by a queue each; one leaves, one is slow."""

    async def listen(number: int, leaves: bool) -> str:
        heard = ""
        while (piece := await queues[number].get()) is not None:
            heard += piece
            if piece and leaves:
                raise ConnectionError("gone")
            await asyncio.sleep(0.002)
        return heard

    async def speak() -> None:
        async for chunk in await app.stream():
            for to in queues:
                to.put_nowait(text_of(chunk))
        for to in queues:
            to.put_nowait(None)

    app.script(chunks=10, interval=0.001)
    queues: list[asyncio.Queue[str | None]] = [asyncio.Queue(), asyncio.Queue()]
    listeners = [asyncio.create_task(listen(number, number == 0)) for number in (0, 1)]
    await app.ended(asyncio.create_task(speak()))
    for number, one in enumerate(listeners):
        await app.ended(one, number)


@pattern()
async def several_streams_are_merged(app: App) -> None:
    """aiostream.stream.merge and mixture-of-agents read several models at once and stop at the
    first that ends."""

    async def reading(number: int) -> str:
        async with aclosing(await app.stream(model=f"m{number}")) as stream:
            return f"{number}: {await whole(stream)}"

    for number in (1, 2):
        app.script(f"m{number}", hang_at=1)
    readers = [asyncio.create_task(reading(number), name=str(number)) for number in range(3)]
    done, losers = await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
    app.log([task.result() for task in done])
    for one in losers:
        one.cancel()
    for one in sorted(losers, key=lambda task: task.get_name()):
        await app.ended(one, one.get_name())


@pattern()
async def results_as_they_complete(app: App) -> None:
    """Batch jobs gather many calls, some of which fail, with return_exceptions or as they
    complete."""
    app.script("bad", status=400)
    models = ("good", "bad", "good")
    results = await asyncio.gather(
        *(app.chat(model=model) for model in models), return_exceptions=True
    )
    for result in results:
        if isinstance(result, BaseException):
            app.caught(result)
        else:
            app.log(result.choices[0].message.content)
    try:
        await asyncio.gather(*(app.chat(model=model) for model in models))
    except Exception as exc:
        app.caught(exc)
    await app.idle()
    said = []
    for one in asyncio.as_completed([_content(app, model) for model in models]):
        said.append(await one)
    app.log(sorted(said))


async def _content(app: App, model: str) -> str:
    try:
        answer: str = (await app.chat(model=model)).choices[0].message.content
        return answer
    except Exception as exc:
        return type(exc).__name__


@pattern()
async def fire_and_forget(app: App) -> None:
    """Titles and tags of a chat are made in tasks that nobody awaits; one fails, and asyncio
    says so."""

    async def title() -> None:
        app.log((await app.chat()).choices[0].message.content, book="title")

    async def tags() -> None:
        async for chunk in await app.stream():
            if text_of(chunk):
                raise ValueError(text_of(chunk))

    kept = [asyncio.create_task(title()), asyncio.create_task(tags())]
    await asyncio.wait(kept)
    kept.clear()
    app.log("and on")
