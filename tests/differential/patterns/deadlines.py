"""Deadlines, scopes and cancels: whose they are must stay as it was."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Any

import anyio

from ..application import App, chained, take, text_of, whole
from ..pattern import pattern


@pattern()
async def a_timeout_around_a_stream(app: App) -> None:
    """Chat bots give an answer so many seconds by asyncio.timeout, and then answer otherwise."""
    app.script(hang_at=2)
    try:
        async with asyncio.timeout(None) as deadline:
            stream = await app.stream()
            app.log(await take(stream, 2))
            deadline.reschedule(0)
            await anext(stream)
    except TimeoutError as exc:
        app.caught(exc)
        app.log(chained(exc), deadline.expired())
    app.log("cancelling", _cancelling())
    app.script()
    app.log(await whole(await app.stream()))


def _cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


@pattern()
async def a_timeout_around_a_call(app: App) -> None:
    """FastAPI handlers put asyncio.wait_for around a call that is not streamed."""
    for hang_at in ("before_headers", "before_first_chunk", 0):
        app.script(hang_at=hang_at)
        try:
            await asyncio.wait_for(app.chat(), 0.05)
        except BaseException as exc:
            app.caught(exc, hang_at)
    app.script()
    app.log((await app.chat()).choices[0].message.content)


@pattern()
async def wait_for_each_chunk(app: App) -> None:
    """Servers that watch for a provider that stalls put wait_for around each chunk."""
    app.script(chunks=5, hang_at=3)
    stream = await app.stream()
    app.log([text_of(await asyncio.wait_for(anext(stream), 5)) for _ in range(3)])
    app.log(await asyncio.wait_for(take(stream, 1), 5))
    try:
        await asyncio.wait_for(anext(stream), 0.02)
    except TimeoutError as exc:
        app.caught(exc)
    app.release(await app.exchange())
    try:
        app.log("after it", repr(text_of(await asyncio.wait_for(anext(stream), 5))))
    except BaseException as exc:
        app.caught(exc)


@pattern()
async def wait_for_nothing(app: App) -> None:
    """A poll: wait_for(x, 0) looks whether something is there already, and goes on where not."""
    app.script(hang_at="before_headers")
    for _ in range(2):
        try:
            app.log(await asyncio.wait_for(app.chat(), 0))
        except TimeoutError as exc:
            app.caught(exc)
    app.log("cancelling", _cancelling())
    app.script(hang_at=1)
    stream = await app.stream()
    app.log(await take(stream, 1))
    try:
        await asyncio.wait_for(anext(stream), 0)
    except TimeoutError as exc:
        app.caught(exc)
    app.log("cancelling", _cancelling())


@pattern()
async def timeouts_in_timeouts(app: App) -> None:
    """Agent frameworks nest a limit for a step in one for the turn: only the inner one expires."""
    app.script(hang_at=1)
    async with asyncio.timeout(60) as turn:
        try:
            async with asyncio.timeout(None) as step:
                stream = await app.stream()
                app.log(await take(stream, 1))
                step.reschedule(0)
                await anext(stream)
        except TimeoutError:
            app.log("step", step.expired(), "turn", turn.expired())
        app.script()
        app.log(await whole(await app.stream()))
    app.log("turn", turn.expired(), "cancelling", _cancelling())


@pattern()
async def a_task_group_whose_member_fails(app: App) -> None:
    """Agents run tools side by side in a TaskGroup; one fails, and the others are cancelled."""
    reading = asyncio.Event()

    async def member(number: int) -> None:
        try:
            stream = await app.stream()
            app.log(await take(stream, 1), book=f"member {number}")
            reading.set()
            await whole(stream)
        except BaseException as exc:
            app.caught(exc, book=f"member {number}")
            raise
        finally:
            app.log("finally", book=f"member {number}")

    async def failing() -> None:
        await app.until(reading, "the first piece")
        raise ValueError("the tool failed")

    app.script(hang_at=1)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(member(1))
            group.create_task(failing())
    except BaseExceptionGroup as exc:
        app.caught(exc)
    app.log("cancelling", _cancelling())


@pattern()
async def anyio_scopes(app: App) -> None:
    """Starlette, MCP servers and the Anthropic SDK's users limit work by anyio's cancel scopes."""
    app.script(hang_at=1)
    with anyio.move_on_after(60) as scope:
        stream = await app.stream()
        app.log(await take(stream, 1))
        scope.deadline = anyio.current_time()
        await anext(stream)
    app.log("moved on", scope.cancelled_caught)
    try:
        with anyio.fail_after(60) as scope:
            stream = await app.stream()
            app.log(await take(stream, 1))
            scope.deadline = anyio.current_time()
            await anext(stream)
    except TimeoutError as exc:
        app.caught(exc)
    with anyio.CancelScope() as outer:
        outer.cancel()
        with anyio.CancelScope(shield=True):
            app.script()
            app.log("shielded", await whole(await app.stream()))
        with suppress(BaseException):
            await anyio.lowlevel.checkpoint()
            app.log("not reached")
    app.log("cancelling", _cancelling())


@pattern()
async def an_anyio_task_group_is_cancelled(app: App) -> None:
    """MCP and Starlette cancel a task group's scope; a member saves its partial answer under a
    shield."""
    started = anyio.Event()

    async def member() -> None:
        pieces: list[str] = []
        try:
            async for chunk in await app.stream():
                pieces.append(text_of(chunk))
                if pieces[-1]:
                    started.set()
        except BaseException as exc:
            app.log(type(exc).__name__, book="member")
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01)
                (app.folder / "partial").write_text("".join(pieces))
                app.log("saved", book="member")

    app.script(hang_at=1)
    async with anyio.create_task_group() as group:
        group.start_soon(member)
        await started.wait()
        group.cancel_scope.cancel()
    app.log("cancelled", group.cancel_scope.cancelled_caught)


@pattern()
async def the_same_cancel_comes_through(app: App) -> None:
    """Schedulers tell by the very CancelledError, and by its message, whose cancel it was."""
    seen: list[BaseException] = []

    async def inner(stream: Any) -> None:
        try:
            await whole(stream)
        except BaseException as exc:
            seen.append(exc)
            raise

    async def outer() -> None:
        try:
            await inner(await app.stream())
        except BaseException as exc:
            app.caught(exc, chained(exc), exc is seen[0], exc.args)
            raise

    app.script(hang_at=1)
    task = asyncio.create_task(outer())
    exchange = await app.hanging()
    await app.there(exchange.wait_chunks(1))
    await app.turns()
    task.cancel("by the scheduler")
    try:
        await task
    except asyncio.CancelledError as exc:
        app.log("outside", exc.args)
    app.log(task.cancelled(), task.cancelling())


@pattern()
async def a_cancel_is_swallowed_and_the_work_goes_on(app: App) -> None:
    """A chat's stop button cancels the task; it keeps what it has and answers another question."""
    reached = asyncio.Event()

    async def chat() -> str:
        stream = await app.stream()
        try:
            app.log(await take(stream, 1))
            reached.set()
            await anext(stream)
        except asyncio.CancelledError as exc:
            app.caught(exc, "stopped", _cancelling())
        app.script()
        answer = await whole(await app.stream())
        task = asyncio.current_task()
        assert task is not None
        app.log("count", task.uncancel())
        return answer + (await app.chat()).choices[0].message.content

    app.script(hang_at=1)
    task = asyncio.create_task(chat())
    await app.until(reached, "the first piece")
    task.cancel()
    await app.ended(task)


