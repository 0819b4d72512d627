"""CancellationMiddleware on ASGI calls held by hand: what it sees, and what it leaves as it was."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import litellm
import pytest
from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware

from disconnect.asgi import App, Message, Receive, Send, Served, piece, start
from litellm_cancel_otel import CancellationMiddleware
from litellm_cancel_otel._demo.fakes import FakeProvider, Script, aclose_litellm_clients
from support.calling import arguments, chat, silent
from support.telemetry import Cancel, Telemetry, cancel_of, external

sdk: Any = litellm
every_loop = pytest.mark.every_loop
Scope = Any


def gone(phase: str = "streaming", signal: str = "asgi_receive", ended_by: str = "guard") -> Cancel:
    """Return the cancel by a client that went away."""
    return external("client_disconnect", phase, signal, ended_by)


class Site:
    """A site with a streaming endpoint, whose generator notes how it ended."""

    def __init__(self, provider: FakeProvider, layers: tuple[type, ...]) -> None:
        self.seen: list[str] = []
        self.finished = asyncio.Event()
        self._provider = provider
        application = FastAPI()
        application.get("/")(self.answer)
        for layer in layers:
            application.add_middleware(layer)
        self.app: App = application

    async def answer(self) -> StreamingResponse:
        return StreamingResponse(self.pieces())

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            async for _ in await chat(self._provider, "openai", stream=True):
                yield b"piece"
        except BaseException as exc:
            self.seen.append(type(exc).__name__)
            raise
        finally:
            self.finished.set()

    async def finally_called(self) -> None:
        async with asyncio.timeout(5):
            await self.finished.wait()


class Passing(BaseHTTPMiddleware):
    """What ``@app.middleware("http")`` makes."""

    async def dispatch(self, request: Any, call_next: Any) -> Any:
        return await call_next(request)


def streaming(provider: FakeProvider, seen: list[str] | None = None, **more: Any) -> App:
    """Return a bare ASGI application that streams, and never asks for a disconnect."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        try:
            async for _ in await chat(provider, "openai", stream=True, **more):
                await send(piece(b"piece", more=True))
        except BaseException as exc:
            if seen is not None:
                seen.append(type(exc).__name__)
            raise
        await send(piece())

    return app


