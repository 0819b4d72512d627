"""CancellationMiddleware around an application's lifespan."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import Any

import litellm
import pytest

from disconnect.asgi import Message, Receive, Scope, Send
from litellm_cancel_otel import CancellationMiddleware
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._integration.shutdown import export_last
from litellm_cancel_otel._seams.proxy_server import after_shutdown
from support.hosts import (
    Failure,
    both_ways,
    never,
    nowhere,
)
from support.telemetry import Telemetry

sdk: Any = litellm


class TestLifespan:
    SHUTDOWN = (*({"type": f"lifespan.{one}"} for one in ("startup", "shutdown")),)

    @both_ways
    async def test_that_is_not_supported(self, telemetry: Telemetry, around: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert scope["type"] == "http", "only that"

        with pytest.raises(AssertionError, match="only that"):
            await (app if around is None else around(app))({"type": "lifespan"}, never, nowhere)

    @both_ways
    async def test_that_fails(self, telemetry: Telemetry, around: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "lifespan.shutdown.failed", "message": "no"})
            raise failure

        failure = Failure()
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        with pytest.raises(Failure) as caught:
            await (app if around is None else around(app))({"type": "lifespan"}, never, send)

        assert caught.value is failure
        assert sent == [{"type": "lifespan.shutdown.failed", "message": "no"}]

    @pytest.mark.parametrize("word", ["complete", "failed"])
    async def test_last_word_comes_after_the_export(
        self, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, word: str
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "lifespan.startup.complete"})
            await send({"type": f"lifespan.shutdown.{word}"})

        async def send(message: Message) -> None:
            order.append(message["type"])

        order: list[str] = []
        monkeypatch.setattr(telemetry.tracker, "flush", lambda: order.append("export"))
        twice = CancellationMiddleware(CancellationMiddleware(app))
        await twice({"type": "lifespan"}, never, send)

        assert order == ["lifespan.startup.complete", "export", f"lifespan.shutdown.{word}"]

    async def test_it_is_said_that_the_process_stops_on_purpose(self, telemetry: Telemetry) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "lifespan.shutdown.complete"})

        before = telemetry.points(sc.INTERNAL_ERRORS)
        await CancellationMiddleware(app)({"type": "lifespan"}, never, nowhere)
        after = telemetry.points(sc.INTERNAL_ERRORS)

        assert before == [({sc.SEAM: sc.NO_FAULT}, 0)]
        assert after == [({sc.SEAM: sc.NO_FAULT}, 0), ({sc.SEAM: sc.STOPPED}, 0)]

    async def test_telemetry_that_the_application_starts_is_exported(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            with Telemetry() as telemetry:
                monkeypatch.setattr(telemetry.tracker, "flush", lambda: order.append("export"))
                await send({"type": "lifespan.shutdown.complete"})

        order: list[str] = []
        await CancellationMiddleware(app)({"type": "lifespan"}, never, nowhere)

        assert order == ["export"]

    async def test_export_that_raises(
        self, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "lifespan.shutdown.complete"})

        def raises() -> None:
            raise Failure

        monkeypatch.setattr(telemetry.tracker, "flush", raises)
        await CancellationMiddleware(app)({"type": "lifespan"}, never, nowhere)

        telemetry.assert_nothing_open(faults={"shutdown": 1})
        telemetry.tracker.faults.counts.clear()

    @pytest.mark.parametrize("busy", [True, False], ids=["busy", "shut down"])
    async def test_threads_of_the_loops_are_not_needed(
        self, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, busy: bool
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            loop = asyncio.get_running_loop()
            loop.set_default_executor(ThreadPoolExecutor(1))
            if busy:
                loop.run_in_executor(None, let_go.wait)
            else:
                await loop.shutdown_default_executor()
            await send({"type": "lifespan.shutdown.complete"})

        exports: list[str] = []
        let_go = threading.Event()
        monkeypatch.setattr(telemetry.tracker, "flush", lambda: exports.append("export"))
        try:
            async with asyncio.timeout(5):
                await CancellationMiddleware(app)({"type": "lifespan"}, never, nowhere)
        finally:
            let_go.set()

        assert exports == ["export"]


class TestProxy:
    """The shutdown of LiteLLM's proxy is a function of its own."""

    @pytest.mark.parametrize(
        ("exc", "exports"),
        [(None, 1), (Failure(), 1), (asyncio.CancelledError(), 0)],
        ids=["ends", "fails", "cancelled"],
    )
    async def test_shutdown_ends_as_it_did(
        self,
        telemetry: Telemetry,
        monkeypatch: pytest.MonkeyPatch,
        exc: BaseException | None,
        exports: int,
    ) -> None:
        async def proxy_shutdown_event(word: str) -> str:
            if exc is not None:
                raise exc
            return word

        exported: list[int] = []
        server = SimpleNamespace(proxy_shutdown_event=proxy_shutdown_event)
        monkeypatch.setattr(telemetry.tracker, "flush", lambda: exported.append(1))
        tracker = telemetry.tracker
        after_shutdown(server, partial(export_last, tracker.flush, tracker.faults))
        try:
            ended: object = await server.proxy_shutdown_event("word")
        except BaseException as caught:
            ended = caught

        assert ended is ("word" if exc is None else exc)
        assert len(exported) == exports
