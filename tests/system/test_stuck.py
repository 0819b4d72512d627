"""Streams that hang in a real uvicorn: each kind shows while it lasts, with its frame."""

import asyncio
import gc
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from opentelemetry.sdk.trace import ReadableSpan

from litellm_cancel_otel import CancellationMiddleware
from litellm_cancel_otel._asyncio.await_chain import await_chain
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import Script, ThreadedFakeProvider, aclose_litellm_clients
from support.calling import chat, text_of
from support.telemetry import Telemetry

LIMIT, TICK = 1.0, 0.25
HANGS_AT = 2
"""Pieces after which the provider is silent."""

FLOOD = b"." * 50_000_000
"""More than every buffer between the server and its client holds."""

SLACK = 1.0
"""For the machine: the test's clock is the real one."""

Answer = Callable[[Any], AsyncIterator[bytes]]


async def answers(stream: Any) -> AsyncIterator[bytes]:
    async for _ in stream:
        yield b"piece"


async def floods(stream: Any) -> AsyncIterator[bytes]:
    async for _ in stream:
        yield FLOOD  # it hangs here: nobody reads


async def drains(stream: Any) -> AsyncIterator[bytes]:
    async def reads_on() -> None:
        pieces = 0
        async for chunk in stream:
            pieces += bool(text_of(chunk))
            if pieces == HANGS_AT:
                begun.set()

    begun = asyncio.Event()
    task = asyncio.create_task(reads_on())
    left.add(task)
    await begun.wait()
    yield b"piece"
    await asyncio.shield(task)


left: set[asyncio.Task[None]] = set()


def application(threaded: ThreadedFakeProvider, *, wrapped: bool) -> FastAPI:
    app = FastAPI()

    @app.get("/{name}")
    async def endpoint(name: str) -> StreamingResponse:
        stream = await chat(threaded.provider, "openai", stream=True)
        made: dict[str, Answer] = {"answers": answers, "floods": floods, "drains": drains}
        return StreamingResponse(made[name](stream))

    if wrapped:

        @app.middleware("http")
        async def passing(request: Request, call_next: Callable[[Request], Awaitable[Any]]) -> Any:
            return await call_next(request)

    app.add_middleware(CancellationMiddleware)
    return app


class Site:
    """A uvicorn in a thread of its own; its provider is in another."""

    def __init__(self, script: Script, *, wrapped: bool = False) -> None:
        self._threaded = ThreadedFakeProvider(script)
        self._wrapped = wrapped
        self._loops: list[asyncio.AbstractEventLoop] = []

    def __enter__(self) -> "Site":
        self._threaded.__enter__()
        app = application(self._threaded, wrapped=self._wrapped)
        config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off", ws="none")
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        while not self.server.started:
            time.sleep(0.01)
        ((self.port),) = [one.getsockname()[1] for one in self.server.servers[0].sockets]
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = self.server.force_exit = True
        self._thread.join()
        self._threaded.__exit__(None, None, None)

    async def _serve(self) -> None:
        self._loops.append(asyncio.get_running_loop())
        await self.server.serve()
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        left.clear()
        await aclose_litellm_clients()

    def get(self, path: str) -> "Client":
        return Client(self.port, path)

    def run_in_loop(self, blocking: Callable[[], object]) -> None:
        """Run something in the server's loop, which does nothing else meanwhile."""

        def run() -> None:
            blocking()
            done.set()

        done = threading.Event()
        self._loops[0].call_soon_threadsafe(run)
        assert done.wait(30)

    def waits_in(self, function: str) -> bool:
        """Return whether a task of the server's is suspended in a function."""
        chains = [await_chain(task) for task in asyncio.all_tasks(self._loops[0])]
        return any(place.function == function for chain in chains for place in chain)

    def release(self) -> None:
        """Have the provider go on where it hangs."""
        for exchange in self._threaded.provider.exchanges:
            self._threaded.release(exchange)


