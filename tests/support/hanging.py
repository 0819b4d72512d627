"""A provider that takes every request and answers none."""

import asyncio
from types import TracebackType
from typing import Self

from litellm_cancel_otel._demo.fakes.board import Board

PATIENCE = 10.0
"""Seconds until a test that waits here is given up."""


class HangingProvider:
    """Listens on loopback; ``targets`` are what was asked for, in order. Use ``async with``."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self._gone = 0
        self._board = Board()
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._server.close()
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await self._server.wait_closed()

    async def asked(self) -> str:
        """Return the path of the first request, once it has come."""
        await self._board.until(lambda: bool(self.targets), "a request", PATIENCE)
        return self.targets[0].partition("?")[0]

    async def left(self) -> None:
        """Wait until a client has closed its connection."""
        await self._board.until(lambda: self._gone > 0, "the client's close", PATIENCE)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            if line:
                self.targets.append(line.split()[1].decode())
                self._board.announce()
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass
        finally:
            writer.close()
        self._gone += 1
        self._board.announce()
