"""A real uvicorn in the application's own loop, and a client on a socket of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import uvicorn

from .application import BACKSTOP, App


def guarded(app: App, starlette: Any) -> Any:
    """Do what the user of a Starlette or FastAPI application does: add the middleware."""
    if app.package:
        from litellm_cancel_otel import CancellationMiddleware

        starlette.add_middleware(CancellationMiddleware)
    return starlette


def wrapped(app: App, asgi: Any) -> Any:
    """Do what the user of any other ASGI application does: wrap it."""
    if app.package:
        from litellm_cancel_otel import CancellationMiddleware

        return CancellationMiddleware(asgi)
    return asgi


class Client:
    """A connection to the server, which sends one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def ask(self, path: str, *, body: bytes = b"", headers: str = "") -> None:
        """Send a request."""
        method = "POST" if body else "GET"
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: server\r\n{length}{headers}\r\n"
        self._writer.write(head.encode() + body)

    async def sees(self, text: bytes) -> bytes:
        """Read until this has come, and return what was read; less where the server ends first."""
        try:
            return await asyncio.wait_for(self._reader.readuntil(text), BACKSTOP)
        except asyncio.IncompleteReadError as short:
            return short.partial + b" (the server ended)"

    async def answer(self) -> str:
        """Return the status and the body of a whole answer, as it came over the wire."""
        head = (await self.sees(b"\r\n\r\n")).decode()
        status = head.split(" ", 2)[1] if " " in head else head
        body = b""
        if "transfer-encoding: chunked" in head.lower():
            while (size := int((await self.sees(b"\r\n")).split(b";")[0], 16)) > 0:
                body += (await self._reader.readexactly(size + 2))[:-2]
            await self.sees(b"\r\n")
        else:
            for line in head.lower().splitlines():
                if line.startswith("content-length:"):
                    body = await self._reader.readexactly(int(line.partition(":")[2]))
        return f"{status} {body.decode()}"

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)

    def leave(self) -> None:
        """Close the connection at once, as a browser's tab does."""
        self._writer.transport.abort()


class Site:
    """A running server."""

    def __init__(self, port: int, server: uvicorn.Server) -> None:
        self.port = port
        self.server = server
        self._clients: list[Client] = []

    async def client(self) -> Client:
        """Return a client that is connected."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(client)
        return client

    async def get(self, path: str, *, body: bytes = b"") -> str:
        """Return a whole answer to a client of its own."""
        client = await self.client()
        client.ask(path, body=body)
        answer = await client.answer()
        client.leave()
        return answer

    def stop(self) -> None:
        """Tell the server to stop, as SIGTERM does."""
        self.server.should_exit = True

    def leave(self) -> None:
        """Let every client go."""
        for client in self._clients:
            client.leave()


@asynccontextmanager
async def serving(
    asgi: Any, lifespan: Literal["on", "off"] = "off", patience: int = 2
) -> AsyncIterator[Site]:
    """Serve an ASGI application with uvicorn, in this loop, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(
            asgi, log_level="warning", lifespan=lifespan, timeout_graceful_shutdown=patience
        )
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        site = Site(listening.getsockname()[1], server)
        try:
            yield site
        finally:
            site.leave()
            site.stop()
            await running


def of_spec_2_4(asgi: Any) -> Any:
    """Do what a server of ASGI spec 2.4 does, on top of uvicorn: ``send`` raises OSError."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        cycle = send.__self__  # uvicorn's, whose bound method it is

        async def raising(message: Any) -> None:
            await send(message)
            if cycle.disconnected:
                raise OSError("the client has gone")

        await asgi({**scope, "asgi": {**scope["asgi"], "spec_version": "2.4"}}, receive, raising)

    return app
