"""Which async generators a task has begun, and which one runs a frame: without a search."""

import asyncio
from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from inspect import CO_ASYNC_GENERATOR
from pathlib import PurePath
from types import AsyncGeneratorType, FrameType
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakValueDictionary, ref

from .tasks import running_task

_FEW: Final = 8
"""Generators of one task that are kept before those that have gone are looked for."""

_BELOW: Final = frozenset(
    ("httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "openai", "anthropic")
)
"""Libraries whose generators bring an answer in: none of them holds a stream of LiteLLM's."""

Generator = AsyncGeneratorType[Any, Any]


class Begun:
    """The generators that one task has begun, numbered; none is kept alive here."""

    __slots__ = ("_most", "_refs", "count")

    def __init__(self) -> None:
        self._refs: list[tuple[int, ref[Generator]]] = []
        self._most = _FEW
        self.count = 0
        """How many there have been."""

    def add(self, generator: Generator) -> None:
        """Take one that begins."""
        if len(self._refs) >= self._most:  # a task may live for long
            self._refs = [one for one in self._refs if one[1]() is not None]
            self._most = 2 * len(self._refs) + _FEW
        self._refs.append((self.count, ref(generator)))
        self.count += 1

    def since(self, number: int) -> list[Generator]:
        """Return those from a number on that are alive; it may be asked from any thread."""
        refs = self._refs
        later = refs[bisect_left(refs, number, key=lambda one: one[0]) :]
        return [found for _, one in later if (found := one()) is not None]


_of_tasks: "WeakKeyDictionary[asyncio.Task[object], Begun]" = WeakKeyDictionary()
_by_frame: "WeakValueDictionary[int, Generator]" = WeakValueDictionary()


def begins(generator: Generator) -> None:
    """Note that the running task begins a generator."""
    if _is_below(generator.ag_code.co_filename):
        return
    _by_frame[id(generator.ag_frame)] = generator
    task = running_task()
    if task is not None:
        begun = _of_tasks.get(task)
        if begun is None:
            begun = _of_tasks[task] = Begun()
        begun.add(generator)


@lru_cache(maxsize=1024)
def _is_below(filename: str) -> bool:
    return not _BELOW.isdisjoint(PurePath(filename).parts)


def begun_by(task: "asyncio.Task[object]") -> Begun | None:
    """Return what a task has begun and will begin; None where it has begun nothing yet."""
    return _of_tasks.get(task)


def generators_that_run(frame: FrameType | None) -> Iterator[Generator | None]:
    """Yield the generators that run a frame and its callers; None for one that was not noted."""
    while frame is not None:
        if frame.f_code.co_flags & CO_ASYNC_GENERATOR:
            found = _by_frame.get(id(frame))
            yield found if found is not None and found.ag_frame is frame else None
        frame = frame.f_back