class TestDisconnect:
    @every_loop
    async def test_nobody_listens_and_the_provider_is_silent(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        provider.script = Script(hang_at=2)
        seen: list[str] = []
        served = Served(CancellationMiddleware(streaming(provider, seen)))
        exchange = await silent(provider)
        await served.has_sent(2)

        served.leave()

        assert await served.ended() is None
        assert seen == ["CancelledError"]
        assert not served.task.cancelled()
        assert served.task.cancelling() == 0
        await exchange.wait_closed()
        span = await telemetry.span()
        assert cancel_of(span.attributes or {}) == gone()

    @every_loop
    async def test_send_raises(self, telemetry: Telemetry, provider: FakeProvider) -> None:
        provider.script = Script(chunks=None, interval=0.001)
        seen: list[str] = []
        served = Served(CancellationMiddleware(streaming(provider, seen)), raises=True)
        exchange = await provider.next_exchange()
        await served.has_sent(3)
        served._receive = asyncio.Event().wait  # type: ignore[method-assign, assignment]

        served.leave()

        assert isinstance(await served.ended(), OSError)
        assert seen == ["OSError"]
        await exchange.wait_closed()
        span = await telemetry.span()
        assert cancel_of(span.attributes or {}).source == "client_disconnect"

    # The server of these tests keeps the exception, whose traceback reaches the body's generator.
    @pytest.mark.settings(orphan_grace=0.05)
    @every_loop
    @pytest.mark.parametrize(
        "layers",
        [
            (CancellationMiddleware,),
            (Passing, CancellationMiddleware),
            (CancellationMiddleware, Passing),
            (Passing, CancellationMiddleware, Passing),
            (CancellationMiddleware, Passing, CancellationMiddleware),
        ],
        ids=lambda layers: "+".join("O" if one is Passing else "C" for one in layers),
    )
    @pytest.mark.parametrize("reads", [True, False], ids=["reads", "stopped"])
    @pytest.mark.parametrize("raises", [False, True], ids=["2.3", "2.4"])
    async def test_nested(
        self,
        telemetry: Telemetry,
        provider: FakeProvider,
        layers: tuple[type, ...],
        reads: bool,
        raises: bool,
    ) -> None:
        provider.script = Script(hang_at=5) if reads else Script(chunks=None, interval=0.001)
        site = Site(provider, layers)
        served = Served(site.app, reads=reads, raises=raises)
        exchange = await provider.next_exchange()
        await served.has_sent(2)
        if reads:
            await exchange.wait_hanging()

        served.leave()

        await site.finally_called()
        await served.ended()
        await exchange.wait_closed()
        span = await telemetry.span()
        sources = {"client_disconnect"}
        if raises and layers[-1] is Passing:
            # The outer middleware learns of it from ``send``, and cancels before the word is in.
            sources |= {"abandoned", "task_cancel"}
        assert cancel_of(span.attributes or {}).source in sources
        assert telemetry.outcomes() == {"cancelled": 1}

    async def test_behind_a_middleware_before_the_first_chunk(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        provider.script = Script(hang_at="before_first_chunk")
        site = Site(provider, (Passing, CancellationMiddleware))
        served = Served(site.app, raises=True)
        exchange = await provider.next_exchange()
        await exchange.wait_hanging()

        served.leave()

        await site.finally_called()
        await exchange.wait_closed()
        span = await telemetry.span()
        assert cancel_of(span.attributes or {}).source == "client_disconnect"

    async def test_before_the_provider_answers(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        provider.script = Script(hang_at="before_headers")
        served = Served(CancellationMiddleware(streaming(provider)))
        exchange = await silent(provider)

        served.leave()

        assert await served.ended() is None
        await exchange.wait_closed()
        await telemetry.assert_one(gone("request"))

    async def test_twice(self, telemetry: Telemetry, provider: FakeProvider) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(start())
            stream = await chat(provider, "openai", stream=True)
            messages = [await receive(), await receive()]
            assert [message["type"] for message in messages] == ["http.disconnect"] * 2
            await stream.aclose()

        provider.script = Script(hang_at=2)
        served = Served(CancellationMiddleware(app))
        await silent(provider)
        served.leave()

        assert await served.ended() is None
        await telemetry.assert_one(gone("request", ended_by="aclose"))

    async def test_during_aclose(self, telemetry: Telemetry, provider: FakeProvider) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(start())
            stream = await chat(provider, "openai", stream=True)
            await anext(stream)
            served.leave()
            await stream.aclose()

        provider.script = Script(hang_at=2)
        served = Served(CancellationMiddleware(app))

        assert await served.ended() is None
        await provider.wait_idle()
        span = await telemetry.span()
        assert cancel_of(span.attributes or {}).ended_by == "aclose"
        assert telemetry.outcomes() == {"cancelled": 1}

    async def test_in_the_instant_of_the_end(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(start())
            async for _ in await chat(provider, "openai", stream=True):
                pass
            served.leave()
            await send(piece())

        served = Served(CancellationMiddleware(app))

        assert await served.ended() is None
        assert telemetry.outcomes() == {"completed": 1}

    async def test_after_the_whole_response(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(start())
            await send(piece())
            served.leave()  # to the server it is one: it has nothing more to receive
            caller.append(await chat(provider, "openai"))

        caller: list[object] = []
        served = Served(CancellationMiddleware(app))

        assert await served.ended() is None
        assert caller
        assert telemetry.outcomes() == {"completed": 1}

    async def test_as_the_whole_response_is_sent(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(chat(provider, "openai"))
                await silent(provider)
                await send(start())
                await send(piece(b"whole"))

        provider.script = Script(hang_at="before_headers")
        served = Served(CancellationMiddleware(app), closes=True)
        await served.has_sent(2)
        await asyncio.sleep(0.05)  # more than the guard's grace
        provider.exchanges[0].release()

        assert await served.ended() is None
        assert telemetry.outcomes() == {"completed": 1}

    async def test_call_that_begins_when_the_application_knows(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(start())
            await chat(provider, "openai")
            assert (await receive())["type"] == "http.disconnect"
            await chat(provider, "openai")

        provider.script = Script(hang_at="before_headers")
        served = Served(CancellationMiddleware(app))
        first = await silent(provider)
        await served.has_asked(2)
        served.leave()
        first.release()
        second = await silent(provider)
        await asyncio.sleep(0.05)  # more than the guard's grace
        second.release()

        assert await served.ended() is None
        assert telemetry.outcomes() == {"completed": 2}

    async def test_application_that_gives_up_listening(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            reading = asyncio.ensure_future(receive())
            await served.has_asked(2)
            await send(start())
            stream = await chat(provider, "openai", stream=True)
            reading.cancel()
            async for _ in stream:
                await send(piece(b"piece", more=True))

        provider.script = Script(hang_at=2)
        served = Served(CancellationMiddleware(app))
        exchange = await silent(provider)
        await served.has_sent(2)
        served.leave()

        assert await served.ended() is None
        await exchange.wait_closed()
        span = await telemetry.span()
        assert cancel_of(span.attributes or {}) == gone()

    async def test_in_a_child_task(self, telemetry: Telemetry, provider: FakeProvider) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(streaming(provider)(scope, receive, send))

        provider.script = Script(hang_at=2)
        served = Served(CancellationMiddleware(app))
        exchange = await silent(provider)
        await served.has_sent(2)
        served.leave()

        assert await served.ended() is None
        await exchange.wait_closed()
        await telemetry.assert_one(gone())

    async def test_of_an_application_that_goes_on(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            with pytest.raises(asyncio.CancelledError):
                await streaming(provider)(scope, receive, send)
            provider.script = Script()
            answers.append(await chat(provider, "openai"))

        answers: list[object] = []
        provider.script = Script(hang_at=2)
        served = Served(CancellationMiddleware(app))
        await silent(provider)
        await served.has_sent(2)
        served.leave()

        assert await served.ended() is None
        assert answers
        assert served.task.cancelling() == 0
        assert telemetry.outcomes() == {"cancelled": 1, "completed": 1}

    @every_loop
    async def test_work_of_its_own_is_not_stopped(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            await anext(pieces)
            await send(piece(b"piece", more=True))
            await saved.wait()
            await site_work()

        async def site_work() -> None:
            async for _ in pieces:
                pass

        saved = asyncio.Event()
        provider.script = Script(hang_at=3)
        site = Site(provider, ())
        pieces = site.pieces()
        served = Served(CancellationMiddleware(app))
        exchange = await provider.next_exchange()
        await served.has_sent(2)
        served.leave()
        await asyncio.sleep(0.1)  # five times the guard's grace
        assert not served.task.done()

        saved.set()  # from here on it waits for the provider alone, for a client that has gone

        assert await served.ended() is None
        await site.finally_called()
        assert site.seen == ["CancelledError"]
        await exchange.wait_closed()
        span = await telemetry.span()
        assert cancel_of(span.attributes or {}) == gone()

    async def test_cancel_of_the_servers_own_goes_on(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        provider.script = Script(hang_at=2)
        served = Served(CancellationMiddleware(streaming(provider)))
        await silent(provider)
        await served.has_sent(2)
        served.task.cancel()

        await served.ended()
        assert served.task.cancelled()
        await telemetry.assert_one(external("task_cancel", "streaming"))

    async def test_handler_that_does_not_respond_yet_goes_on(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await chat(provider, "openai")
            await send(start())
            await send(piece(b"whole"))

        provider.script = Script(hang_at="before_headers")
        served = Served(CancellationMiddleware(app))
        exchange = await silent(provider)
        served.leave()
        await asyncio.sleep(0.05)  # more than the guard's grace
        exchange.release()

        assert await served.ended() is None
        assert served.body == b"whole"
        assert telemetry.outcomes() == {"completed": 1}

    async def test_response_that_begins_after_it(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            stream = await chat(provider, "openai", stream=True)
            await send(start())
            async for _ in stream:
                await send(piece(b"piece", more=True))

        provider.script = Script(hang_at="before_headers", chunks=None, interval=0.01)
        served = Served(CancellationMiddleware(app))
        exchange = await silent(provider)
        served.leave()
        await asyncio.sleep(0.05)  # more than the guard's grace
        exchange.release()

        assert await served.ended() is None
        await exchange.wait_closed()
        span = await telemetry.span()
        assert cancel_of(span.attributes or {}).source == "client_disconnect"

    async def test_second_call_of_an_application_that_does_not_know(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(start())
            await chat(provider, "openai")
            await asyncio.sleep(0.05)  # a tool runs, for more than the guard's grace
            provider.script = Script(hang_at="before_headers")
            served_call.append(await chat(provider, "openai"))

        served_call: list[object] = []
        provider.script = Script(hang_at="before_headers")
        served = Served(CancellationMiddleware(app))
        first = await silent(provider)
        provider.script = Script()
        await served.has_asked(2)
        first.release()
        await first.wait_closed()
        served.leave()

        assert await served.ended() is None
        assert not served_call

    async def test_watched_only(self, provider: FakeProvider) -> None:
        provider.script = Script(hang_at=2)
        with Telemetry(guard=False) as telemetry:
            served = Served(CancellationMiddleware(streaming(provider)))
            exchange = await silent(provider)
            await served.has_sent(2)
            served.leave()
            await asyncio.sleep(0.05)  # more than the guard's grace

            assert not served.task.done()
            exchange.release()
            assert await served.ended() is None
            telemetry.assert_nothing_open()


class TestUndisturbed:
    async def test_without_telemetry(self) -> None:
        passed: list[object] = []

        async def app(*given: object) -> None:
            passed.extend(given)

        given: Any = ({"type": "http", "headers": []}, object(), object())
        await CancellationMiddleware(app)(*given)

        assert passed == list(given)

    async def test_websocket(self, telemetry: Telemetry) -> None:
        passed: list[object] = []

        async def app(*given: object) -> None:
            passed.extend(given)

        given: Any = ({"type": "websocket"}, object(), object())
        await CancellationMiddleware(app)(*given)

        assert all(got is was for got, was in zip(passed, given, strict=True))

    async def test_lifespan_is_answered_by_the_application(self, telemetry: Telemetry) -> None:
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
        sent: list[str] = []

        async def receive() -> Message:
            return next(messages)

        async def send(message: Message) -> None:
            sent.append(message["type"])

        app: Any = FastAPI()
        await CancellationMiddleware(app)({"type": "lifespan", "app": app}, receive, send)

        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    @pytest.mark.parametrize("ends", [True, False], ids=["ends", "hangs"])
    async def test_shutdown_exports_what_its_last_requests_were(
        self,
        telemetry: Telemetry,
        provider: FakeProvider,
        monkeypatch: pytest.MonkeyPatch,
        ends: bool,
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await send({"type": "lifespan.shutdown.complete"})
                return
            try:
                await asyncio.Event().wait()
            finally:
                for _ in range(20):  # turns of the loop that unwinding takes
                    await asyncio.sleep(0)
                if ends:
                    over.append("request")
                else:
                    await asyncio.Event().wait()

        async def send(_: Message) -> None:
            over.append("shutdown")

        over: list[str] = []
        monkeypatch.setattr(telemetry.tracker, "flush", lambda: over.append("export"))
        middleware = CancellationMiddleware(app)
        served = Served(middleware)
        await asyncio.sleep(0)
        served.task.cancel()  # as a server does, which then goes on at once
        await middleware({"type": "lifespan"}, served._receive, send)

        assert over == ["request"] * ends + ["export", "shutdown"]
        served.task.cancel()
        await asyncio.wait([served.task])

    async def test_request_without_a_call_is_not_listened_to(self, telemetry: Telemetry) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(start())
            await asyncio.sleep(0)
            await send(piece(b"whole"))

        served = Served(CancellationMiddleware(app))

        assert await served.ended() is None
        assert (served.reads, served.body) == (1, b"whole")

    async def test_upload_is_not_read_ahead(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        reads: list[int] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            first = await receive()
            await chat(provider, "openai")
            got = [first["body"]]
            more = True
            while more:
                await asyncio.sleep(0)
                reads.append(served.reads)
                message = await receive()
                got.append(message["body"])
                more = message["more_body"]
            await send(start())
            await send(piece(b"".join(got)))

        pieces = [b"a", b"b", b"c", b"d"]
        body = [
            {"type": "http.request", "body": one, "more_body": one != pieces[-1]} for one in pieces
        ]
        headers = [(b"transfer-encoding", b"chunked")]
        served = Served(CancellationMiddleware(app), body=body, headers=headers)

        assert await served.ended() is None
        assert served.body == b"abcd"
        assert reads == [1, 2, 3]

    async def test_upload_that_no_header_announces(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await chat(provider, "openai")
            messages = [await receive() for _ in range(3)]
            await send(start())
            await send(piece(b"".join(message["body"] for message in messages)))

        pieces = [b"a", b"b", b"c"]
        body = [{"type": "http.request", "body": one, "more_body": one != b"c"} for one in pieces]
        served = Served(CancellationMiddleware(app), body=body)

        assert await served.ended() is None
        assert served.body == b"abc"

    async def test_is_disconnected(self, telemetry: Telemetry, provider: FakeProvider) -> None:
        answers: list[bool] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope, receive)
            await request.body()
            async with asyncio.TaskGroup() as group:
                call = group.create_task(chat(provider, "openai"))
                exchange = await silent(provider)
                answers.append(await request.is_disconnected())
                served.leave()
                while not await request.is_disconnected():
                    await asyncio.sleep(0)
                answers.append(await request.is_disconnected())
                exchange.release()
                await call
            await send(start())
            await send(piece())

        provider.script = Script(hang_at="before_headers")
        served = Served(CancellationMiddleware(app))

        assert await served.ended() is None
        assert answers == [False, True]
        assert telemetry.outcomes() == {"completed": 1}

    async def test_application_that_listens_itself(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(start())
            call = asyncio.create_task(chat(provider, "openai"))
            assert (await receive())["type"] == "http.disconnect"
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

        provider.script = Script(hang_at="before_headers")
        served = Served(CancellationMiddleware(app))
        await silent(provider)
        served.leave()

        assert await served.ended() is None
        await telemetry.assert_one(gone("request", ended_by="exception"))

    async def test_read_that_the_application_breaks_off(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            call = asyncio.create_task(chat(provider, "openai"))
            exchange = await silent(provider)
            assert (await receive())["type"] == "http.request"
            for _ in range(3):
                reading = asyncio.ensure_future(receive())
                await asyncio.sleep(0)
                reading.cancel()
                await asyncio.wait([reading])
            served.leave()
            assert (await receive())["type"] == "http.disconnect"
            exchange.release()
            await call

        provider.script = Script(hang_at="before_headers")
        served = Served(CancellationMiddleware(app))

        assert await served.ended() is None
        assert served.reads == 2  # one for the body, and one that was under way all the time

    @pytest.mark.parametrize("layers", [(), (Passing,)], ids=["bare", "one"])
    async def test_background_task(
        self, telemetry: Telemetry, provider: FakeProvider, layers: tuple[type, ...]
    ) -> None:
        async def later() -> None:
            async for _ in await chat(provider, "openai", stream=True):
                done.append(1)

        async def answer(tasks: BackgroundTasks) -> str:
            tasks.add_task(later)
            return "whole"

        done: list[int] = []
        provider.script = Script(hang_at=2)
        application = FastAPI()
        application.get("/")(answer)
        for layer in (*layers, CancellationMiddleware):
            application.add_middleware(layer)
        served = Served(application)
        exchange = await silent(provider)
        served.leave()
        await asyncio.sleep(0.05)  # more than the guard's grace
        exchange.release()

        assert await served.ended() is None
        assert done
        assert telemetry.outcomes() == {"completed": 1}

    async def test_background_task_of_a_broken_response(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def later() -> None:
            provider.script = Script(hang_at=2)
            async for _ in await chat(provider, "openai", stream=True):
                done.append(1)

        async def answer(tasks: BackgroundTasks) -> StreamingResponse:
            tasks.add_task(later)
            return StreamingResponse(Site(provider, ()).pieces(), background=tasks)

        done: list[int] = []
        provider.script = Script(hang_at=1)
        application = FastAPI()
        application.get("/")(answer)
        application.add_middleware(CancellationMiddleware)
        served = Served(application)
        await silent(provider)
        served.leave()
        exchange = await silent(provider)
        await asyncio.sleep(0.05)  # more than the guard's grace
        exchange.release()

        assert await served.ended() is None
        assert done
        assert telemetry.outcomes() == {"cancelled": 1, "completed": 1}

    async def test_endpoint_in_a_thread_with_a_loop_of_its_own(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def ask() -> str:
            try:
                await sdk.acompletion(**arguments(provider, "openai"))
                return "whole"
            finally:
                await aclose_litellm_clients()

        def answer() -> str:
            return asyncio.run(ask())

        application = FastAPI()
        application.get("/")(answer)
        application.add_middleware(CancellationMiddleware)
        served = Served(application)

        assert await served.ended() is None
        assert served.body == b'"whole"'
        assert served.loops <= {asyncio.get_running_loop()}
        assert telemetry.outcomes() == {"completed": 1}
