"""Imports LiteLLM and forks a process for each job: ``python -m support.warm_process FD``.

It makes no call, no loop and no thread, so a fork of it is a process that has just imported. A fork
leaves by the interpreter's own exit, as a process does that was started in the usual way.
"""

from __future__ import annotations

import json
import os
import pkgutil
import socket
import sys
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import TypedDict

import litellm_cancel_otel
from litellm_cancel_otel._demo import quiet

quiet.before_litellm()

from differential import scout  # noqa: E402 - LiteLLM reads its environment as it is imported

LEFT_OUT = ("__main__", "pytest_plugin")


class Job(TypedDict):
    """What a process is to do."""

    code: str
    args: list[str]
    environ: dict[str, str]


def load() -> None:
    """Import what the jobs need."""
    package = litellm_cancel_otel
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name.rpartition(".")[2] not in LEFT_OUT:
            with suppress(ImportError):  # of an extra that is not installed
                import_module(module.name)
    scout.warm()
    scout.freeze()


def serve(asks: socket.socket) -> Job | None:
    """Return each job in a process of its own, and None in this one when nobody asks any more."""
    while True:
        word, fds, _, _ = socket.recv_fds(asks, 1, 5)
        if not word:
            return None
        if not os.fork():
            asks.close()
            return _begin(fds)
        for fd in fds:
            os.close(fd)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _begin(fds: list[int]) -> Job:
    """Return the job in the child; the parent tells how the child ends, and ends with it."""
    *standard, job, status = fds
    child = os.fork()
    if child:
        for fd in (*standard, job):
            os.close(fd)
        os.write(status, f"{child}\n".encode())
        _, ended = os.waitpid(child, 0)
        os.write(status, f"{os.waitstatus_to_exitcode(ended)}\n".encode())
        os._exit(0)
    os.close(status)
    os.setsid()
    for number, fd in enumerate(standard):
        os.dup2(fd, number)
        os.close(fd)
    with os.fdopen(job) as file:
        wanted: Job = json.load(file)
    return wanted


def do(job: Job) -> None:
    """Run a job's code as the main module."""
    os.environ.clear()
    os.environ.update(job["environ"])
    sys.argv[:] = ["-c", *job["args"]]
    main = sys.modules["__main__"] = ModuleType("__main__")
    exec(compile(job["code"], "<string>", "exec"), main.__dict__)


if __name__ == "__main__":
    asked = socket.socket(fileno=int(sys.argv[1]))
    load()
    if (mine := serve(asked)) is not None:
        do(mine)
