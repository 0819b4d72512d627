"""A client on a bare socket, which goes away as it is told to."""

from __future__ import annotations

import asyncio
import socket
import struct
import time

from .cells import Close

_AT_ONCE = 1 << 18


class Client:
    """One request, whose answer is read as it comes, or not at all."""

    def __init__(self, port: int, *, reads: bool = True) -> None:
        self._port = port
        self._reads = reads
        self._socket = socket.socket()
        self._begin = b""
        self._has_piece = asyncio.Event()

    async def ask(self, target: str) -> None:
        """Send the request."""
        loop = asyncio.get_running_loop()
        if not self._reads:  # before connecting: it decides how much the server can send
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.setblocking(False)
        await loop.sock_connect(self._socket, ("127.0.0.1", self._port))
        request = f"GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n"
        await loop.sock_sendall(self._socket, request.encode())
        if self._reads:
            loop.add_reader(self._socket, self._read)

    async def piece(self) -> None:
        """Wait until the first piece has been read."""
        async with asyncio.timeout(30):
            await self._has_piece.wait()

    def leave(self, how: Close) -> float:
        """Close the connection; return when."""
        asyncio.get_running_loop().remove_reader(self._socket)
        if how is Close.RST:
            linger = struct.pack("ii", 1, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        elif self._reads:
            while self._read():  # a close with something unread would be a reset
                pass
        now = time.perf_counter()
        if how is Close.FIN and not self._reads:
            # Something is unread, so that Linux resets as it closes: this sends the FIN before.
            self._socket.shutdown(socket.SHUT_WR)
        self._socket.close()
        return now

    def _read(self) -> bool:
        try:
            data = self._socket.recv(_AT_ONCE)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._socket)
            return False
        if not self._has_piece.is_set():
            self._begin += data
            if b"piece" in self._begin:
                self._has_piece.set()
        return True
