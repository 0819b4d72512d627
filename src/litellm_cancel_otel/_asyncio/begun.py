"""Which async generators a task has begun, and which one runs a frame."""

import asyncio
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import lru_cache
from inspect import CO_ASYNC_GENERATOR
from itertools import chain
from pathlib import PurePath
from types import AsyncGeneratorType, FrameType
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

from .tasks import running_task

_FEW: Final = 8
"""Generators of one task that are kept before those that have gone are looked for."""

_BELOW: Final = frozenset(
    (
        *("httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "openai", "anthropic"),
        "aiohttp_transport.py",
    )
)
"""Libraries, and a module of LiteLLM's, whose generators bring an answer in.

None of them holds a stream of LiteLLM's.
"""

Generator = AsyncGeneratorType[Any, Any]


class Begun:
    """The generators that one task has begun, numbered; none is kept alive here."""

    __slots__ = ("_kept", "_most", "count")

    def __init__(self) -> None:
        self._kept: tuple[array[int], list[ref[Generator]]] = array("q"), []
        """Their numbers, and they themselves."""
        self._most = _FEW
        self.count = 0
        """How many there have been."""

    def __len__(self) -> int:
        return len(self._kept[1])

    def add(self, generator: Generator) -> None:
        """Take one that begins."""
        if len(self) >= self._most:  # a task may live for long
            numbers, refs = array("q"), []
            for number, one in zip(*self._kept, strict=True):
                if one() is not None:
                    numbers.append(number)
                    refs.append(one)
            self._kept = numbers, refs
            self._most = 2 * len(refs) + _FEW
        numbers, refs = self._kept
        refs.append(ref(generator))  # first: another thread sees one too many, and none too few
        numbers.append(self.count)
        self.count += 1

    def newest_first(self) -> Iterator[Generator]:
        """Yield those that are alive."""
        return (found for one in reversed(self._kept[1]) if (found := one()) is not None)

    def since(self, number: int) -> list[Generator]:
        """Return those from a number on that are alive; it may be asked from any thread."""
        numbers, refs = self._kept
        later = refs[bisect_left(numbers, number) :]
        return [found for one in later if (found := one()) is not None]


_of_tasks: "WeakKeyDictionary[asyncio.Task[object], Begun]" = WeakKeyDictionary()


def begins(generator: Generator) -> None:
    """Note that the running task begins a generator."""
    if _is_below(generator.ag_code.co_filename):
        return
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


def generators_that_run(
    frame: FrameType | None, task: "asyncio.Task[object]", known: Iterable[Generator]
) -> Iterator[Generator | None]:
    """Yield the generators that run a frame and its callers; None for one that is not found.

    They are looked for among the known ones, and those that the task has begun.
    """
    while frame is not None:
        if frame.f_code.co_flags & CO_ASYNC_GENERATOR:
            begun = begun_by(task)
            of_task = () if begun is None else begun.newest_first()
            yield next((one for one in chain(known, of_task) if _runs(one, frame)), None)
        frame = frame.f_back


def _runs(generator: Generator, frame: FrameType) -> bool:
    # Asked last: a generator that is asked for its frame has one made, and keeps it.
    return (
        generator.ag_code is frame.f_code and generator.ag_running and generator.ag_frame is frame
    )
