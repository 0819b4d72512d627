"""Hears what nobody else would: warnings, unraisable exceptions, loggers; and what is left."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import sys
import threading
import time
import warnings
from typing import Any

import litellm

from litellm_cancel_otel._demo.fakes import FakeProvider

from .application import named
from .observation import without_chance

_SETTLING = 1.0
"""Seconds in which what is ending may end."""

_THEIRS = ("LoggingWorker._worker_loop", "_shutdown_watcher")
"""Tasks that LiteLLM and sse-starlette begin in a loop and do not end, or not at once."""

_CHANCE = re.compile(
    # LiteLLM makes some of its coroutines in a thread: a cancel meanwhile leaves them unused.
    r"RuntimeWarning: coroutine '\w+ChatCompletion\.\w+' was never awaited"
    # A library's generator that the collector finds while no loop runs is closed by the next run.
    r"|RuntimeWarning: coroutine method 'aclose' of '\w+\.\w+' was never awaited"
    # asyncio, from the fifth write on to a client that has gone: it says how late that was noticed.
    r"|asyncio WARNING: socket.send\(\) raised exception"
    # Pydantic says this of LiteLLM's types once, whenever it meets them first.
    r"|UserWarning: Items? '.+' on TypedDict class"
)
"""Complaints that come and go from run to run, with the package and without."""


class Witness(logging.Handler):
    """Notes every complaint of this process, from its creation on."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.complaints: list[str] = []
        root = logging.getLogger()
        root.handlers[:] = [self]
        warnings.simplefilter("always")
        warnings.showwarning = self._warned  # type: ignore[assignment]
        sys.unraisablehook = self._unraisable
        threading.excepthook = self._thread

    def emit(self, record: logging.LogRecord) -> None:
        """Note a logger's line."""
        said = record.getMessage().partition("\n")[0]
        if record.exc_info and record.exc_info[1] is not None:
            said += f": {named(record.exc_info[1])}"
        self._note(f"{record.name} {record.levelname}: {said}")

    def _warned(self, message: Any, category: type[Warning], *_: object, **__: object) -> None:
        self._note(f"{category.__name__}: {str(message).partition(chr(10))[0]}")

    def _unraisable(self, unraisable: Any) -> None:
        exc = unraisable.exc_value
        self._note(f"unraisable: {'' if exc is None else named(exc)} in {unraisable.object!r}")

    def _thread(self, args: Any) -> None:
        self._note(f"thread: {named(args.exc_value)}")

    def _note(self, line: str) -> None:
        line = without_chance(line)
        if line not in self.complaints and not _CHANCE.match(line):
            self.complaints.append(line)


async def left(provider: FakeProvider) -> tuple[list[str], int]:
    """Collect all garbage and let what is ending end; return which tasks are left, and how many
    requests the provider is still answering."""
    until = time.monotonic() + _SETTLING
    while True:
        gc.collect()
        await asyncio.sleep(0.002)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        names = sorted(name for task in tasks if (name := _name(task)) not in _THEIRS)
        if not (names or provider.open_exchanges) or time.monotonic() > until:
            return names, provider.open_exchanges


def _name(task: asyncio.Task[Any]) -> str:
    coro = task.get_coro()
    return getattr(coro, "__qualname__", type(coro).__name__)


def streams_left() -> int:
    """Collect all garbage and return how many of LiteLLM's streams live on."""
    until = time.monotonic() + _SETTLING
    while True:  # LiteLLM's logging, in threads of its own, holds a stream for a moment
        gc.collect()
        # By type: a weak proxy that is asked for its class may raise.
        found = [issubclass(type(one), litellm.CustomStreamWrapper) for one in gc.get_objects()]
        if not any(found) or time.monotonic() > until:
            return sum(found)
        time.sleep(0.01)
