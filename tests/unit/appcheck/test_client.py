"""How the client of a check leaves, as its server sees it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from litellm_cancel_otel._appcheck.client import Client
from litellm_cancel_otel._appcheck.request import Request

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


@asynccontextmanager
async def asking() -> AsyncIterator[tuple[Client, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Yield a client that has asked, and its server's side of the connection."""
    came: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Future()
    serving = await asyncio.start_server(lambda *both: came.set_result(both), "127.0.0.1", 0)
    async with serving, asyncio.timeout(10):
        with Client(serving.sockets[0].getsockname()) as client:
            await client.ask(Request("GET", "/"))
            reader, writer = await came
            await reader.readuntil(b"\r\n\r\n")
            yield client, reader, writer
            writer.close()


async def test_a_client_that_has_closed_its_sending_side_still_hears() -> None:
    async with asking() as (client, reader, writer):
        client.half_close()
        assert await reader.read() == b""
        writer.write(ANSWER)
        assert await client.body() == b"hello"


async def test_a_client_that_leaves_hears_nothing_more() -> None:
    async with asking() as (client, reader, _):
        client.leave()
        assert await reader.read() == b""
        with pytest.raises(OSError, match="Bad file descriptor"):
            await client.body()


async def test_a_client_that_resets_the_connection_is_an_error_to_its_server() -> None:
    async with asking() as (client, reader, _):
        client.reset()
        with pytest.raises(ConnectionResetError):
            await reader.read()
