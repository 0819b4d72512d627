"""Every way of cancelling that asyncio and anyio have: each works as it does on any coroutine."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import anyio
import httpx
import litellm
import pytest

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import (
    FakeProvider,
    Script,
    ThreadedFakeProvider,
    Wire,
    aclose_litellm_clients,
)
from support.calling import Caller, chat, every_provider, silent, streamed_or_not
from support.telemetry import Telemetry, external
from support.transports import SlowToClose

every_loop = pytest.mark.every_loop


async def read(call: Any) -> None:
    """Await a call and read its answer to the end."""
    answer = await call
    if hasattr(answer, "__anext__"):
        async for _ in answer:
            pass


@pytest.fixture(params=["before_headers", "before_first_chunk"])
def quiet(request: pytest.FixtureRequest, provider: FakeProvider) -> FakeProvider:
    """A provider that falls silent, once while LiteLLM waits and once while the stream does."""
    provider.script = Script(hang_at=request.param)
    return provider


@every_loop
class TestDeadline:
    @every_provider
    async def test_timeout(self, telemetry: Telemetry, quiet: FakeProvider, name: Wire) -> None:
        async def told() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(None) as deadline:
                    expire.append(deadline)
                    await read(chat(quiet, name, stream=True))
            assert deadline.expired()
            await asyncio.sleep(0)  # the cancel was taken back: nothing is left to be delivered

        expire: list[asyncio.Timeout] = []
        caller = Caller(told())
        exchange = await silent(quiet)
        expire[0].reschedule(asyncio.get_running_loop().time())

        assert await caller.ended() is None
        assert caller.task.cancelling() == 0
        await exchange.wait_closed()
        await telemetry.assert_one(external("deadline"))

    @every_provider
    async def test_timeout_around_a_body(
        self, telemetry: Telemetry, provider: FakeProvider, name: Wire
    ) -> None:
        provider.script = Script(hang_at="before_headers")

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await chat(provider, name)

        await telemetry.assert_one(external("deadline"))

    @every_provider
    @streamed_or_not
    async def test_wait_for(
        self, telemetry: Telemetry, provider: FakeProvider, name: Wire, stream: bool
    ) -> None:
        provider.script = Script(hang_at="before_headers")

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(read(chat(provider, name, stream=stream)), 0.2)

        await provider.wait_idle()
        assert len(provider.exchanges) == 1
        await telemetry.assert_one(external("deadline"))

    async def test_wait_for_around_one_chunk(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        provider.script = Script(hang_at=2)
        stream = await chat(provider, "openai", stream=True)
        with pytest.raises(TimeoutError):
            while True:
                await asyncio.wait_for(anext(stream), 0.05)

        await provider.wait_idle()
        await telemetry.assert_one(external("deadline", "streaming"))

    async def test_outer_deadline_is_the_outer_ones(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        provider.script = Script(hang_at="before_headers")

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2) as outer:
                async with asyncio.timeout(60) as inner:
                    await chat(provider, "openai")

        assert (outer.expired(), inner.expired()) == (True, False)
        await telemetry.assert_one(external("deadline"))

    async def test_deadline_of_before_is_none(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def told() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await asyncio.Event().wait()
            await chat(provider, "openai")

        provider.script = Script(hang_at="before_headers")
        caller = Caller(told())
        await silent(provider)
        caller.task.cancel()
        await caller.ended()

        await telemetry.assert_one(external("task_cancel"))


@every_loop
class TestTaskGroups:
    @every_provider
    async def test_sibling_fails(
        self, telemetry: Telemetry, quiet: FakeProvider, name: Wire
    ) -> None:
        async def sibling() -> None:
            await silent(quiet)
            raise LookupError("sibling")

        with pytest.raises(ExceptionGroup) as group:
            async with asyncio.TaskGroup() as tasks:
                call = tasks.create_task(read(chat(quiet, name, stream=True)))
                tasks.create_task(sibling())

        assert [type(exc) for exc in group.value.exceptions] == [LookupError]
        assert call.cancelled()
        await quiet.wait_idle()
        await telemetry.assert_one(external())

    async def test_parent_is_cancelled(self, telemetry: Telemetry, quiet: FakeProvider) -> None:
        async def parent() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(read(chat(quiet, "openai", stream=True)))

        caller = Caller(parent())
        await silent(quiet)
        caller.task.cancel()

        assert isinstance(await caller.ended(), asyncio.CancelledError)
        await quiet.wait_idle()
        await telemetry.assert_one(external())

    async def test_gather_is_cancelled(self, telemetry: Telemetry, quiet: FakeProvider) -> None:
        gathered = asyncio.gather(read(chat(quiet, "openai", stream=True)))
        await silent(quiet)
        gathered.cancel()

        with pytest.raises(asyncio.CancelledError):
            await gathered
        await quiet.wait_idle()
        await telemetry.assert_one(external())


@every_loop
class TestAnyio:
    @every_provider
    async def test_move_on_after(
        self, telemetry: Telemetry, quiet: FakeProvider, name: Wire
    ) -> None:
        async def expires() -> None:
            await silent(quiet)
            scope.deadline = anyio.current_time()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(expires())
            with anyio.move_on_after(None) as scope:
                await read(chat(quiet, name, stream=True))

        assert scope.cancelled_caught
        await quiet.wait_idle()
        await telemetry.assert_one(external("deadline"))

    @every_provider
    async def test_fail_after(self, telemetry: Telemetry, quiet: FakeProvider, name: Wire) -> None:
        async def expires() -> None:
            await silent(quiet)
            scopes[0].deadline = anyio.current_time()

        scopes: list[anyio.CancelScope] = []
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(expires())
            with pytest.raises(TimeoutError):
                with anyio.fail_after(None) as scope:
                    scopes.append(scope)
                    await read(chat(quiet, name, stream=True))

        await quiet.wait_idle()
        await telemetry.assert_one(external("deadline"))

    @every_provider
    async def test_scope_is_cancelled(
        self, telemetry: Telemetry, quiet: FakeProvider, name: Wire
    ) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, chat(quiet, name, stream=True))
            await silent(quiet)
            tasks.cancel_scope.cancel()

        await quiet.wait_idle()
        await telemetry.assert_one(external())

    async def test_shielded_call_goes_on(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        provider.script = Script(hang_at="before_headers")
        answers: list[Any] = []

        async def shielded() -> None:
            with anyio.CancelScope(shield=True):
                answers.append(await chat(provider, "openai"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shielded)
            exchange = await silent(provider)
            tasks.cancel_scope.cancel()
            exchange.release()

        assert len(answers) == 1
        assert telemetry.outcomes() == {"completed": 1}


class TestShutdown:
    @pytest.mark.parametrize("phase", ["request", "streaming"])
    @pytest.mark.parametrize("name", ["openai", "azure"])
    def test_runner_cancels_what_is_left(
        self, telemetry: Telemetry, phase: str, name: Wire
    ) -> None:
        left: list[asyncio.Task[None]] = []
        script = Script(hang_at="before_headers" if phase == "request" else 2)
        with ThreadedFakeProvider(script) as threaded:

            async def main() -> None:
                caller = Caller(chat(threaded.provider, name, stream=True))
                left.append(asyncio.create_task(tidy(caller)))
                exchange = await asyncio.to_thread(threaded.next_exchange)
                await asyncio.to_thread(lambda: threaded.run(exchange.wait_hanging()))
                if phase == "streaming":
                    await caller.has(2)

            asyncio.run(main())
            threaded.run(threaded.provider.wait_idle())

        (span,) = telemetry.spans
        assert (span.attributes or {})[sc.SOURCE] == "shutdown"
        assert (span.attributes or {})[sc.PHASE] == phase
        assert telemetry.outcomes() == {"cancelled": 1}

    def test_in_another_thread(self, telemetry: Telemetry) -> None:
        left: list[asyncio.Task[None]] = []
        with ThreadedFakeProvider(Script(hang_at="before_headers")) as threaded:

            async def main() -> None:
                left.append(asyncio.create_task(tidy(Caller(chat(threaded.provider, "openai")))))
                await asyncio.to_thread(threaded.next_exchange)

            thread = threading.Thread(target=lambda: asyncio.run(main()))
            thread.start()
            thread.join()

        (span,) = telemetry.spans
        assert (span.attributes or {})[sc.SOURCE] == "shutdown"


async def tidy(caller: Caller) -> None:
    """Close LiteLLM's clients once the loop shuts down and the call has ended."""
    try:
        await asyncio.Event().wait()
    finally:
        await caller.ended()
        await aclose_litellm_clients()


