"""The processes that tests start: with default signals, and ended with what they are for."""

import os
import signal
import subprocess
from asyncio import create_subprocess_exec
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Protocol

DEVNULL, PIPE, STDOUT = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT
TimeoutExpired = subprocess.TimeoutExpired
Ended = subprocess.CompletedProcess
Running = subprocess.Popen

BACKSTOP = 120.0
"""Seconds after which a process is ended that should have ended by itself."""

Command = Sequence[str | os.PathLike[str]]


class HasPid(Protocol):
    """What both subprocess and asyncio call a process."""

    @property
    def pid(self) -> int: ...


def take_default_signals() -> None:
    """Have children begin with default signals, whatever the shell told this process to ignore.

    A shell tells what it starts in the background to ignore these two. That outlives an exec, while
    a handler does not: so this process goes on ignoring them, by a handler that does nothing.
    """
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def run(command: Command, **options: Any) -> Ended[str]:
    """Run a command to its end, as ``subprocess.run``; by default its text is captured."""
    timeout = options.pop("timeout", BACKSTOP)
    options = {"stdout": PIPE, "stderr": PIPE, "text": True} | options
    with started(command, **options) as running:
        stdout, stderr = running.communicate(timeout=timeout)
    return Ended(running.args, running.returncode, stdout, stderr)


def start(command: Command, **options: Any) -> Running[Any]:
    """Start a command in a group of its own; ``end`` is for its caller to call."""
    return subprocess.Popen(command, start_new_session=True, **options)


def end(process: Running[Any]) -> None:
    """End a process, and whatever it has started."""
    _kill_group(process)
    process.wait()


@contextmanager
def started(command: Command, **options: Any) -> Iterator[Running[Any]]:
    """Start a command; it ends with the block, also where an assertion fails in there."""
    process = start(command, **options)
    try:
        yield process
    finally:
        _kill_group(process)
        with process:  # waits for it, and closes its pipes
            pass


@asynccontextmanager
async def astarted(command: Command, **options: Any) -> AsyncIterator[Process]:
    """Start a command as asyncio does; it ends with the block."""
    process = await create_subprocess_exec(*command, start_new_session=True, **options)
    try:
        yield process
    finally:
        _kill_group(process)
        await process.wait()


def _kill_group(process: HasPid) -> None:
    # The number is no other group's: nobody can be given it while a process of the group lives.
    with suppress(ProcessLookupError, PermissionError):  # the latter: macOS, of a group of zombies
        os.killpg(process.pid, signal.SIGKILL)
