"""CancellationMiddleware in hosts of every kind: what they see is the same without it."""

import asyncio
import errno
import gc
import traceback
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import httpx
import litellm
import pytest
from fastapi import BackgroundTasks, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount

from disconnect.asgi import Message, Receive, Scope, Send, Served, piece, start
from litellm_cancel_otel import CancellationMiddleware
from litellm_cancel_otel._calls.request import REQUEST
from litellm_cancel_otel._demo.fakes import (
    FakeProvider,
    Script,
    ThreadedFakeProvider,
    aclose_litellm_clients,
    litellm_kwargs,
)
from support.calling import arguments, chat, silent
from support.cancels import leave_stale_count
from support.hosts import (
    END,
    GONE,
    Answers,
    Failure,
    Unmapped,
    both_ways,
    every_loop,
    held,
    never,
    nowhere,
    others,
    outcome,
    scope_of,
    turns,
)
from support.telemetry import Telemetry, cancel_of

sdk: Any = litellm


GRACE = 0.05
"""Longer than the guard's own."""


class TestSend:
    @both_ways
    async def test_extensions_are_passed_on(
        self, telemetry: Telemetry, provider: FakeProvider, around: Any
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await chat(provider, "openai")
            for message in messages:
                await send(message)

        messages: list[Message] = [
            {"type": "http.response.push", "path": "/style", "headers": []},
            {"type": "http.response.early_hint", "links": [b"</style>"]},
            {"type": "http.response.debug", "info": {}},
            {**start(), "trailers": True},
            {"type": "http.response.zerocopysend", "file": object(), "more_body": True},
            {"type": "http.response.pathsend", "path": "/file"},
            {"type": "http.response.trailers", "headers": [], "more_trailers": False},
        ]
        served = Served(app if around is None else around(app))

        assert await served.ended() is None
        assert all(sent is one for sent, one in zip(served.sent, messages, strict=True))

    @pytest.mark.parametrize(
        "last",
        [
            {"type": "http.response.pathsend", "path": "/file"},
            {"type": "http.response.zerocopysend", "file": 3},
        ],
        ids=lambda message: message["type"],
    )
    async def test_whole_file_is_a_whole_response(
        self, telemetry: Telemetry, provider: FakeProvider, last: Message
    ) -> None:
        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(start())
            await send(last)
            served.leave()  # to the server it is one: it has nothing more to receive
            answers.append(await chat(provider, "openai"))

        answers: list[object] = []
        provider.script = Script(hang_at="before_headers")
        served = Served(CancellationMiddleware(app))
        exchange = await silent(provider)
        await asyncio.sleep(GRACE)
        exchange.release()

        assert await served.ended() is None
        assert answers

    @pytest.mark.parametrize(
        ("exc", "gone"),
        [
            (OSError("the client has gone"), True),
            (ConnectionResetError(errno.ECONNRESET, "reset"), True),
            (BrokenPipeError(errno.EPIPE, "broken"), True),
            (ConnectionResetError(), True),
            (TimeoutError(errno.ETIMEDOUT, "timed out"), True),
            (TimeoutError(), False),
            (OSError(errno.ENOSPC, "a middleware's file"), False),
            (FileNotFoundError(errno.ENOENT, "a middleware's file"), False),
            (Failure(), False),
        ],
        ids=repr,
    )
    async def test_error_of_a_middleware_outside_is_no_disconnect(
        self, telemetry: Telemetry, provider: FakeProvider, exc: Exception, gone: bool
    ) -> None:
        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                raise exc

        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            call = asyncio.create_task(chat(provider, "openai"))
            exchange = await silent(provider)
            caught.append(await outcome(lambda: send(piece(b"piece", more=True))))
            request = REQUEST.get()
            assert request is not None
            disconnects.append(request.disconnect is not None)
            exchange.release()
            await call

        caught: list[object] = []
        disconnects: list[bool] = []
        provider.script = Script(hang_at="before_headers")
        await CancellationMiddleware(app)(scope_of(), never, send)

        assert caught == [exc]
        assert disconnects == [gone]

    @both_ways
    @pytest.mark.parametrize("message", [None, {}, {"type": "http.response.body"}, 3, Unmapped()])
    async def test_what_is_no_message_is_the_servers_to_refuse(
        self, telemetry: Telemetry, around: Any, message: Any
    ) -> None:
        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await send(message)

        async def send(given: Message) -> None:
            assert given is message
            raise refused

        refused = Failure()
        with pytest.raises(Failure) as caught:
            await (app if around is None else around(app))(scope_of(), never, send)

        assert caught.value is refused

    async def test_by_two_tasks_at_once(self, telemetry: Telemetry) -> None:
        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            async with asyncio.TaskGroup() as group:
                for name in (b"a", b"b"):
                    group.create_task(sends(name, send))
            await send(piece())

        async def sends(name: bytes, send: Send) -> None:
            for number in range(3):
                await send(piece(name + b"%d" % number, more=True))

        bodies = []
        for one in (app, CancellationMiddleware(app)):
            served = Served(one)
            assert await served.ended() is None
            bodies.append(served.body)

        assert bodies[0] == bodies[1] == b"a0b0a1b1a2b2" or sorted(bodies[0]) == sorted(bodies[1])

    async def test_from_a_thread(self, telemetry: Telemetry) -> None:
        def answer() -> str:
            anyio.from_thread.run(anyio.sleep, 0)
            return "whole"

        bodies = []
        for layers in ((), (CancellationMiddleware,)):
            application = FastAPI()
            application.get("/")(answer)
            for layer in layers:
                application.add_middleware(layer)
            served = Served(application)
            assert await served.ended() is None
            bodies.append(served.body)

        assert bodies == [b'"whole"'] * 2


class TestNested:
    async def test_request_of_a_worker_that_outlives_its_own_is_watched(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        """A worker keeps the context of the request that started it."""

        async def worker() -> None:
            await go_on.wait()
            provider.script = Script(hang_at=2)
            async for _ in await chat(provider, "openai", stream=True):
                pass

        async def first(*_: object) -> None:
            workers.append(asyncio.create_task(second_request()))

        async def second_request() -> None:
            await go_on.wait()
            await CancellationMiddleware(second)(scope_of(), Answers(END, GONE), nowhere)

        async def second(*_: object) -> None:
            seen.append(REQUEST.get())

        seen: list[Any] = []
        go_on = asyncio.Event()
        workers: list[asyncio.Task[None]] = []
        await CancellationMiddleware(first)(scope_of(), never, nowhere)
        go_on.set()
        await workers[0]

        assert seen[0].task is workers[0]

    async def test_inner_one_passes_on(self, telemetry: Telemetry) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            given.append((receive, send))

        async def between(scope: Scope, receive: Receive, send: Send) -> None:
            given.append((receive, send))
            await inner(scope, receive, send)

        given: list[tuple[Receive, Send]] = []
        inner = CancellationMiddleware(app)
        await CancellationMiddleware(between)(scope_of(), never, nowhere)

        assert given[0] == given[1]

    async def test_mounted(self, telemetry: Telemetry, provider: FakeProvider) -> None:
        async def answer() -> str:
            await chat(provider, "openai")
            return "whole"

        inner = FastAPI()
        inner.get("/answer")(answer)
        inner.add_middleware(CancellationMiddleware)
        outer = Starlette(routes=[Mount("/sub", inner)])
        outer.add_middleware(CancellationMiddleware)
        served = Served(outer, "/sub/answer")

        assert await served.ended() is None
        assert served.body == b'"whole"'

    async def test_scope_that_is_used_again(self, telemetry: Telemetry) -> None:
        async def app(given: Scope, receive: Receive, send: Send) -> None:
            seen.append(given is scope)
            given["path"] = "/changed"

        seen: list[bool] = []
        scope = scope_of()
        keys = set(scope)
        for _ in range(2):
            await CancellationMiddleware(app)(scope, never, nowhere)

        assert seen == [True, True]
        assert set(scope) == keys


def frames(exc: BaseException) -> list[str]:
    """Return the functions that an exception came through, innermost last, without ours."""
    found = traceback.extract_tb(exc.__traceback__)
    return [one.name for one in found if "litellm_cancel_otel" not in one.filename]


class TestException:
    @both_ways
    @pytest.mark.parametrize(
        "exc",
        [
            Failure(),
            ExceptionGroup("two", [Failure(), ValueError()]),
            BaseExceptionGroup("one", [SystemExit()]),
            asyncio.CancelledError("its own"),
            GeneratorExit(),
            OSError("the client has gone"),
        ],
        ids=lambda exc: type(exc).__name__,
    )
    async def test_is_the_same_object(
        self, telemetry: Telemetry, around: Any, exc: BaseException
    ) -> None:
        async def app(*_: object) -> None:
            await asyncio.sleep(0)
            raise exc

        exc.__traceback__ = None
        try:
            await (app if around is None else around(app))(scope_of(), never, nowhere)
        except BaseException as caught:
            assert caught is exc
            assert frames(caught)[-1] == "app"
            assert caught.__cause__ is caught.__context__ is None
        else:
            pytest.fail("nothing was raised")

    @both_ways
    async def test_of_an_anyio_task_group(self, telemetry: Telemetry, around: Any) -> None:
        async def app(*_: object) -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(fails)
                await anyio.sleep_forever()

        async def fails() -> None:
            raise failure

        failure = Failure()
        with pytest.raises(ExceptionGroup) as caught:
            await (app if around is None else around(app))(scope_of(), never, nowhere)

        assert caught.value.exceptions == (failure,)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    @both_ways
    async def test_application_of_asgi_2_is_refused(
        self, telemetry: Telemetry, around: Any
    ) -> None:
        class Old:
            def __init__(self, scope: Scope) -> None:
                pass

        old: Any = Old
        with pytest.raises(TypeError, match="positional argument"):
            await (old if around is None else around(old))(scope_of(), never, nowhere)

    @both_ways
    async def test_application_that_swallows_a_cancel(
        self, telemetry: Telemetry, around: Any
    ) -> None:
        async def app(*_: object) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.append(True)

        swallowed: list[bool] = []
        served = Served(app if around is None else around(app))
        await asyncio.sleep(0)
        served.task.cancel()

        assert await served.ended() is None
        assert swallowed
        assert served.task.cancelling() == 1

    @both_ways
    async def test_application_that_takes_a_cancel_back(
        self, telemetry: Telemetry, around: Any
    ) -> None:
        async def app(*_: object) -> None:
            task = asyncio.current_task()
            assert task is not None
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task.uncancel()

        served = Served(app if around is None else around(app))
        await asyncio.sleep(0)
        served.task.cancel()

        assert await served.ended() is None
        assert served.task.cancelling() == 0

    @both_ways
    @pytest.mark.parametrize("reads", [True, False], ids=["reads", "listened to"])
    def test_loop_that_is_closed_in_the_middle(
        self, telemetry: Telemetry, around: Any, reads: bool
    ) -> None:
        """The collector closes the coroutine in another context, where no loop runs."""

        async def app(_: Scope, receive: Receive, send: Send) -> None:
            requests.append(REQUEST.get())
            try:
                await (receive() if reads else never())
            except BaseException as exc:
                ended.append(type(exc))
                raise

        ended: list[type] = []
        requests: list[Any] = []
        coro: Any = (app if around is None else around(app))(scope_of(), never, nowhere)
        loop = asyncio.new_event_loop()
        task = loop.create_task(coro)
        loop.run_until_complete(asyncio.sleep(0))
        if around is not None:
            loop.call_soon(requests[0].on_call)  # as a call does
        loop.run_until_complete(asyncio.sleep(0))
        for one in asyncio.all_tasks(loop):
            one._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio would log it
        loop.close()
        del task
        coro.close()  # an exception other than the one thrown in would come out

        assert ended == [GeneratorExit]


class Passing(BaseHTTPMiddleware):
    """What ``@app.middleware("http")`` makes."""

    async def dispatch(self, request: Any, call_next: Any) -> Any:
        return await call_next(request)


Gzip = partial(GZipMiddleware, minimum_size=1)

STACKS: dict[str, tuple[Any, ...]] = {
    "bare": (),
    "passing inside": (Passing,),
    "gzip inside": (Gzip,),
    "both": (Gzip, Passing),
}


def site(
    provider: FakeProvider | ThreadedFakeProvider, layers: tuple[Any, ...], log: list[str]
) -> FastAPI:
    """Return a site that streams an answer and has something to do behind it."""

    async def later() -> None:
        answer = await sdk.acompletion(**request_of())
        log.append("later " + answer.choices[0].message.content)

    def request_of() -> dict[str, Any]:
        messages = [{"role": "user", "content": "hello"}]
        kwargs = litellm_kwargs("openai", provider.base_url)
        return {**kwargs, "messages": messages, "max_retries": 0}

    async def pieces() -> AsyncIterator[bytes]:
        async for chunk in await sdk.acompletion(**request_of(), stream=True):
            yield (chunk.choices[0].delta.content or "").encode()
        log.append("finally")

    async def answer(tasks: BackgroundTasks) -> StreamingResponse:
        tasks.add_task(later)
        return StreamingResponse(pieces(), background=tasks)

    application = FastAPI()
    application.get("/")(answer)
    for layer in layers:
        application.add_middleware(layer)
    return application


class TestClients:
    """Clients that run the application in their own task or thread."""

    @pytest.mark.parametrize("inside", STACKS.values(), ids=STACKS)
    @pytest.mark.parametrize("outside", STACKS.values(), ids=STACKS)
    async def test_httpx_transport(
        self,
        telemetry: Telemetry,
        provider: FakeProvider,
        inside: tuple[Any, ...],
        outside: tuple[Any, ...],
    ) -> None:
        seen: list[tuple[object, ...]] = []
        for ours in ((), (CancellationMiddleware,)):
            log: list[str] = []
            application = site(provider, (*inside, *ours, *outside), log)
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(application), base_url="http://site"
            ) as client:
                answer = await client.get("/", timeout=5)
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
            seen.append((answer.status_code, answer.content, dict(answer.headers), log))

        assert seen[0] == seen[1]
        await turns(2)
        assert not [task for task in others() if "Listener" in repr(task)]

    def test_test_client(self, warm: None, telemetry: Telemetry) -> None:
        seen: list[tuple[object, ...]] = []
        with ThreadedFakeProvider() as provider:
            for ours in ((), (CancellationMiddleware,)):
                log: list[str] = []
                application = site(provider, (Passing, *ours), log)
                with TestClient(application) as client:
                    answer = client.get("/")
                    client.portal.call(aclose_litellm_clients)  # type: ignore[union-attr]
                seen.append((answer.status_code, answer.content, dict(answer.headers), log))

        assert seen[0] == seen[1]

    def test_websocket(self, telemetry: Telemetry) -> None:
        async def talk(websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.send_text((await websocket.receive_text()).upper())
            await websocket.close()

        for ours in ((), (CancellationMiddleware,)):
            application = FastAPI()
            application.websocket("/")(talk)
            for layer in ours:
                application.add_middleware(layer)
            with TestClient(application) as client, client.websocket_connect("/") as socket:
                socket.send_text("word")
                assert socket.receive_text() == "WORD"


class TestGuard:
    """What it does to a request's task, and what it leaves alone."""

    async def test_disconnect_that_the_last_message_tells(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(start())
            stream = await chat(provider, "openai", stream=True)
            await anext(stream)
            served.leave()
            try:
                await send(piece(b"the rest is not wanted"))
            finally:
                await stream.aclose()

        provider.script = Script(hang_at=2)
        served = Served(CancellationMiddleware(app), raises=True)

        assert isinstance(await served.ended(), OSError)
        span = await telemetry.span()
        said = cancel_of(span.attributes or {})
        assert (said.source, said.signal) == ("client_disconnect", "asgi_send")

    async def test_call_of_another_loop_does_not_stop_the_request(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def ask() -> object:
            try:
                return await sdk.acompletion(**arguments(provider, "openai"))
            finally:
                await aclose_litellm_clients()

        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(start())
            answers.append(await asyncio.to_thread(lambda: asyncio.run(ask())))

        answers: list[object] = []
        provider.script = Script(hang_at="before_headers")
        served = Served(CancellationMiddleware(app))
        exchange = await silent(provider)
        served.leave()
        await asyncio.sleep(GRACE)
        exchange.release()

        assert await served.ended() is None
        assert answers

    async def test_call_of_another_loop_does_not_stop_a_request_that_waits_for_its_client(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def ask() -> None:
            await sdk.acompletion(**arguments(provider, "openai"))
            await aclose_litellm_clients()

        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(start())
            asking = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(ask())))
            await send(piece(b"piece", more=True))
            over.append(await asking)

        over: list[None] = []
        taken = asyncio.Event()
        provider.script = Script(hang_at="before_headers")
        served = Served(held(CancellationMiddleware(app), taken))
        exchange = await silent(provider)
        served.leave()
        await asyncio.sleep(GRACE)
        exchange.release()
        taken.set()

        assert await served.ended() is None
        assert over == [None]

    @every_loop
    async def test_its_cancel_does_not_reach_a_server_whose_task_was_told_before(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await leave_stale_count()
            await CancellationMiddleware(streaming)(scope, receive, send)
            over.append(served.task.cancelling())

        async def streaming(_: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            async for _chunk in await chat(provider, "openai", stream=True):
                await send(piece(b"piece", more=True))

        over: list[int] = []
        provider.script = Script(hang_at=2)
        served = Served(app)
        await silent(provider)
        await served.has_sent(2)
        served.leave()

        assert await served.ended() is None
        assert not served.task.cancelled()
        assert over == [1]  # the one of before, and nothing of the guard's

    async def test_task_that_was_told_before_and_hears_of_it_in_the_application_is_left_alone(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            served.task.cancel()  # delivered where the application first waits
            await CancellationMiddleware(streaming)(scope, receive, send)

        async def streaming(_: Scope, receive: Receive, send: Send) -> None:
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(0)
            await send(start())
            async for _chunk in await chat(provider, "openai", stream=True):
                await send(piece(b"piece", more=True))
            over.append(1)

        over: list[int] = []
        provider.script = Script(hang_at=2)
        served = Served(app)
        exchange = await silent(provider)
        await served.has_sent(2)
        served.leave()
        await asyncio.sleep(GRACE)
        exchange.release()

        assert await served.ended() is None
        assert over

    async def test_servers_cancel_goes_on_where_the_application_took_an_old_one_back(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await leave_stale_count()
            await CancellationMiddleware(streaming)(scope, receive, send)

        async def streaming(_: Scope, receive: Receive, send: Send) -> None:
            served.task.uncancel()
            await send(start())
            try:
                async for _chunk in await chat(provider, "openai", stream=True):
                    await send(piece(b"piece", more=True))
            finally:
                unwinding.set()
                await asyncio.Event().wait()

        unwinding = asyncio.Event()
        provider.script = Script(hang_at=2)
        served = Served(app)
        await silent(provider)
        await served.has_sent(2)
        served.leave()
        await unwinding.wait()
        served.task.cancel()

        await served.ended()
        assert served.task.cancelled()

    async def test_application_that_takes_its_cancel_back_itself(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await leave_stale_count()
            await CancellationMiddleware(streaming)(scope, receive, send)
            over.append(served.task.cancelling())

        async def streaming(_: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            try:
                async for _chunk in await chat(provider, "openai", stream=True):
                    await send(piece(b"piece", more=True))
            except asyncio.CancelledError:
                served.task.uncancel()

        over: list[int] = []
        provider.script = Script(hang_at=2)
        served = Served(app)
        await silent(provider)
        await served.has_sent(2)
        served.leave()

        assert await served.ended() is None
        assert over == [1]

    async def test_request_is_freed_without_the_collector(self, telemetry: Telemetry) -> None:
        async def app(_: Scope, receive: Receive, send: Send) -> None:
            request = REQUEST.get()
            assert request is not None
            assert request.on_call is not None
            known.append(weakref.ref(request))
            request.on_call()  # as a call does; LiteLLM's own tasks would keep the context
            await turns()

        known: list[weakref.ref[Any]] = []
        gc.collect()
        gc.disable()
        try:
            await CancellationMiddleware(app)(scope_of(), never, nowhere)
            await turns()
            assert [one() for one in known] == [None]
        finally:
            gc.enable()

    @pytest.mark.parametrize("raises", [True, False], ids=["2.4", "2.3"])
    async def test_fault_in_what_follows_a_disconnect_stays_inside(
        self, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, raises: bool
    ) -> None:
        async def app(_: Scope, receive: Receive, send: Send) -> None:
            assert await receive() == END
            await send(start())
            if raises:
                got.append(await outcome(lambda: send(piece(b"piece", more=True))))
            got.append(await outcome(receive))
            got.append(await outcome(lambda: send(start())))

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                raise gone

        def fails(*_: object) -> None:
            raise Failure

        got: list[object] = []
        gone = OSError("the client has gone")
        monkeypatch.setattr(telemetry.tracker.guard, "disconnected", fails)
        await CancellationMiddleware(app)(scope_of(), Answers(END, GONE), send)

        assert got == [*[gone] * raises, GONE, None]
        telemetry.assert_nothing_open(faults={"middleware": 2})
        telemetry.tracker.faults.counts.clear()

    async def test_fault_of_the_guard_at_the_end_stays_inside(
        self, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def app(*_: object) -> None:
            raise failure

        def fails(*_: object) -> None:
            raise ZeroDivisionError

        failure = Failure()
        monkeypatch.setattr(telemetry.tracker.guard, "finished", fails)
        with pytest.raises(Failure) as caught:
            await CancellationMiddleware(app)(scope_of(), never, nowhere)

        assert caught.value is failure
        assert telemetry.tracker.faults.counts.pop("middleware") == 1

    async def test_fault_before_the_application_begins_stays_inside(
        self, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def app(*_: object) -> None:
            served.append(True)

        def fails(*_: object) -> None:
            raise ZeroDivisionError

        served: list[bool] = []
        monkeypatch.setattr("litellm_cancel_otel._integration.middleware.follow_generators", fails)
        with suppress(ZeroDivisionError):
            await CancellationMiddleware(app)(scope_of(), never, nowhere)

        assert served
        assert telemetry.tracker.faults.counts.pop("middleware") == 1
