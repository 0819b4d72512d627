"""Clients of a real uvicorn that go away: what became of each, without the package and with it."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from .._contract import semconv as sc
from .._contract.records import Source
from .fakes import Exchange, FakeProvider, Script
from .fakes.board import Board
from .runner import WINDOW

START_UP = 60.0
"""Seconds in which the application has loaded LiteLLM and makes its first call, at most."""
BACKSTOP = 30.0
MORE_THAN_BUFFERS_HOLD = 60
"""Pieces of ``LARGE`` that fill all between the application and a client that does not read."""
LARGE = 100_000


@dataclass(frozen=True, slots=True)
class Leaving:
    """One way for a client to go away."""

    name: str
    title: str
    about: str
    script: Script
    path: str = "/wrapped"
    """``/wrapped`` is behind one ``@app.middleware("http")``, ``/bare`` is not."""
    reads: bool = True


LEAVINGS = (
    Leaving(
        "client-flowing",
        "chunks flow",
        "The client leaves while chunks come one after another.",
        Script(chunks=None, interval=0.01),
    ),
    Leaving(
        "client-silent",
        "a silence",
        "The client leaves while the provider is silent.",
        Script(chunks=None, hang_at=20),
    ),
    Leaving(
        "client-backlog",
        "a backlog",
        "The client leaves while thousands of chunks are there already; no middleware.",
        Script(chunks=4_000, hang_at=4_000, burst=True),
        path="/bare",
    ),
    Leaving(
        "client-stopped",
        "it stopped reading",
        "The client has stopped reading, as a browser in the background does, and leaves.",
        Script(chunks=None, interval=0.005),
        reads=False,
    ),
)


@dataclass(frozen=True, slots=True)
class Left:
    """What became of a client's request; seconds since it left, None for not within the window."""

    leaving: Leaving
    got: str | None
    """What the application's generator saw."""
    finally_after: float | None
    closed_after: float | None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Of the call's span; none without the package."""

    def problems(self) -> list[str]:
        """Return what is not as it must be with the package; nothing when all is well."""
        found = []
        if self.finally_after is None:
            found.append(f"the generator's finally had not run after {WINDOW:g} s")
        if self.closed_after is None:
            found.append(f"the provider's connection was open after {WINDOW:g} s")
        wanted = {sc.CANCELLATION_TYPE: sc.EXTERNAL, sc.SOURCE: str(Source.CLIENT_DISCONNECT)}
        return found + [
            f"{name} is {self.attributes.get(name)}, not {value}"
            for name, value in wanted.items()
            if self.attributes.get(name) != value
        ]


async def compare(progressed: Callable[[], object]) -> list[tuple[Left, Left]]:
    """Let a client of each kind go, without the package and with it."""
    async with FakeProvider() as provider, _serving("without") as bare, _serving("with") as ours:
        pairs = []
        for leaving in LEAVINGS:
            without = await bare.lose(leaving, provider)
            with_ = await ours.lose(leaving, provider)
            pairs.append((without, with_))
            progressed()
        return pairs


class _Server:
    def __init__(self, address: tuple[str, int], *, package: bool) -> None:
        self._address = address
        self._package = package
        self._board = Board()
        self._told: defaultdict[str, dict[str, Any]] = defaultdict(dict)

    async def listen(self, output: asyncio.StreamReader) -> None:
        """Take what the application tells."""
        while line := await output.readline():
            with suppress(ValueError, KeyError):  # something else that was printed
                told = json.loads(line)
                self._told[told["run"]].setdefault(told["event"], told)
                self._board.announce()

    async def lose(self, leaving: Leaving, provider: FakeProvider) -> Left:
        """Let a client ask, and leave."""
        run = str(uuid4())
        told = self._told[run]
        provider.script = leaving.script
        with socket.socket() as client:
            exchange = await self._ask(client, leaving, run, provider)
            left_at = time.perf_counter()

        def over() -> bool:
            ended = "finally" in told and exchange.closed_at is not None
            return ended and ("span" in told or not self._package)

        watching = asyncio.create_task(self._announce_close(exchange))
        with suppress(TimeoutError):  # that it does not come is what the table then shows
            await self._board.until(over, "the end", WINDOW)
        watching.cancel()

        def since(at: float | None) -> float | None:
            return None if at is None or at - left_at > WINDOW else max(0.0, at - left_at)

        ended = told.get("finally", {})
        return Left(
            leaving,
            ended.get("got"),
            since(ended.get("at")),
            since(exchange.closed_at),
            told.get("span", {}).get("attributes", {}),
        )

    async def _ask(
        self, client: socket.socket, leaving: Leaving, run: str, provider: FakeProvider
    ) -> Exchange:
        loop = asyncio.get_running_loop()
        if not leaving.reads:  # before connecting: it decides how much the server can send
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, self._address)
        size = 10 if leaving.reads else LARGE
        asked = urlencode({"run": run, "base_url": provider.base_url, "size": size})
        request = f"GET {leaving.path}/answer?{asked} HTTP/1.1\r\nhost: localhost\r\n\r\n"
        await loop.sock_sendall(client, request.encode())
        exchange = await provider.next_exchange(START_UP)
        if not leaving.reads:
            await exchange.wait_chunks(MORE_THAN_BUFFERS_HOLD, BACKSTOP)
            return exchange
        read = b""
        async with asyncio.timeout(BACKSTOP):
            while b"piece" not in read:
                data = await loop.sock_recv(client, 65_536)
                if not data:
                    raise ConnectionError("the demo's web application does not answer")
                read += data
        if leaving.script.hang_at is not None and not leaving.script.burst:
            await exchange.wait_hanging(BACKSTOP)
        return exchange

    async def _announce_close(self, exchange: Exchange) -> None:
        await exchange.wait_closed(2 * WINDOW)
        self._board.announce()


@asynccontextmanager
async def _serving(package: str) -> AsyncIterator[_Server]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "ignore", "-m", f"{__package__}.webapp"),
            *(str(listening.fileno()), package),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=[listening.fileno()],
        )
    server = _Server(address, package=package == "with")
    assert process.stdout is not None
    reading = asyncio.create_task(server.listen(process.stdout))
    try:
        yield server
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await reading