@pattern()
async def a_task_is_cancelled_twice(app: App) -> None:
    """Supervisors cancel again what has not ended; the first clean-up is cut short by the
    second."""
    reached, cleaning = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            stream = await app.stream()
            await take(stream, 1)
            reached.set()
            await anext(stream)
        except asyncio.CancelledError as exc:
            app.caught(exc, _cancelling())
            cleaning.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as again:
                app.caught(again, "again", _cancelling(), again.__context__ is exc)
            raise

    app.script(hang_at=1)
    task = asyncio.create_task(work())
    await app.until(reached, "the first piece")
    task.cancel("first")
    await app.until(cleaning, "the clean-up")
    task.cancel("second")
    await app.ended(task)


@pattern()
async def a_call_under_a_shield(app: App) -> None:
    """Billing code shields a call, so that a cancelled request's answer is still stored."""

    async def answer_and_store() -> None:
        answer = await whole(await app.stream())
        (app.folder / "answer").write_text(answer)
        app.log("stored", book="store")
        stored.set()

    async def request() -> None:
        try:
            await asyncio.shield(storing)
        except asyncio.CancelledError as exc:
            app.caught(exc)
            raise

    stored = asyncio.Event()
    app.script(hang_at=2)
    storing = asyncio.create_task(answer_and_store())
    task = asyncio.create_task(request())
    exchange = await app.hanging()
    task.cancel()
    await app.ended(task)
    app.release(exchange)
    await app.until(stored, "the store")


@pattern()
async def a_stream_opened_while_a_deadline_unwinds(app: App) -> None:
    """A deadline passes; the handler's except or finally asks for a short apology, which is read
    after the scope; later the task is really cancelled."""
    reading = asyncio.Event()

    async def request() -> None:
        stream: Any = None
        try:
            async with asyncio.timeout(0.01):
                try:
                    await asyncio.Event().wait()
                finally:
                    app.script(hang_at=1)
                    stream = await app.stream()
        except TimeoutError:
            app.log("too late", _cancelling())
        try:
            app.log(await take(stream, 1))
            reading.set()
            await whole(stream)
        except BaseException as exc:
            app.caught(exc)
            raise

    task = asyncio.create_task(request())
    await app.until(reading, "the first piece")
    await app.turns()
    task.cancel()
    await app.ended(task)
    app.log(task.cancelled())


@pattern()
async def a_cancel_while_it_connects(app: App) -> None:
    """A user who types on cancels the suggestion that was just asked for, at any of its steps."""
    for turns in (0, 1, 2, 3, 5, 8, 13, 21):
        app.script(hang_at="before_headers")
        task = asyncio.create_task(app.stream())
        await app.turns(turns)
        task.cancel(f"after {turns}")
        await app.ended(task, turns)
        app.log(task.cancelled())


@pattern()
async def sys_exc_info_and_context(app: App) -> None:
    """Error reporters look at sys.exc_info and at the chain: an except block is still the
    caller's own while it streams."""
    try:
        raise ValueError("the host's")
    except ValueError:
        stream = await app.stream()
        app.log(sys.exc_info()[0])
        async for chunk in stream:
            app.log(text_of(chunk), sys.exc_info()[0])
        app.script(status=500)
        try:
            await app.chat()
        except Exception as exc:
            app.log(chained(exc), chained(exc.__context__))
    app.log(sys.exc_info())
