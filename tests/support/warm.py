"""Processes that have LiteLLM imported from their start: for tests of anything but the start.

To import LiteLLM takes four seconds of CPU. So one process does it once for each of pytest's, and
forks (``warm_process.py``). Each command has a test that starts it in the usual way besides.
"""

import atexit
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from select import select
from tempfile import TemporaryFile
from typing import IO

from support import children

TESTS = Path(__file__).parents[1]
COMMAND_LINE = "import sys; from litellm_cancel_otel._cli import main; sys.exit(main())"
"""The code of the command line; the arguments come besides."""


class Running:
    """A process that has begun."""

    def __init__(self, status: IO[str]) -> None:
        self._status = status
        self.pid = int(self._line(children.BACKSTOP))
        self.returncode: int | None = None

    def wait(self, timeout: float = children.BACKSTOP) -> int:
        """Return how the process ended, as soon as it has."""
        if self.returncode is None:
            self.returncode = int(self._line(timeout))
        return self.returncode

    def poll(self) -> int | None:
        """Return how the process ended; None as long as it has not."""
        with suppress(children.TimeoutExpired):
            return self.wait(0)
        return None

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def end(self) -> None:
        """End the process, and whatever it has started."""
        with suppress(ProcessLookupError, PermissionError):  # the latter: macOS, of zombies
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def _line(self, timeout: float) -> str:
        if not select([self._status], [], [], timeout)[0]:
            raise children.TimeoutExpired("a warm process", timeout)
        line = self._status.readline()
        assert line, "the process that forks has ended"
        return line


@contextmanager
def started(
    code: str,
    *args: str,
    env: Mapping[str, str] | None = None,
    stdout: int = children.DEVNULL,
    stderr: int = children.DEVNULL,
) -> Iterator[Running]:
    """Run code in a process of its own, as ``python -c`` would; it ends with the block.

    What it says goes to the descriptors that are given.
    """
    job = {"code": code, "args": args, "environ": dict(os.environ if env is None else env)}
    reading, writing = os.pipe()
    with os.fdopen(reading) as status:
        with (
            os.fdopen(writing, "w"),
            open(os.devnull, "r+") as nothing,
            TemporaryFile("w+") as file,
        ):
            json.dump(job, file)
            file.seek(0)
            standard = [nothing.fileno() if fd < 0 else fd for fd in (-1, stdout, stderr)]
            socket.send_fds(_asks(), [b"j"], [*standard, file.fileno(), writing])
        running = Running(status)
        try:
            yield running
        finally:
            running.end()


def run(
    code: str,
    *args: str,
    env: Mapping[str, str] | None = None,
    stdout: int | None = None,
    timeout: float = children.BACKSTOP,
) -> children.Ended[str]:
    """Run code in a process of its own to its end, and return what it said."""
    with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        shown = out.fileno() if stdout is None else stdout
        with started(code, *args, env=env, stdout=shown, stderr=err.fileno()) as running:
            ended = running.wait(timeout)
        for file in (out, err):
            file.seek(0)
        return children.Ended(["-c", code, *args], ended, out.read(), err.read())


@cache
def _asks() -> socket.socket:
    """Start the process that forks; it ends with whoever has this end of its socket."""
    mine, its = socket.socketpair()
    path = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    with its:
        process = children.start(
            [sys.executable, "-m", "support.warm_process", str(its.fileno())],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            stdin=children.DEVNULL,
            stdout=children.DEVNULL,
            pass_fds=[its.fileno()],
        )
    atexit.register(children.end, process)
    atexit.register(mine.close)
    return mine
