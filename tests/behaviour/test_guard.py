"""The guard: what is left open is closed, once and soon; what is still wanted is left alone."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import litellm
import pytest
import uvloop
from litellm.llms.custom_llm import CustomLLM

from disconnect.asgi import Receive, Send, Served, start
from litellm_cancel_otel import CancellationMiddleware
from litellm_cancel_otel._calls.call import Call
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import FakeProvider, Script, Wire, aclose_litellm_clients
from litellm_cancel_otel._demo.fakes.board import Board
from support.calling import chat, every_provider, silent
from support.telemetry import OLD, Telemetry, cancel_of, external

sdk: Any = litellm
every_loop = pytest.mark.every_loop
orphaned = external("abandoned", "streaming", "task_done", "guard")

GRACE = 0.05
"""Longer than the guard's own, which is 0.02 s."""


MANY = 40
"""More than the guard closes in one go, fewer than LiteLLM 1.81 has connections: 50 to a host."""


class Failure(Exception):
    """What a driver ends by."""


@contextmanager
def no_collection() -> Iterator[None]:
    """Let only reference counts free what is not wanted any more."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def actions(telemetry: Telemetry) -> dict[str, int]:
    """Return how often the guard did what."""
    return {said[sc.ACTION]: times for said, times in telemetry.points(sc.GUARD_ACTIONS)}


class Consumer:
    """An application's async generator over a stream; its ``finally`` is seen."""

    def __init__(self, stream: Any) -> None:
        self.unwound: list[str] = []
        self.board = Board()
        self.pieces = self._pieces(stream)

    async def _pieces(self, stream: Any) -> AsyncIterator[Any]:
        try:
            async for chunk in stream:
                yield chunk
        except BaseException as exc:
            self.unwound.append(type(exc).__name__)
            raise
        finally:
            await self.last_act()
            self.unwound.append("finally")
            self.board.announce()

    async def last_act(self) -> None:
        await asyncio.sleep(0)

    async def finally_called(self) -> None:
        await self.board.until(lambda: "finally" in self.unwound, "finally", 5)


async def fails_after_a_chunk(stream: Any) -> None:
    """Take a chunk and raise, as a ``send`` does whose client has gone."""
    await anext(stream)
    raise Failure


async def failed(work: Awaitable[None]) -> None:
    """Run the work in a task of its own, which ends by its failure."""
    task = asyncio.ensure_future(work)
    await asyncio.wait([task], timeout=5)
    assert isinstance(task.exception(), Failure)


