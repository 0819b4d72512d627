"""Starts the servers, each as its own command line does, and stops them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx

from .cells import Server

ROOT = Path(__file__).parents[2]
SITE, SPEC_2_4 = "tests.disconnect.site:app", "tests.disconnect.spec_2_4:app"


def _uvicorn(app: str, port: int, *more: str) -> list[str]:
    return ["uvicorn", app, "--port", str(port), "--log-level", "error", *more]


def command(server: Server, port: int) -> list[str]:
    """Return how the server is started, after ``python -m``."""
    match server:
        case Server.UVICORN_HTTPTOOLS:
            return _uvicorn(SITE, port, "--http", "httptools", "--loop", "uvloop")
        case Server.UVICORN_H11:
            return _uvicorn(SITE, port, "--http", "h11", "--loop", "asyncio")
        case Server.SPEC_2_4:
            return _uvicorn(SPEC_2_4, port, "--http", "httptools", "--loop", "uvloop")
        case Server.HYPERCORN:
            return ["hypercorn", SITE, "--bind", f"127.0.0.1:{port}", "--log-level", "error"]
        case Server.GRANIAN:
            more = ["--interface", "asgi", "--loop", "asyncio", "--log-level", "error"]
            return ["granian", SITE, "--port", str(port), *more]
        case Server.DAPHNE:
            return ["daphne", SITE, "--port", str(port), "--verbosity", "0"]


def installed(server: Server) -> bool:
    """Return whether this interpreter has the server."""
    return find_spec(command(server, 0)[0]) is not None


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


class Running:
    """A server's process and where it listens."""

    def __init__(self, server: Server, port: int, process: subprocess.Popen[bytes]) -> None:
        self.server = server
        self.port = port
        self.process = process
        self._client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30)

    async def state(self) -> Any:
        """Return the site's state."""
        answer = await self._client.get("/state")
        return answer.json()

    async def aclose(self) -> None:
        """Stop the process."""
        await self._client.aclose()
        # The group: granian's workers are processes of their own. Nothing in them is to be kept.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@asynccontextmanager
async def serving(
    server: Server, python: str, environ: Mapping[str, str]
) -> AsyncIterator[Running]:
    """Run the site on a server of an interpreter's, until the block is left."""
    port = free_port()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [python, "-W", "ignore", "-m", *command(server, port)],
            cwd=ROOT,
            env={
                **os.environ,
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "src"))),
                **environ,
            },
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        running = Running(server, port, process)
        try:
            await _listening(process, port, output)
            yield running
        finally:
            await running.aclose()


async def _listening(process: subprocess.Popen[bytes], port: int, output: Any) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if process.poll() is not None:
                break
            await asyncio.sleep(0.05)
        else:
            return
    output.seek(0)
    raise RuntimeError(f"{process.args!r} does not listen: {output.read()[-3000:].decode()}")
