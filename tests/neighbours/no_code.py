"""An application without a line of telemetry: FastAPI and uvicorn before a fake provider.

``opentelemetry-instrument python -m neighbours.no_code`` asks it over sockets: for a whole answer,
for a stream, and for a stream whose client leaves.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import uvicorn

from litellm_cancel_otel._demo.fakes import (
    FakeProvider,
    Script,
    aclose_litellm_clients,
)
from support.children import take_default_signals

from .application import application

BACKSTOP = 60.0


async def main() -> None:
    """Serve three requests, and end."""
    async with FakeProvider() as provider:
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(application(provider), log_level="warning"))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        address = listening.getsockname()
        for path in ("/whole", "/streamed"):
            async with asyncio.timeout(BACKSTOP):
                reader, writer = await _ask(address, path)
                assert (await reader.read()).startswith(b"HTTP/1.1 200")
                writer.close()
                await writer.wait_closed()
            await provider.next_exchange(BACKSTOP)
        provider.script = Script(hang_at=2)
        async with asyncio.timeout(BACKSTOP):
            _, writer = await _ask(address, "/left")
            exchange = await provider.next_exchange(BACKSTOP)
            await exchange.wait_hanging()
            writer.close()
            await writer.wait_closed()
            await exchange.wait_closed()
        server.should_exit = True
        await serving
        await aclose_litellm_clients()


async def _ask(address: Any, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".encode())
    return reader, writer


if __name__ == "__main__":
    take_default_signals()
    asyncio.run(main())
