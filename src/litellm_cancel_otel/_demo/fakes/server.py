"""The fake provider: a server on loopback that speaks every wire format on one port."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from litellm_cancel_otel._demo.fakes.board import Board
from litellm_cancel_otel._demo.fakes.exchange import Exchange
from litellm_cancel_otel._demo.fakes.http import Connection, Request
from litellm_cancel_otel._demo.fakes.player import play
from litellm_cancel_otel._demo.fakes.script import Script
from litellm_cancel_otel._demo.fakes.wire import routes
from litellm_cancel_otel._demo.fakes.wire.base import json_bytes


class FakeProvider:
    """Answers as ``script`` says, or as ``scripts`` says for the model; records every exchange.

    Use it with ``async with``. Both scripts may be changed at any time; a request takes what holds
    when it arrives. All methods and waits are for the loop in which the provider was started.
    """

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.scripts: dict[str, Script] = {}
        self.plain: Script | None = None
        """How a call that is not streamed is answered; None: as any other."""
        self.exchanges: list[Exchange] = []
        self.refused: list[str] = []
        """The paths that no wire format here has."""
        self._returned = 0
        self._open = 0
        self._board = Board()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def base_url(self) -> str:
        """The address, without a path; RuntimeError while the provider is not running."""
        if self._server is None:
            raise RuntimeError("the fake provider is not running: use it with 'async with'")
        port: int = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    @property
    def open_exchanges(self) -> int:
        """How many requests are neither answered nor broken off."""
        return self._open

    @property
    def open_connections(self) -> int:
        """How many connections clients hold, busy or idle."""
        return len(self._connections)

    async def next_exchange(self, timeout: float = 5.0) -> Exchange:
        """The oldest exchange not returned yet, as soon as there is one.

        Raises TimeoutError after ``timeout`` seconds.
        """
        await self._board.until(
            lambda: len(self.exchanges) > self._returned, "the next exchange", timeout
        )
        exchange = self.exchanges[self._returned]
        self._returned += 1
        return exchange

    async def wait_idle(self, timeout: float = 5.0) -> None:
        """Wait until no exchange is open; TimeoutError after ``timeout`` seconds."""
        await self._board.until(
            lambda: self.open_exchanges == 0, "the end of all exchanges", timeout
        )

    async def hang_up(self) -> None:
        """Close every connection, and listen on; open exchanges end as ``provider_closed``."""
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def aclose(self) -> None:
        """Close the port and every connection; open exchanges end as ``provider_closed``."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        await self.hang_up()
        await server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # accepted while the provider was closing
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(Connection(reader, writer)))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    def _exchange_over(self) -> None:
        self._open -= 1
        self._board.announce()

    async def _serve(self, connection: Connection) -> None:
        try:
            while request := await connection.read_request():
                await self._answer(request, connection)
        finally:
            connection.abort()
            await connection.close()

    async def _answer(self, request: Request, connection: Connection) -> None:
        call = routes.understand(
            request.target, request.headers.get("content-type", ""), request.body
        )
        if call is None:
            self.refused.append(request.target.partition("?")[0])
            content = json_bytes({"error": {"message": f"no provider has {request.target}"}})
            await connection.start(404, [("content-type", "application/json")], len(content))
            await connection.send(content)
            await connection.finish()
            return
        script = self.scripts.get(call.model, self.script)
        if self.plain is not None and not call.stream:
            script = self.plain
        exchange = Exchange(call, request.headers, script, self._exchange_over)
        self.exchanges.append(exchange)
        self._open += 1
        self._board.announce()
        await _play_while_client_stays(exchange, connection)


async def _play_while_client_stays(exchange: Exchange, connection: Connection) -> None:
    """Play the script until it ends or the client goes, whichever is first."""

    async def playing() -> None:
        try:
            await play(exchange, connection)
        except ConnectionError:
            exchange.over("client_gone")

    async def watching() -> None:
        await connection.client_gone()
        exchange.over("client_gone")

    tasks = [asyncio.create_task(playing()), asyncio.create_task(watching())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        exchange.over("provider_closed")
    for result in results:
        if isinstance(result, Exception):
            raise result
