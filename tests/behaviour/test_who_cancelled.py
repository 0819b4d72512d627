"""Who told a call to stop, by evidence; without it, it was the task that was cancelled."""

import asyncio
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import httpx
import litellm
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from opentelemetry.sdk.trace import ReadableSpan

from disconnect.asgi import Receive, Scope, Send, Served
from litellm_cancel_otel import CancellationMiddleware
from litellm_cancel_otel._asyncio.cancels import message_of
from litellm_cancel_otel._asyncio.deadlines import note_scope_expired, scope_expired
from litellm_cancel_otel._asyncio.throw_hook import ThrowHook
from litellm_cancel_otel._calls.description import Known
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import FakeProvider, Script
from support.calling import Caller, chat, silent
from support.cancels import leave_stale_count
from support.streams import Silence
from support.telemetry import Telemetry, external
from support.ticking import FACTS
from support.transports import SlowToClose


def said(span: ReadableSpan, name: str) -> Any:
    return (span.attributes or {}).get(name)


@pytest.fixture
def quiet(provider: FakeProvider) -> FakeProvider:
    provider.script = Script(hang_at="before_headers")
    return provider


@pytest.mark.every_loop
class TestScope:
    async def test_its_deadline_has_passed(self, telemetry: Telemetry, quiet: FakeProvider) -> None:
        with anyio.move_on_after(0.1):
            await chat(quiet, "openai")

        assert said(await telemetry.span(), sc.SOURCE) == "deadline"

    async def test_cancelled_before_its_deadline(
        self, telemetry: Telemetry, quiet: FakeProvider
    ) -> None:
        async def cancels() -> None:
            await silent(quiet)
            scope.cancel()
            scope.deadline = -math.inf  # too late to be the reason

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(cancels())
            with anyio.move_on_after(60) as scope:
                await chat(quiet, "openai")

        assert said(await telemetry.span(), sc.SOURCE) == "task_cancel"

    async def test_deadline_that_passed_while_it_connected_is_not_that_of_a_later_cancel(
        self, telemetry: Telemetry
    ) -> None:
        """As anyio has it while it connects, where the first address is slow to answer."""

        async def caller() -> None:
            call = telemetry.tracker.begin(Known(FACTS))
            with anyio.move_on_after(0) as scope:
                await ThrowHook(asyncio.sleep(60), call.thrown)
            assert scope.cancelled_caught
            call.opens()
            try:
                connected.set()
                await asyncio.Event().wait()
            finally:
                call.dropped()

        connected = asyncio.Event()
        task = asyncio.create_task(caller())
        await connected.wait()
        task.cancel()
        await asyncio.wait([task])

        assert said(await telemetry.span(), sc.SOURCE) == "task_cancel"

    @pytest.mark.usefixtures("telemetry")
    async def test_cancelled_before_it_was_entered(self) -> None:
        scope = anyio.CancelScope(deadline=-math.inf)
        scope.cancel()
        with scope:
            with pytest.raises(asyncio.CancelledError) as cancel:
                await anyio.sleep(1)
            assert not scope_expired(message_of(cancel.value))
            raise cancel.value

    async def test_another_ones_deadline_has_passed(
        self, telemetry: Telemetry, quiet: FakeProvider
    ) -> None:
        with anyio.move_on_after(0) as expired:
            await anyio.sleep(1)
        caller = Caller(chat(quiet, "openai"))
        await silent(quiet)
        caller.task.cancel()
        await caller.ended()

        assert expired.cancelled_caught
        assert said(await telemetry.span(), sc.SOURCE) == "task_cancel"

    async def test_deadline_of_an_outer_one(
        self, telemetry: Telemetry, quiet: FakeProvider
    ) -> None:
        with anyio.move_on_after(0.1), anyio.CancelScope():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(chat, quiet, "openai")

        assert said(await telemetry.span(), sc.SOURCE) == "deadline"

    async def test_message_that_looks_like_one(
        self, telemetry: Telemetry, quiet: FakeProvider
    ) -> None:
        caller = Caller(chat(quiet, "openai"))
        await silent(quiet)
        caller.task.cancel("Cancelled via cancel scope 7f00; reason: deadline exceeded")
        await caller.ended()

        assert said(await telemetry.span(), sc.SOURCE) == "task_cancel"


