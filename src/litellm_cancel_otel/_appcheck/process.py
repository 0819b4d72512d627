"""The application in a process of its own, which ends with what it is for."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import IO, Final

from .environment import for_process
from .problem import Problem, one_line
from .told import Told

START_UP: Final = 90.0
"""Seconds in which an application has started, LiteLLM included, at most."""
SHUTDOWN: Final = 4.0
"""Seconds that an orderly end may take."""
SMALL: Final = 4096
"""Bytes that the system keeps for a client that does not read, about."""


class ProcessApplication:
    """An application that another process serves."""

    def __init__(self, address: tuple[str, int], control: asyncio.StreamWriter) -> None:
        self.address = address
        self.told = Told()
        self._control = control

    def ask_state(self) -> None:
        """Ask what is open."""
        self._control.write(b"?")

    async def listen(self, lines: asyncio.StreamReader) -> None:
        """Take what the process tells until it has ended."""
        while line := await lines.readline():
            self.told.take(json.loads(line))
        self.told.end()


def listen_at(port: int) -> socket.socket:
    """Return a socket of loopback; raise Problem where its port is in use."""
    try:
        listening = socket.create_server(("127.0.0.1", port))
    except OSError as exc:
        why = exc.strerror or exc
        advice = "leave --port out for a free one"
        raise Problem(f"port {port} cannot be used ({why}): {advice}") from None
    # What a connection sends is kept in little room: a client that stops reading is felt soon.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
    return listening


@asynccontextmanager
async def in_process(
    path: str, fake: str, port: int, *, package: bool
) -> AsyncIterator[ProcessApplication]:
    """Serve ``module:attribute`` before the fake provider at an address."""
    with (
        listen_at(port) as listening,
        tempfile.TemporaryFile() as output,
        ExitStack() as sockets,
    ):
        mine, other = map(sockets.enter_context, socket.socketpair())
        address = listening.getsockname()
        lines, control = await asyncio.open_unix_connection(sock=mine, limit=2**24)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"{__package__}.child"),
            *(str(listening.fileno()), str(other.fileno())),
            *(fake, path, "with" if package else "as-is"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=for_process(fake, os.environ),
            pass_fds=[listening.fileno(), other.fileno()],
            start_new_session=True,
        )
        listening.close()
        other.close()
        application = ProcessApplication(address, control)
        reading = asyncio.create_task(application.listen(lines))
        try:
            await _ready(application.told, path, output)
            yield application
        finally:
            control.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), SHUTDOWN)
            with suppress(ProcessLookupError, PermissionError):  # the latter: macOS, of zombies
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def _ready(told: Told, path: str, output: IO[bytes]) -> None:
    try:
        await told.until(lambda: told.layout or told.failure, "the start", START_UP)
    except TimeoutError:
        raise Problem(f"{path} has not started within {START_UP:g} s") from None
    except Problem:
        told.failure = f"{path} ended while it started: {_last_line(output)}"
    if told.failure:
        raise Problem(told.failure)


def _last_line(output: IO[bytes]) -> str:
    output.seek(0)
    lines = output.read()[-10_000:].decode(errors="replace").strip().splitlines()
    return one_line(lines[-1]) if lines else "it printed nothing"
