"""The server's side of one HTTP/1.1 connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import h11

_READ = 65536
_LINGER_ZERO = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Request:
    """One request, wholly read; header names are in lower case."""

    target: str
    headers: dict[str, str]
    body: bytes


class Connection:
    """Reads requests and writes answers bit by bit; ConnectionError where the client has gone.

    A write returns when the operating system has taken the bytes.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)
        writer.transport.set_write_buffer_limits(high=0)

    async def read_request(self) -> Request | None:
        """The next request; None when the client has closed, or speaks no HTTP."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        elif self._http.our_state is not h11.IDLE:
            return None
        try:
            return await self._read_events()
        except (h11.RemoteProtocolError, ConnectionError):
            return None

    async def _read_events(self) -> Request | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                self._http.receive_data(await self._reader.read(_READ))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
                return Request(head.target.decode("ascii"), headers, bytes(body))
            else:
                return None

    async def client_gone(self) -> None:
        """Return as soon as the client has closed or reset the connection."""
        with suppress(ConnectionError):
            while data := await self._reader.read(_READ):
                self._http.receive_data(data)

    async def start(
        self, status: int, headers: Sequence[tuple[str, str]], length: int | None = None
    ) -> None:
        """Send the head of the answer; without a length the body is sent in HTTP chunks."""
        framing = (
            ("transfer-encoding", "chunked") if length is None else ("content-length", str(length))
        )
        await self._send(h11.Response(status_code=status, headers=[*headers, framing]))

    async def send(self, data: bytes) -> None:
        """Send some of the body."""
        await self._send(h11.Data(data=data))

    async def finish(self) -> None:
        """Send what ends the body; the connection can take the next request."""
        await self._send(h11.EndOfMessage())

    def reset(self) -> None:
        """Close with a TCP reset."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close, if it is still open, with an ordinary FIN, and wait until it is closed."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    def abort(self) -> None:
        """Close at once, and drop what was not sent."""
        self._writer.transport.abort()

    async def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self._writer.write(data)
            await self._writer.drain()