@pytest.mark.settings(orphan_grace=0.005)
class TestOrphan:
    @every_loop
    @every_provider
    async def test_is_closed_and_its_consumers_finally_runs(
        self, telemetry: Telemetry, provider: FakeProvider, name: Wire
    ) -> None:
        provider.script = Script(chunks=None, interval=0.001)
        consumer = Consumer(await chat(provider, name, stream=True))
        exchange = await provider.next_exchange()

        with no_collection():
            await failed(fails_after_a_chunk(consumer.pieces))
            await consumer.finally_called()
            await exchange.wait_closed()

        assert consumer.unwound == ["GeneratorExit", "finally"]
        await telemetry.assert_one(orphaned)
        assert actions(telemetry)["closed_orphan"] == 1

    async def test_of_a_cancelled_driver(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def drive() -> None:
            await anext(consumer.pieces)
            await asyncio.Event().wait()

        provider.script = Script(chunks=None, interval=0.001)
        consumer = Consumer(await chat(provider, "openai", stream=True))
        exchange = await provider.next_exchange()
        driver = asyncio.create_task(drive())
        await exchange.wait_chunks(3)
        await asyncio.sleep(0)
        driver.cancel()

        await consumer.finally_called()
        await exchange.wait_closed()
        await telemetry.assert_one(orphaned)

    async def test_closes_outer_generators_first(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def outer() -> AsyncIterator[Any]:
            try:
                async for one in inner.pieces:
                    yield one
            finally:
                order.append("outer")

        order: list[str] = []
        provider.script = Script(chunks=None, interval=0.001)
        inner = Consumer(await chat(provider, "openai", stream=True))
        inner.unwound = order
        pieces = outer()

        await failed(fails_after_a_chunk(pieces))
        await inner.finally_called()

        assert order == ["outer", "GeneratorExit", "finally"]
        await provider.wait_idle()

    async def test_whose_driver_returned_in_peace_is_left_alone(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def drive() -> None:
            await anext(stream)

        stream = await chat(provider, "openai", stream=True)
        await asyncio.create_task(drive())
        await asyncio.sleep(GRACE)

        assert len([chunk async for chunk in stream]) > 1
        assert telemetry.outcomes() == {"completed": 1}

    @pytest.mark.settings(orphan_grace=0.3)
    async def test_that_another_task_takes_over_is_left_alone(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def drain() -> None:
            async for _ in stream:
                pass

        provider.script = Script(hang_at=2)
        stream = await chat(provider, "openai", stream=True)
        exchange = await silent(provider)
        await failed(fails_after_a_chunk(stream))
        drainer = asyncio.create_task(drain())
        await asyncio.sleep(0.35)
        assert exchange.hanging
        exchange.release()

        await drainer
        assert telemetry.outcomes() == {"completed": 1}
        assert actions(telemetry).keys() <= {"checkpoint"}  # on a busy machine there is a backlog

    @pytest.mark.settings(guard=False)
    async def test_is_left_alone_where_only_watched(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        provider.script = Script(hang_at=2)
        stream = await chat(provider, "openai", stream=True)
        consumer = Consumer(stream)
        exchange = await silent(provider)
        await failed(fails_after_a_chunk(consumer.pieces))
        await asyncio.sleep(GRACE)

        assert exchange.hanging
        assert consumer.unwound == []
        await stream.aclose()
        await exchange.wait_closed()

    @pytest.mark.settings(close_timeout=0.05, orphan_grace=0.005)
    async def test_whose_finally_hangs_is_given_up(
        self,
        telemetry: Telemetry,
        provider: FakeProvider,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        provider.script = Script(chunks=None, interval=0.001)
        consumer = Consumer(await chat(provider, "openai", stream=True))
        monkeypatch.setattr(consumer, "last_act", asyncio.Event().wait)
        exchange = await provider.next_exchange()

        with caplog.at_level(logging.WARNING, "litellm_cancel_otel"):
            await failed(fails_after_a_chunk(consumer.pieces))
            await exchange.wait_closed()
            span = await telemetry.span()

        assert cancel_of(span.attributes or {}) == orphaned
        assert any("given up" in record.message for record in caplog.records)

    async def test_whose_finally_raises_is_told_to_the_loop(
        self,
        telemetry: Telemetry,
        provider: FakeProvider,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        async def raising() -> None:
            raise Failure

        told: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context.get("exception")))
        provider.script = Script(chunks=None, interval=0.001)
        consumer = Consumer(await chat(provider, "openai", stream=True))
        monkeypatch.setattr(consumer, "last_act", raising)
        exchange = await provider.next_exchange()

        await failed(fails_after_a_chunk(consumer.pieces))
        await exchange.wait_closed()

        await telemetry.assert_one(orphaned)
        assert [type(exc) for exc in told] == [Failure]

    async def test_many_at_once(self, telemetry: Telemetry, provider: FakeProvider) -> None:
        provider.script = Script(hang_at=2)
        consumers = [Consumer(await chat(provider, "openai", stream=True)) for _ in range(MANY)]

        await asyncio.gather(*(failed(fails_after_a_chunk(one.pieces)) for one in consumers))
        await asyncio.gather(*(one.finally_called() for one in consumers))
        await provider.wait_idle()

        assert all(one.unwound == ["GeneratorExit", "finally"] for one in consumers)
        assert telemetry.outcomes() == {"cancelled": MANY}
        assert actions(telemetry)["closed_orphan"] == MANY


class TestLoop:
    def test_that_is_run_anew(self) -> None:
        async def leave_an_orphan() -> None:
            async with FakeProvider(Script(chunks=None, interval=0.001)) as provider:
                consumer = Consumer(await chat(provider, "openai", stream=True))
                await failed(fails_after_a_chunk(consumer.pieces))
                await consumer.finally_called()
                await provider.wait_idle()
                await aclose_litellm_clients()

        loop = uvloop.new_event_loop()
        with Telemetry(orphan_grace=0.005) as telemetry, closing(loop):
            for _ in range(2):
                loop.run_until_complete(leave_an_orphan())
            assert telemetry.outcomes() == {"cancelled": 2}

    def test_that_has_ended_is_forgotten(self) -> None:
        async def leave_an_orphan(*, wait: bool) -> None:
            async with FakeProvider(Script(chunks=None, interval=0.001)) as provider:
                consumer = Consumer(await chat(provider, "openai", stream=True))
                await failed(fails_after_a_chunk(consumer.pieces))
                if wait:
                    await consumer.finally_called()
                await aclose_litellm_clients()

        with Telemetry(orphan_grace=0.3) as telemetry:
            asyncio.run(leave_an_orphan(wait=False))
            asyncio.run(leave_an_orphan(wait=True))
            guard = telemetry.tracker.guard
            assert guard is not None
            assert (guard._orphans, guard._turns._to_do, guard._unreached) == ({}, {}, {})


class TestDriver:
    async def test_that_lives_long_gathers_nothing(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        for _ in range(3):
            async for _ in await chat(provider, "openai", stream=True):
                pass

        callbacks = getattr(asyncio.current_task(), "_callbacks", None) or ()
        assert [
            one for one, _ in callbacks if isinstance(getattr(one, "__self__", None), Call)
        ] == []


class TestDrop:
    @every_loop
    @every_provider
    async def test_break_closes_the_upstream_without_a_collection(
        self, telemetry: Telemetry, provider: FakeProvider, name: Wire
    ) -> None:
        provider.script = Script(chunks=None, interval=0.001)
        with no_collection():
            async for _ in await chat(provider, name, stream=True):
                break
            exchange = await provider.next_exchange()
            await exchange.wait_closed()

        await telemetry.assert_one(external("abandoned", "streaming", "gc", "gc"))

    @every_provider
    async def test_reference_that_goes(
        self, telemetry: Telemetry, provider: FakeProvider, name: Wire
    ) -> None:
        provider.script = Script(hang_at=2)
        with no_collection():
            stream = await chat(provider, name, stream=True)
            exchange = await silent(provider)
            assert isinstance(stream, sdk.CustomStreamWrapper)
            del stream
            await exchange.wait_closed()

        await telemetry.assert_one(external("abandoned", "request", "gc", "gc"))


class TestGone:
    @pytest.mark.settings(orphan_grace=0.005)
    async def test_stream_that_an_application_keeps_and_leaves_in_peace(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        """Its driver has not failed; but nobody is there any more to whom it could matter."""

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            kept.append(await chat(provider, "openai", stream=True))
            await anext(kept[0])
            while (await receive())["type"] != "http.disconnect":
                pass

        kept: list[Any] = []
        provider.script = Script(hang_at=2)
        served = Served(CancellationMiddleware(app))
        exchange = await silent(provider)
        await served.has_asked(2)
        served.leave()
        assert await served.ended() is None

        await exchange.wait_closed()
        await telemetry.assert_one(
            external("client_disconnect", "streaming", "asgi_receive", "guard")
        )
        assert actions(telemetry)["closed_orphan"] == 1


class TestDetached:
    async def test_drain_of_a_gone_client_is_left_alone(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            stream = await chat(provider, "openai", stream=True)
            await send(start())
            await receive()
            drains.append(asyncio.create_task(drain(stream)))
            while (await receive())["type"] != "http.disconnect":
                pass

        async def drain(stream: Any) -> int:
            return len([chunk async for chunk in stream])

        drains: list[asyncio.Task[int]] = []
        provider.script = Script(hang_at=2)
        served = Served(CancellationMiddleware(app))
        exchange = await silent(provider)
        await served.has_asked(2)
        served.leave()
        assert await served.ended() is None
        await asyncio.sleep(GRACE)
        exchange.release()

        assert await drains[0] > 2
        assert "closed_on_disconnect" not in actions(telemetry)
        assert "closed_orphan" not in actions(telemetry)
        assert telemetry.outcomes() == {"completed": 1}


class Unending(CustomLLM):
    """A provider of the user's own that does not answer the close."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = asyncio.Event()

    async def astreaming(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        try:
            while True:
                yield {
                    "finish_reason": "",
                    "index": 0,
                    "is_finished": False,
                    "text": "word",
                    "tool_use": None,
                    "usage": None,
                }
                await asyncio.sleep(0)
        finally:
            await self.answer.wait()


class TestClose:
    @pytest.mark.settings(close_timeout=0.05, orphan_grace=0.005)
    async def test_that_hangs_is_given_up(
        self,
        telemetry: Telemetry,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        handler = Unending()
        known = [{"provider": "unending", "custom_handler": handler}]
        monkeypatch.setattr(litellm, "custom_provider_map", known)
        monkeypatch.setattr(litellm, "_custom_providers", [*litellm._custom_providers, "unending"])
        monkeypatch.setattr(litellm, "provider_list", [*litellm.provider_list, "unending"])
        stream = await sdk.acompletion(
            model="unending/model", messages=[{"role": "user", "content": "hello"}], stream=True
        )

        with caplog.at_level(logging.WARNING, "litellm_cancel_otel"):
            await failed(fails_after_a_chunk(stream))
            span = await telemetry.span()

        assert cancel_of(span.attributes or {}) == orphaned
        if not OLD:  # it does not close what is no HTTP response
            assert any("given up" in record.message for record in caplog.records)
        handler.answer.set()
        if stream.completion_stream is not None:
            await stream.completion_stream.aclose()


class TestCheckpoint:
    @every_loop
    async def test_burst_lets_the_loop_run(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def drain() -> None:
            async for _ in await chat(provider, "openai", stream=True):
                pass

        provider.script = Script(chunks=400, burst=True)
        draining = asyncio.create_task(drain())
        exchange = await provider.next_exchange()
        await exchange.wait_closed()
        turns = 0
        while not draining.done():
            await asyncio.sleep(0)
            turns += 1

        assert turns > 3
        assert telemetry.outcomes() == {"completed": 1}

    @every_loop
    async def test_task_told_to_stop_in_a_burst_stops(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def drain() -> None:
            async for _ in await chat(provider, "openai", stream=True):
                chunks.append(1)

        chunks: list[int] = []
        provider.script = Script(chunks=2000, burst=True)
        draining = asyncio.create_task(drain())
        exchange = await provider.next_exchange()
        while not chunks:
            await asyncio.sleep(0)
        before = len(chunks)
        draining.cancel()
        await asyncio.wait([draining], timeout=5)

        assert draining.cancelled()
        assert len(chunks) - before <= 1
        await exchange.wait_closed()
        await telemetry.assert_one(external(phase="streaming"))

    @pytest.mark.settings(checkpoint_interval=0.001)
    async def test_busy_loop_does_not_hold_a_stream_back_for_ever(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async def hog() -> None:
            while True:
                end = loop.time() + 0.002  # each turn of the loop lasts longer than the interval
                while loop.time() < end:
                    pass
                await asyncio.sleep(0)

        loop = asyncio.get_running_loop()
        provider.script = Script(chunks=100, burst=True)
        # Before the loop is busy: LiteLLM opens a stream and builds its first answer in threads,
        # which a busy loop starves.
        async for _ in await chat(provider, "openai", stream=True):
            pass
        stream = await chat(provider, "openai", stream=True)
        hogging = asyncio.create_task(hog())
        try:
            async with asyncio.timeout(60):
                assert len([chunk async for chunk in stream]) > 100
        finally:
            hogging.cancel()
            await asyncio.wait([hogging])