@every_loop
class TestClosing:
    """The provider's response takes its time to close; the transport says when it may."""

    @pytest.fixture
    async def slow(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SlowToClose]:
        transport = SlowToClose()
        client = httpx.AsyncClient(transport=transport)
        monkeypatch.setattr(litellm, "aclient_session", client)
        yield transport
        transport.let.set()
        await client.aclose()

    @pytest.mark.parametrize("name", ["openai", "azure"])
    async def test_cancelled_again_while_it_unwinds(
        self, telemetry: Telemetry, provider: FakeProvider, slow: SlowToClose, name: Wire
    ) -> None:
        provider.script = Script(hang_at=2)
        caller = Caller(chat(provider, name, stream=True))
        exchange = await silent(provider)
        await caller.has(2)

        caller.task.cancel()
        await slow.closing.wait()
        caller.task.cancel()

        assert isinstance(await caller.ended(), asyncio.CancelledError)
        assert caller.around.passed_on
        slow.let.set()
        await exchange.wait_closed()
        await telemetry.assert_one(external(phase="streaming"))

    @pytest.mark.parametrize("name", ["openai", "azure"])
    async def test_cancelled_while_it_is_closed(
        self, telemetry: Telemetry, provider: FakeProvider, slow: SlowToClose, name: Wire
    ) -> None:
        provider.script = Script(hang_at=2)
        stream = await chat(provider, name, stream=True)
        exchange = await silent(provider)
        await anext(stream)

        async def closes() -> None:
            await stream.aclose()

        caller = Caller(closes())
        await slow.closing.wait()
        caller.task.cancel()

        assert isinstance(await caller.ended(), asyncio.CancelledError)
        assert caller.around.passed_on
        slow.let.set()
        await exchange.wait_closed()
        await telemetry.assert_one(external(phase="closing"))

    async def test_deadline_while_it_is_closed(
        self, telemetry: Telemetry, provider: FakeProvider, slow: SlowToClose
    ) -> None:
        provider.script = Script(hang_at=2)
        stream = await chat(provider, "openai", stream=True)
        await silent(provider)
        await anext(stream)

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await stream.aclose()

        slow.let.set()
        await telemetry.assert_one(external("deadline", "closing"))
