"""CancellationMiddleware where no asyncio runs."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette

from disconnect.asgi import Message, Receive, Scope, Send
from disconnect.servers import free_port
from litellm_cancel_otel._calls.request import REQUEST
from support import children
from support.hosts import (
    END,
    Failure,
    both_ways,
    never,
    nowhere,
    scope_of,
)
from support.telemetry import Telemetry

if os.environ.get("REQUIRE_ALL_TESTS") == "1":
    import trio
else:
    trio = pytest.importorskip("trio")


class TestTrio:
    """Where no asyncio runs, everything is passed through."""

    @both_ways
    def test_request(self, telemetry: Telemetry, around: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await trio.lowlevel.checkpoint()
            got.extend((scope, receive, send))
            await send(await receive())

        async def receive() -> Message:
            await trio.lowlevel.checkpoint()
            return END

        async def send(message: Message) -> None:
            await trio.lowlevel.checkpoint()
            sent.append(message)

        got: list[object] = []
        sent: list[Message] = []
        scope = scope_of()
        trio.run(app if around is None else around(app), scope, receive, send)

        assert [one is other for one, other in zip(got, (scope, receive, send), strict=True)]
        assert got[1:] == [receive, send]
        assert sent == [END]

    @both_ways
    def test_site(self, telemetry: Telemetry, around: Any) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(3):
                await trio.lowlevel.checkpoint()
                yield b"piece"

        async def main() -> None:
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(application), base_url="http://site"
            ) as client:
                bodies.append((await client.get("/")).content)

        bodies: list[bytes] = []
        application = FastAPI()
        application.get("/")(lambda: StreamingResponse(pieces()))
        if around is not None:
            application.add_middleware(around)
        trio.run(main)

        assert bodies == [b"piecepiecepiece"]

    @both_ways
    def test_lifespan(self, telemetry: Telemetry, around: Any) -> None:
        async def receive() -> Message:
            await trio.lowlevel.checkpoint()
            return next(messages)

        async def send(message: Message) -> None:
            await trio.lowlevel.checkpoint()
            sent.append(message["type"])

        sent: list[str] = []
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
        application: Any = Starlette()
        app = application if around is None else around(application)
        trio.run(app, {"type": "lifespan", "app": application}, receive, send)

        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    @both_ways
    def test_exception(self, telemetry: Telemetry, around: Any) -> None:
        async def app(*_: object) -> None:
            await trio.lowlevel.checkpoint()
            raise failure

        failure = Failure()
        with pytest.raises(Failure) as caught:
            trio.run(app if around is None else around(app), scope_of(), never, nowhere)

        assert caught.value is failure

    @both_ways
    async def test_as_a_guest_of_asyncio(self, telemetry: Telemetry, around: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await trio.sleep(0)
            assert REQUEST.get() is None  # whose task would it be?
            await send(await receive())

        async def receive() -> Message:
            await trio.lowlevel.checkpoint()
            return END

        async def send(message: Message) -> None:
            await trio.lowlevel.checkpoint()
            sent.append(message)

        sent: list[Message] = []
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        trio.lowlevel.start_guest_run(
            app if around is None else around(app),
            scope_of(),
            receive,
            send,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=done.set_result,
        )
        (await done).unwrap()

        assert sent == [END]


SITE = """
import litellm
from fastapi import FastAPI
from litellm_cancel_otel import CancellationMiddleware, CancelTelemetry

litellm.callbacks = [CancelTelemetry()]
app = FastAPI()
app.get("/")(lambda: "whole")
app.add_middleware(CancellationMiddleware)
"""


def answer_of(port: int, server: children.Running[bytes]) -> bytes:
    """Return the answer of a server, once it listens."""
    while server.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), 30) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: site\r\nConnection: close\r\n\r\n")
                return b"".join(iter(lambda: client.recv(65_536), b""))
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise AssertionError("the server has ended")


def test_hypercorn(tmp_path: Path) -> None:
    (tmp_path / "site_on_trio.py").write_text(SITE)
    port = free_port()
    where = ["--bind", f"127.0.0.1:{port}", "--worker-class", "trio"]
    with children.started(
        [sys.executable, "-W", "ignore", "-m", "hypercorn", *where, "site_on_trio:app"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((*sys.path, str(tmp_path)))},
        stdout=children.DEVNULL,
        stderr=children.DEVNULL,
    ) as server:
        answer = answer_of(port, server)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b'"whole"')
        server.terminate()
        assert server.wait(30) == 0
