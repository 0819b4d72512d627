"""Which async generators a task has begun: who holds its stream is found without a search."""

import asyncio
from inspect import CO_ASYNC_GENERATOR
from types import AsyncGeneratorType, FrameType
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

from .tasks import running_task

_FEW: Final = 8
"""Generators of one task that are kept before those that have gone are looked for."""

Generator = AsyncGeneratorType[Any, Any]


class Begun:
    """The generators that one task has begun, and that are still alive; none is kept alive here."""

    __slots__ = ("_most", "_refs")

    def __init__(self) -> None:
        self._refs: list[ref[Generator]] = []
        self._most = _FEW

    def add(self, generator: Generator) -> None:
        """Take one that begins."""
        if len(self._refs) >= self._most:  # a task may live for long
            self._refs = [one for one in self._refs if one() is not None]
            self._most = 2 * len(self._refs) + _FEW
        self._refs.append(ref(generator))

    def alive(self) -> list[Generator]:
        """Return those that are alive; it may be asked from any thread."""
        return [found for one in self._refs if (found := one()) is not None]


_of_tasks: "WeakKeyDictionary[asyncio.Task[object], Begun]" = WeakKeyDictionary()


def begins(generator: Generator) -> None:
    """Note that the running task begins a generator."""
    task = running_task()
    if task is not None:
        begun = _of_tasks.get(task)
        if begun is None:
            begun = _of_tasks[task] = Begun()
        begun.add(generator)


def begun_by(task: "asyncio.Task[object]") -> Begun | None:
    """Return what a task has begun and will begin; None where it has begun nothing yet."""
    return _of_tasks.get(task)


def is_driven_by_others(frame: FrameType | None, known: list[Generator]) -> bool:
    """Return whether a generator other than these runs the frame, or one that called it."""
    mine: list[FrameType | None] | None = None
    while frame is not None:
        if frame.f_code.co_flags & CO_ASYNC_GENERATOR:
            if mine is None:
                mine = [one.ag_frame for one in known]
            if frame not in mine:
                return True
        frame = frame.f_back
    return False
