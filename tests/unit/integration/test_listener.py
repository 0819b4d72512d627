"""The listener: an application reads what it would read, whoever answers, and never less."""

import asyncio
import contextvars
import gc
import weakref
from typing import Any

import litellm
import pytest
from fastapi import Request

from disconnect.asgi import Message, Receive, Scope, Send, Served
from litellm_cancel_otel import CancellationMiddleware
from litellm_cancel_otel._demo.fakes import (
    FakeProvider,
    Script,
)
from support.calling import arguments, chat, silent
from support.hosts import (
    END,
    GONE,
    Answers,
    Counted,
    Failure,
    Unmapped,
    every_loop,
    never,
    nowhere,
    others,
    outcome,
    scope_of,
    turns,
)
from support.telemetry import Telemetry

sdk: Any = litellm


class TestReceive:
    """A server or an outer middleware may answer a read with anything."""

    @every_loop
    @pytest.mark.parametrize(
        "after",
        [
            (END,),
            ({"type": "http.request", "body": b"x", "more_body": True},),
            (GONE,),
            (GONE, END),
            (Failure("once"), GONE),
            (Failure("always"),),
            (None,),
            ({},),
            ({"type": "http.unheard_of"},),
            (Unmapped(),),
        ],
        ids=[
            "replay",
            "more",
            "gone",
            "gone+replay",
            "once",
            "raises",
            *["None", "{}", "type", "bad"],
        ],
    )
    @pytest.mark.parametrize("reads_before", [0, 1])
    async def test_is_read_as_without_and_at_most_once_more(
        self,
        telemetry: Telemetry,
        provider: FakeProvider,
        after: tuple[object, ...],
        reads_before: int,
    ) -> None:
        async def app(_: Scope, receive: Receive, send: Send) -> None:
            got.extend([await outcome(receive) for _ in range(reads_before)])
            call = asyncio.create_task(chat(provider, "openai"))
            exchange = await silent(provider)
            await turns()
            before.append(server.reads)
            exchange.release()
            await call
            got.extend([await outcome(receive) for _ in range(3)])
            await turns()

        provider.script = Script(hang_at="before_headers")
        seen: list[list[object]] = []
        reads: list[int] = []
        before: list[int] = []
        for one in (app, CancellationMiddleware(app)):
            got: list[object] = []
            server = Answers(END, *after)
            await one(scope_of(), server, nowhere)
            seen.append(got)
            reads.append(server.reads)

        without, with_it = seen
        assert len(without) == len(with_it)
        assert all(one is other for one, other in zip(without, with_it, strict=True))
        assert before[0] == reads_before
        assert before[1] <= 2  # the end of the body, and what comes after it
        assert reads[1] <= reads[0] + 1
        await turns(2)
        assert not [task for task in others() if "Listener" in repr(task)]

    async def test_that_is_no_coroutine(self, telemetry: Telemetry, provider: FakeProvider) -> None:
        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await chat(provider, "openai")
            await turns()
            got.append(type(await outcome(receive)))

        got: list[type] = []
        server: Any = dict
        for one in (app, CancellationMiddleware(app)):
            await one(scope_of(), server, nowhere)

        assert got == [TypeError, TypeError]

    @pytest.mark.parametrize(
        ("answers", "reads"),
        [
            ((END,), 2),
            ((END, Failure()), 2),
            ((END, GONE), 2),
            ((None,), 1),
            ((Failure(),), 1),
            ((GONE,), 1),
        ],
        ids=["replay", "raises", "gone", "None at once", "raises at once", "gone at once"],
    )
    async def test_is_not_listened_to_by_later_calls(
        self,
        telemetry: Telemetry,
        provider: FakeProvider,
        answers: tuple[object, ...],
        reads: int,
    ) -> None:
        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await outcome(receive)
            for _ in range(3):
                await chat(provider, "openai")
                await turns()

        server = Answers(*answers)
        await CancellationMiddleware(app)(scope_of(), server, nowhere)

        assert server.reads == reads

    @pytest.mark.parametrize("taken", [True, False], ids=["taken", "for nobody"])
    async def test_raised_is_let_go(
        self, telemetry: Telemetry, provider: FakeProvider, taken: bool
    ) -> None:
        async def receive() -> Message:
            raise Counted

        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await chat(provider, "openai")
            await turns()
            if taken:
                assert isinstance(await outcome(receive), Counted)
            contexts.append(contextvars.copy_context())

        contexts: list[contextvars.Context] = []
        gc.collect()
        gc.disable()
        try:
            await CancellationMiddleware(app)(scope_of(), receive, nowhere)
            await turns()
            assert not Counted.alive
        finally:
            gc.enable()

    async def test_context_that_outlives_the_request_does_not_keep_the_server(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await chat(provider, "openai")
            contexts.append(contextvars.copy_context())

        contexts: list[contextvars.Context] = []
        server = Answers(END, GONE)
        known = weakref.ref(server)
        await CancellationMiddleware(app)(scope_of(), server, nowhere)
        await turns()
        del server
        gc.collect()

        assert known() is None

    async def test_by_two_tasks_at_once(self, telemetry: Telemetry, provider: FakeProvider) -> None:
        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await chat(provider, "openai")
            readers = [asyncio.create_task(receive()) for _ in range(3)]
            await turns()
            queue.put_nowait({"type": "http.request", "body": b"1"})
            queue.put_nowait({"type": "http.request", "body": b"2"})
            queue.put_nowait(GONE)
            got.append([message.get("body") for message in await asyncio.gather(*readers)])

        got: list[list[object]] = []
        for one in (app, CancellationMiddleware(app)):
            queue: asyncio.Queue[Message] = asyncio.Queue()
            queue.put_nowait(END)
            await one(scope_of(), queue.get, nowhere)

        assert got == [[b"1", b"2", None]] * 2

    async def test_broken_off_loses_no_message(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(_: Scope, receive: Receive, send: Send) -> None:
            for number in range(4):
                reading = asyncio.ensure_future(receive())
                await asyncio.sleep(0)
                if number % 2:
                    queue.put_nowait({"type": "http.request", "body": b"%d" % number})
                    await turns(number)
                reading.cancel()
                done = (await asyncio.gather(reading, return_exceptions=True))[0]
                got.append(type(done) if isinstance(done, BaseException) else done["body"])
                if not number:
                    await chat(provider, "openai")
            while not queue.empty():
                got.append((await receive())["body"])

        got: list[object] = []
        queue: asyncio.Queue[Message] = asyncio.Queue()
        await CancellationMiddleware(app)(scope_of(), queue.get, nowhere)

        assert [one for one in got if isinstance(one, bytes)] == [b"1", b"3"]

    async def test_one_read_at_a_time(self, telemetry: Telemetry, provider: FakeProvider) -> None:
        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await receive()
            reading = asyncio.create_task(receive())
            await served.has_asked(2)
            await chat(provider, "openai")
            await turns()
            reads.append(served.reads)
            served.leave()
            assert (await reading)["type"] == "http.disconnect"

        reads: list[int] = []
        served = Served(CancellationMiddleware(app))

        assert await served.ended() is None
        assert reads == [2]

    async def test_is_disconnected_says_so_at_once(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await chat(provider, "openai")
            await turns()
            served.leave()
            await asyncio.sleep(0)
            answers.append(await Request(scope, receive).is_disconnected())

        answers: list[bool] = []
        for one in (app, CancellationMiddleware(app)):
            served = Served(one)
            assert await served.ended() is None

        assert answers == [True, True]

    async def test_child_that_outlives_the_application_goes_on_reading(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def receive() -> Message:
            reads.append(1)
            return await queue.get()

        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await chat(provider, "openai")
            children.append(asyncio.create_task(receive()))
            await turns()

        children: list[asyncio.Task[Message]] = []
        for one in (app, CancellationMiddleware(app)):
            reads: list[int] = []
            queue: asyncio.Queue[Message] = asyncio.Queue()
            queue.put_nowait(END)
            await one(scope_of(), receive, nowhere)
            await turns()
            assert not children[-1].done()
            queue.put_nowait(GONE)
            assert await children[-1] is GONE
            assert len(reads) == 2  # the one that was under way, and no other in its place

    async def test_child_that_is_told_to_stop_leaves_no_read_behind(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await chat(provider, "openai")
            children.append(asyncio.create_task(receive()))
            await turns()

        children: list[asyncio.Task[Message]] = []
        before = others()
        queue: asyncio.Queue[Message] = asyncio.Queue()
        queue.put_nowait(END)
        await CancellationMiddleware(app)(scope_of(), queue.get, nowhere)
        assert len(others() - before) > 1
        children[0].cancel()
        await turns()

        assert not [one for one in others() - before if "Listener" in repr(one)]

    async def test_in_a_thread_with_a_loop_of_its_own(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def receive() -> Message:
            return await never() if asyncio.get_running_loop() is loop else END

        async def app(_: Scope, receive: Receive, send: Send) -> None:
            call = asyncio.create_task(chat(provider, "openai"))
            exchange = await silent(provider)
            got.append(await asyncio.to_thread(lambda: asyncio.run(outcome(receive))))
            exchange.release()
            await call

        got: list[object] = []
        loop = asyncio.get_running_loop()
        provider.script = Script(hang_at="before_headers")
        for one in (app, CancellationMiddleware(app)):
            await one(scope_of(), receive, nowhere)

        assert got == [END, END]

    async def test_sees_the_context_of_what_is_outside(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def outer(scope: Scope, _: Receive, send: Send) -> None:
            variable.set("outer")
            await CancellationMiddleware(app)(scope, receive, send)
            seen.append(variable.get())

        async def receive() -> Message:
            read_in.append(variable.get())
            return GONE if len(read_in) > 1 else END

        async def app(_: Scope, receive: Receive, send: Send) -> None:
            seen.append(variable.get())
            variable.set("inner")
            await chat(provider, "openai")

        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
        seen: list[str] = []
        read_in: list[str] = []
        await asyncio.create_task(outer(scope_of(), never, nowhere))

        assert seen == ["outer", "inner"]
        assert read_in == ["outer", "outer"]

    @pytest.mark.parametrize("raises", [True, False], ids=["raises", "plain"])
    async def test_task_factory_of_the_hosts(
        self, telemetry: Telemetry, provider: FakeProvider, raises: bool
    ) -> None:
        def factory(loop: Any, coro: Any) -> Any:
            if raises and "Listener" in coro.__qualname__:
                raise Failure
            return asyncio.Task(coro, loop=loop)

        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await receive()
            loop.set_task_factory(factory)
            try:
                answers.append(await sdk.acompletion(**arguments(provider, "openai")))
            finally:
                loop.set_task_factory(None)

        loop = asyncio.get_running_loop()
        answers: list[object] = []
        server = Answers(END, GONE)
        await CancellationMiddleware(app)(scope_of(), server, nowhere)

        assert answers
        assert server.reads == (1 if raises else 2)
        telemetry.assert_nothing_open(faults={"listener": 1} if raises else {})
        telemetry.tracker.faults.counts.clear()


class TestBody:
    """A body is never read before the application reads it."""

    @pytest.mark.parametrize(
        "request_of",
        [
            {"headers": [(b"content-length", b"3")]},
            {"headers": [(b"Content-Length", b"3")]},
            {"headers": [(b"transfer-encoding", b"chunked")]},
            {"headers": [(b"expect", b"100-continue")]},
            {"headers": [(b"content-length", b"0"), (b"expect", b"100-continue")]},
            {"headers": [("content-length", "3")]},
            {"headers": 3},
            {"http_version": "2", "method": "POST"},
            {"http_version": "3", "method": "PUT"},
        ],
        ids=str,
    )
    async def test_may_come(
        self, telemetry: Telemetry, provider: FakeProvider, request_of: dict[str, Any]
    ) -> None:
        async def app(_: Scope, receive: Receive, send: Send) -> None:
            call = asyncio.create_task(chat(provider, "openai"))
            exchange = await silent(provider)
            await turns()
            reads.append(server.reads)
            await receive()
            await turns()
            reads.append(server.reads)
            await receive()
            await turns()
            reads.append(server.reads)
            exchange.release()
            await call

        reads: list[int] = []
        provider.script = Script(hang_at="before_headers")
        more: Message = {"type": "http.request", "body": b"a", "more_body": True}
        server = Answers(more, END, GONE)
        await CancellationMiddleware(app)(scope_of(**request_of), server, nowhere)

        assert reads == [0, 1, 3]  # from the body's end on, it listens

    @pytest.mark.parametrize(
        "request_of",
        [
            {},
            {"headers": None},
            {"headers": [(b"content-length", b"0")], "method": "POST"},
            {"http_version": "2"},
            {"http_version": "2", "method": "POST", "headers": [(b"content-length", b"0")]},
        ],
        ids=str,
    )
    async def test_does_not_come(
        self, telemetry: Telemetry, provider: FakeProvider, request_of: dict[str, Any]
    ) -> None:
        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await chat(provider, "openai")
            await turns()

        server = Answers(END, GONE)
        await CancellationMiddleware(app)(scope_of(**request_of), server, nowhere)

        assert server.reads == 2

    async def test_of_a_get_that_announces_none_is_handed_on_whole(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await chat(provider, "openai")
            bodies.append(await Request(scope, receive).body())

        bodies: list[bytes] = []
        pieces = [
            {"type": "http.request", "body": one, "more_body": one != b"c"}
            for one in (b"a", b"b", b"c")
        ]
        for one in (app, CancellationMiddleware(app)):
            await one(scope_of(http_version="2"), Answers(*pieces, GONE), nowhere)

        assert bodies == [b"abc", b"abc"]