@pytest.mark.parametrize(
    "words", ["Cancelled by cancel scope {:x}", "Cancelled via cancel scope {:x} by <Task>"]
)
def test_every_wording_of_anyios(words: str) -> None:
    expired, other = _Scope(), _Scope()
    note_scope_expired(expired)

    def expired_by(cancel: asyncio.CancelledError | None) -> bool:
        return scope_expired(message_of(cancel))

    assert expired_by(asyncio.CancelledError(words.format(id(expired))))
    assert not expired_by(asyncio.CancelledError(words.format(id(other))))
    assert not expired_by(asyncio.CancelledError(7))
    assert not expired_by(asyncio.CancelledError())
    assert not expired_by(None)


class _Scope:
    pass


def streaming(provider: FakeProvider) -> FastAPI:
    """Return an application that answers from a child task, as Starlette's responses do."""
    app = FastAPI()

    async def pieces() -> AsyncIterator[bytes]:
        async for _ in await chat(provider, "openai", stream=True):
            yield b"piece"

    @app.get("/")
    async def endpoint() -> StreamingResponse:
        return StreamingResponse(pieces())

    return app


async def passing(request: Request, call_next: Any) -> Any:
    return await call_next(request)


async def shut_down(app: FastAPI, provider: FakeProvider) -> None:
    """Shut uvicorn down, without any grace, while the provider is silent in a request's call."""
    config = uvicorn.Config(
        app, port=0, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=0
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    (listening,) = server.servers[0].sockets
    with socket.create_connection(listening.getsockname()) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        await silent(provider)
        server.should_exit = True
        await serving


class TestServer:
    async def test_graceful_shutdown_is_over(
        self, telemetry: Telemetry, quiet: FakeProvider
    ) -> None:
        app = FastAPI()

        @app.get("/")
        async def endpoint() -> None:
            await chat(quiet, "openai")

        await shut_down(app, quiet)

        assert said(await telemetry.span(), sc.SOURCE) == "shutdown"

    @pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "wrapped"])
    async def test_that_of_an_answer_made_in_a_child_task(
        self, telemetry: Telemetry, provider: FakeProvider, wrapped: bool
    ) -> None:
        app = streaming(provider)
        if wrapped:
            app.middleware("http")(passing)
        app.add_middleware(CancellationMiddleware)
        provider.script = Script(hang_at=2)
        await shut_down(app, provider)

        span = await telemetry.span()
        assert said(span, sc.SOURCE) == "shutdown"
        assert said(span, sc.SIGNAL) == "cancel"

    async def test_without_the_middleware_nobody_knows_that(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        provider.script = Script(hang_at=2)
        await shut_down(streaming(provider), provider)

        assert said(await telemetry.span(), sc.SOURCE) == "task_cancel"

    async def test_request_told_to_stop_by_somebody_else(
        self, telemetry: Telemetry, quiet: FakeProvider
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(chat(quiet, "openai"))

        served = Served(CancellationMiddleware(app))
        await silent(quiet)
        served.task.cancel("too slow")
        await served.ended()

        assert said(await telemetry.span(), sc.SOURCE) == "task_cancel"

    async def test_message_that_is_not_quite_it(
        self, telemetry: Telemetry, quiet: FakeProvider
    ) -> None:
        caller = Caller(chat(quiet, "openai"))
        await silent(quiet)
        caller.task.cancel("timeout graceful shutdown exceeded")
        await caller.ended()

        assert said(await telemetry.span(), sc.SOURCE) == "task_cancel"


Act = Callable[[], Awaitable[None]]


async def by_deadline(act: Act) -> None:
    """Act while a deadline of asyncio's unwinds, which then takes its cancel back."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0):
            try:
                await asyncio.Event().wait()
            finally:
                await act()


async def by_scope(act: Act) -> None:
    """Act while a cancelled scope of anyio's unwinds, which then takes its cancel back."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await act()


@pytest.mark.parametrize("unwinding", [by_deadline, by_scope])
class TestUnwinding:
    """What is done meanwhile begins with a count that is too high, and that sinks later."""

    @pytest.mark.parametrize("chunks", [0, 1])
    async def test_stream_that_is_opened_meanwhile_and_read_later(
        self,
        telemetry: Telemetry,
        provider: FakeProvider,
        unwinding: Callable[[Act], Awaitable[None]],
        chunks: int,
    ) -> None:
        """It may have given a chunk meanwhile: then nobody takes it over later."""

        async def reads() -> None:
            await unwinding(opens)
            async for _ in streams[0]:
                begun.set()

        async def opens() -> None:
            streams.append(await chat(provider, "openai", stream=True))
            for _ in range(chunks):
                await anext(streams[0])

        streams: list[Any] = []
        begun = asyncio.Event()
        provider.script = Script(hang_at=3)
        caller = Caller(reads())
        exchange = await silent(provider)
        async with asyncio.timeout(5):
            await begun.wait()
        caller.task.cancel()

        assert isinstance(await caller.ended(), asyncio.CancelledError)
        assert caller.around.passed_on
        await exchange.wait_closed()
        await telemetry.assert_one(external(phase="streaming"))

    async def test_stream_that_is_read_meanwhile_and_closed_later(
        self,
        telemetry: Telemetry,
        provider: FakeProvider,
        monkeypatch: pytest.MonkeyPatch,
        unwinding: Callable[[Act], Awaitable[None]],
    ) -> None:
        async def closes() -> None:
            await unwinding(reads)
            await streams[0].aclose()

        async def reads() -> None:
            streams.append(await chat(provider, "openai", stream=True))
            await anext(streams[0])

        streams: list[Any] = []
        provider.script = Script(hang_at=2)
        transport = SlowToClose()
        async with httpx.AsyncClient(transport=transport) as client:
            monkeypatch.setattr(litellm, "aclient_session", client)
            caller = Caller(closes())
            exchange = await silent(provider)
            await transport.closing.wait()
            caller.task.cancel()

            assert isinstance(await caller.ended(), asyncio.CancelledError)
            transport.let.set()
        await exchange.wait_closed()
        await telemetry.assert_one(external(phase="closing"))


@pytest.mark.every_loop
@pytest.mark.parametrize("stale", [False, True], ids=["first_is_new", "first_was_told_before"])
async def test_second_of_two_that_wait_for_a_chunk_is_told_to_stop(
    telemetry: Telemetry, provider: FakeProvider, stale: bool
) -> None:
    """The first one drives the stream; what it was told before says nothing of the second."""

    async def waits() -> None:
        if stale:
            await leave_stale_count()
        await anext(stream)
        stream.completion_stream = silence
        await anext(stream)

    provider.script = Script(hang_at=2)
    stream = await chat(provider, "openai", stream=True)
    exchange = await silent(provider)
    silence = Silence()
    first = Caller(waits())
    await silence.asked(1)
    second = Caller(anext(stream), text=False)
    await silence.asked(2)
    second.task.cancel()

    assert isinstance(await second.ended(), asyncio.CancelledError)
    assert second.around.passed_on
    await exchange.wait_closed()
    await telemetry.assert_one(external(phase="streaming"))
    first.task.cancel()
    await first.ended()


class Worker:
    """Makes calls for everybody, in a task that the first who asks for one starts."""

    def __init__(self, provider: FakeProvider) -> None:
        self._provider = provider
        self._jobs: asyncio.Queue[asyncio.Future[Any]] = asyncio.Queue()
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.task = asyncio.create_task(self._works())

    async def ask(self) -> Any:
        job = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait(job)
        return await job

    async def _works(self) -> None:
        while True:
            job = await self._jobs.get()
            job.set_result(await chat(self._provider, "openai"))


class TestWorker:
    async def test_that_the_first_request_started_works_for_another(
        self, telemetry: Telemetry, quiet: FakeProvider
    ) -> None:
        worker = Worker(quiet)
        gone = asyncio.Event()

        async def first(scope: Scope, receive: Receive, send: Send) -> None:
            worker.start()  # it has this request's context
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()
            await asyncio.Event().wait()

        async def second(scope: Scope, receive: Receive, send: Send) -> None:
            await worker.ask()

        one = Served(CancellationMiddleware(first))
        await one.has_asked(2)
        other = Served(CancellationMiddleware(second))
        await silent(quiet)
        one.leave()
        async with asyncio.timeout(5):
            await gone.wait()
        await asyncio.sleep(0)  # a turn of the loop: the request looks which calls are its own
        assert worker.task is not None
        worker.task.cancel()
        await asyncio.wait([worker.task])

        assert said(await telemetry.span(), sc.SOURCE) == "task_cancel"
        for served in (one, other):
            served.task.cancel()
            await served.ended()


class TestMessage:
    async def test_stays_out(self, telemetry: Telemetry, quiet: FakeProvider) -> None:
        caller = Caller(chat(quiet, "openai"))
        await silent(quiet)
        caller.task.cancel("jane pressed stop")
        await caller.ended()
        span = await telemetry.span()

        assert "jane" not in span.to_json()

    @pytest.mark.settings(cancel_messages=True)
    async def test_unless_it_is_asked_for(self, telemetry: Telemetry, quiet: FakeProvider) -> None:
        caller = Caller(chat(quiet, "openai"))
        await silent(quiet)
        caller.task.cancel("jane pressed stop")
        await caller.ended()

        assert said(await telemetry.span(), sc.CANCEL_MESSAGE) == "jane pressed stop"
