"""A client on a bare socket, which goes away as it is told to."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final

import h11

from .request import Request
from .told import both_clocks

_READ: Final = 65_536
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)
_SMALL: Final = 4096
"""Bytes that the system keeps for a client that does not read, about."""

Moment = tuple[float, int]
"""When a client left, on both clocks."""


class Client:
    """One request to an address; use it with ``with``, and read the answer bit by bit."""

    def __init__(self, address: tuple[str, int], *, reads: bool = True) -> None:
        self._address = address
        self._http = h11.Connection(h11.CLIENT)
        self._socket = socket.socket()
        self._socket.setblocking(False)
        if not reads:  # before connecting: it decides how much the server can send
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    async def ask(self, request: Request) -> None:
        """Send the request."""
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, self._address)
        body = (request.body or "").encode()
        headers = [("host", "127.0.0.1"), ("accept", "*/*"), *request.headers]
        if request.body is not None:
            headers += [("content-type", "application/json"), ("content-length", str(len(body)))]
        head = h11.Request(method=request.method, target=request.target, headers=headers)
        data = self._http.send(head) or b""
        if body:
            data += self._http.send(h11.Data(data=body)) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        await loop.sock_sendall(self._socket, data)

    async def head(self) -> h11.Response:
        """Return the answer's head; ConnectionError where there is none."""
        while True:
            event = await self._event()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise ConnectionError("no answer")

    async def piece(self) -> bytes | None:
        """Return some of the body, None at its end; ConnectionError where it is broken off."""
        while True:
            event = await self._event()
            if isinstance(event, h11.Data):
                if event.data:
                    return bytes(event.data)
            elif isinstance(event, h11.Response | h11.InformationalResponse):
                continue
            elif isinstance(event, h11.EndOfMessage):
                return None
            else:
                raise ConnectionError("the answer is broken off")

    async def body(self) -> bytes:
        """Return the whole body."""
        whole = bytearray()
        while (data := await self.piece()) is not None:
            whole += data
        return bytes(whole)

    def leave(self) -> Moment:
        """Close the connection, with a FIN; return when."""
        self._read_what_is_there()
        left = both_clocks()
        self._socket.close()
        return left

    def reset(self) -> Moment:
        """Reset the connection; return when."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        left = both_clocks()
        self._socket.close()
        return left

    def half_close(self) -> Moment:
        """Close the sending side, and keep the other until the block is left; return when."""
        left = both_clocks()
        self._socket.shutdown(socket.SHUT_WR)
        return left

    def _read_what_is_there(self) -> None:
        """Leave nothing unread: a close with something unread would be a reset."""
        try:
            while self._socket.recv(_READ):
                pass
        except OSError:
            pass

    async def _event(self) -> object:
        while True:
            try:
                event = self._http.next_event()
                if event is not h11.NEED_DATA:
                    return event
                data = await asyncio.get_running_loop().sock_recv(self._socket, _READ)
                self._http.receive_data(data)
            except h11.RemoteProtocolError as exc:
                raise ConnectionError(str(exc)) from None
