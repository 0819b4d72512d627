"""Who told a call to stop, by evidence; without it, it was the task that was cancelled."""

import asyncio
import math
import socket
from typing import Any

import anyio
import pytest
import uvicorn
from fastapi import FastAPI
from opentelemetry.sdk.trace import ReadableSpan

from calling import Caller, chat, silent
from litellm_cancel_otel import _semconv as sc
from litellm_cancel_otel._demo.fakes import FakeProvider, Script
from litellm_cancel_otel._evidence import note_scope_expired, scope_expired
from litellm_cancel_otel._records import CallFacts, Exit, Signal
from telemetry import Telemetry


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

    @pytest.mark.usefixtures("telemetry")
    async def test_cancelled_before_it_was_entered(self) -> None:
        scope = anyio.CancelScope(deadline=-math.inf)
        scope.cancel()
        with scope:
            with pytest.raises(asyncio.CancelledError) as cancel:
                await anyio.sleep(1)
            assert not scope_expired(cancel.value)
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

    assert scope_expired(asyncio.CancelledError(words.format(id(expired))))
    assert not scope_expired(asyncio.CancelledError(words.format(id(other))))
    assert not scope_expired(asyncio.CancelledError(7))
    assert not scope_expired(asyncio.CancelledError())
    assert not scope_expired(None)


class _Scope:
    pass


class TestServer:
    async def test_graceful_shutdown_is_over(
        self, telemetry: Telemetry, quiet: FakeProvider
    ) -> None:
        app = FastAPI()

        @app.get("/")
        async def endpoint() -> None:
            await chat(quiet, "openai")

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
            await silent(quiet)
            server.should_exit = True
            await serving

        assert said(await telemetry.span(), sc.SOURCE) == "shutdown"

    async def test_message_that_is_not_quite_it(
        self, telemetry: Telemetry, quiet: FakeProvider
    ) -> None:
        caller = Caller(chat(quiet, "openai"))
        await silent(quiet)
        caller.task.cancel("timeout graceful shutdown exceeded")
        await caller.ended()

        assert said(await telemetry.span(), sc.SOURCE) == "task_cancel"


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


class TestWaste:
    async def test_part_that_was_delivered(self, telemetry: Telemetry) -> None:
        facts = CallFacts("chat", "openai", "gpt-4o-mini", stream=True)
        call = telemetry.tracker.begin(lambda _: facts)
        telemetry.tracker.opened(call)
        for _ in range(3):
            call.got_chunk()
        call.disconnected(Signal.ASGI_RECEIVE, call.clock())
        call.got_chunk()
        call.end(Exit.CLOSED)

        span = await telemetry.span()
        assert said(span, sc.DELIVERED) == 0.75
        assert said(span, sc.CHUNKS_UNDELIVERED) == 1
        assert [count for _, count in telemetry.points(sc.UNDELIVERED)] == [1]