class Client:
    """A client that has read the beginning of an answer."""

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(30)
        self._socket.connect(("127.0.0.1", port))
        self._socket.sendall(f"GET /{path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        self.seen = b""
        while b"piece" not in self.seen and b"...." not in self.seen:
            self.seen += self._socket.recv(100)

    def go(self) -> None:
        """Break the connection off."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


def stuck(telemetry: Telemetry) -> dict[str, int]:
    points = telemetry.points(sc.STREAMS_STUCK)
    return {attributes[sc.REASON]: value for attributes, value in points}


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def event(span: ReadableSpan) -> dict[str, Any]:
    (attributes,) = [one.attributes for one in span.events if one.name == sc.EVENT_STUCK]
    return dict(attributes or {})


def assert_found(telemetry: Telemetry, reason: str) -> dict[str, Any]:
    """Assert that the gauge and a span say so, in time; return what the span's event says."""
    wait_until(lambda: stuck(telemetry).get(reason))
    assert stuck(telemetry) == {reason: 1}
    wait_until(lambda: telemetry.spans)
    (span,) = telemetry.spans
    said = event(span)
    assert said[sc.STUCK_REASON] == reason
    assert LIMIT <= said[sc.STUCK_AGE] <= LIMIT + TICK + SLACK
    return said


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The garbage collector, which ends an orphan when it comes, does not come."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


@pytest.fixture
def cleared(telemetry: Telemetry) -> Iterator[None]:
    """The gauges are back at 0 when the server is gone."""
    yield
    wait_until(lambda: not any(stuck(telemetry).values()))
    wait_until(lambda: not telemetry.tracker.streams)


pytestmark = pytest.mark.usefixtures("cleared")


@pytest.mark.settings(watchdog_interval=TICK, stuck_no_chunk=LIMIT)
def test_no_chunk(telemetry: Telemetry) -> None:
    with Site(Script(hang_at=HANGS_AT)) as site:
        client = site.get("answers")

        said = assert_found(telemetry, "no_chunk")

        where = said[sc.STUCK_WHERE]
        mine = [place for place in where if place.endswith(" answers")]
        assert mine == [f"test_stuck.py:{answers.__code__.co_firstlineno + 1} answers"]
        assert where.index(mine[0]) < len(where) - 1, "it goes on, down to the socket"
        assert where[-1].startswith(("aiohttp/", "asyncio/", "anyio/"))
        assert telemetry.open_streams() == 1
        client.go()


@pytest.mark.settings(watchdog_interval=TICK, stuck_after_disconnect=LIMIT)
def test_after_disconnect(telemetry: Telemetry) -> None:
    with Site(Script(hang_at=HANGS_AT)) as site:
        site.get("drains").go()

        said = assert_found(telemetry, "after_disconnect")

        assert any(place.endswith("drains.<locals>.reads_on") for place in said[sc.STUCK_WHERE])
        ((_, age),) = telemetry.points(sc.OLDEST_AFTER_DISCONNECT)
        assert age >= LIMIT
        assert telemetry.open_streams() == 1


@pytest.mark.settings(watchdog_interval=TICK, stuck_after_disconnect=LIMIT, guard=False)
def test_orphaned(telemetry: Telemetry, no_collector: None) -> None:
    with Site(Script(chunks=None, interval=0.01), wrapped=True) as site:
        client = site.get("floods")
        # Nobody reads, so that the server waits, and then the middleware.
        wait_until(lambda: site.waits_in("FlowControl.drain"))
        wait_until(lambda: site.waits_in("MemoryObjectSendStream.send"))
        client.go()

        said = assert_found(telemetry, "orphaned")

        line = floods.__code__.co_firstlineno + 2
        assert said[sc.STUCK_WHERE] == (f"test_stuck.py:{line} floods",)


@pytest.mark.settings(watchdog_interval=0.1, stuck_no_chunk=LIMIT)
def test_blocked_loop_says_so(telemetry: Telemetry) -> None:
    with Site(Script(hang_at=HANGS_AT)) as site:
        client = site.get("answers")
        wait_until(lambda: telemetry.points(sc.LOOP_LAG))  # the loop is known
        site.run_in_loop(lambda: time.sleep(2 * LIMIT))

        wait_until(lambda: telemetry.spans)
        (span,) = telemetry.spans
        said = event(span)
        assert said[sc.EVENT_LOOP_LAG] > LIMIT / 4
        site.release()
        client.go()


@pytest.mark.settings(watchdog_interval=TICK, stuck_no_chunk=LIMIT)
def test_close_does_not_wait_for_what_is_stuck(telemetry: Telemetry) -> None:
    with Site(Script(hang_at=HANGS_AT)) as site:
        clients = [site.get("answers") for _ in range(3)]
        wait_until(lambda: stuck(telemetry) == {"no_chunk": 3})
        dog = telemetry.tracker.watchdog
        assert dog is not None
        assert dog._thread is not None
        began = time.monotonic()
        telemetry.callback.close()
        dog._thread.join(5)

        assert time.monotonic() - began < 1
        assert not dog._thread.is_alive()
        for client in clients:
            client.go()
