"""What a request's task waits for, through tasks of its own too: read from asyncio, never changed.

Two questions are answered. Which tasks does the request wait for, or hold in a frame that is
suspended? Their calls are the request's, and no others: a worker that the request happened to start
works for everybody. And is the gone client, or a provider's stream, all that the request waits for?
Only then may it be stopped: whatever else it awaits is the application's own work.
"""

import asyncio
import gc
from collections.abc import Callable, Iterable, Iterator
from types import AsyncGeneratorType, CellType, CodeType, CoroutineType, GeneratorType
from typing import Any, Final

from .await_chain import awaited_by
from .tasks import cancelling

Task = asyncio.Task[Any]

_TASKS: Final = 64
"""Tasks of one request that are looked at, at the most."""

_HELD: Final = 32
"""Members of one collection that are looked at, at the most."""

Judge = Callable[[object], bool | None]
"""Says of one link of an await chain whether it is a stream that need not be waited for.

None: it is no stream at all.
"""

CLIENT: Final[set[CodeType]] = set()
"""The code of what waits for a request's client: the middleware's own ``send`` and ``receive``."""


def tasks_of(root: Task) -> set[Task]:
    """Return the tasks that a task waits for or holds, itself included."""
    found = {root}
    left = [root]
    while left and len(found) < _TASKS:
        for task in _tasks_below(left.pop()):
            if task not in found and not task.done():
                found.add(task)
                left.append(task)
    return found


def _tasks_below(root: Task) -> Iterator[Task]:
    for one in awaited_by(root):
        if isinstance(one, asyncio.Task):
            yield one
        elif isinstance(one, asyncio.Future):
            yield from _gathered(one)
        elif isinstance(one, CoroutineType | AsyncGeneratorType | GeneratorType):
            for value in _values(one):
                yield from _tasks_in(value)


def _values(suspended: object) -> Iterator[object]:
    """Yield the locals of a suspended frame.

    The collector knows them; ``f_locals`` would, before Python 3.13, keep a copy in the frame.
    """
    for value in gc.get_referents(suspended):
        if isinstance(value, CellType):
            try:
                yield value.cell_contents
            except ValueError:  # it is empty
                continue
        else:
            yield value


def _tasks_in(value: object) -> Iterable[Task]:
    if isinstance(value, asyncio.Task):
        return (value,)
    if isinstance(value, list | tuple | set | frozenset) and len(value) <= _HELD:
        return [one for one in list(value) if isinstance(one, asyncio.Task)]
    return _members(value) or ()


def _members(value: object) -> list[Task] | None:
    """Return the live tasks of a task group, None for anything else."""
    if type(value).__name__ != "TaskGroup":
        return None
    tasks = getattr(value, "_tasks", None)
    if tasks is None:  # anyio's group kept them in its scope once
        tasks = getattr(getattr(value, "cancel_scope", None), "_tasks", None)
    if not isinstance(tasks, set):
        return None
    return [task for task in list(tasks) if not task.done()]


def _gathered(future: "asyncio.Future[Any]") -> list[Task]:
    children = getattr(future, "_children", None)  # those that asyncio.gather waits for
    if not isinstance(children, list):
        return []
    return [child for child in children if isinstance(child, asyncio.Task) and not child.done()]


def waits_for_nothing_else(root: Task, baseline: int, judge: Judge) -> bool:
    """Return whether the client, or a provider's stream, is all that a task waits for.

    ``baseline`` is the count of cancels that the task had before the request: a task that was told
    to stop is unwinding already.
    """
    return cancelling(root) <= baseline and _Look(judge).at(root)


class _Look:
    """One look at a request's tasks."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._seen: set[Task] = set()

    def at(self, task: Task) -> bool:
        """Return whether a task waits for the client or a stream, and for nothing else."""
        if task in self._seen:
            return True
        self._seen.add(task)
        if len(self._seen) > _TASKS:
            return False
        chain: list[Any] = []
        for one in awaited_by(task):
            verdict = self._judge(one)
            if verdict is not None:
                return verdict
            if getattr(one, "cr_code", None) in CLIENT:
                return True
            if isinstance(one, asyncio.Task) and one is not task:
                return self._child(one)
            chain.append(one)
        return self._at_the_end_of(chain, task)

    def _at_the_end_of(self, chain: list[Any], task: Task) -> bool:
        if not chain or not isinstance(chain[-1], asyncio.Future | CoroutineType | GeneratorType):
            return False
        if isinstance(chain[-1], asyncio.Future) and (children := _gathered(chain[-1])):
            return all(map(self._child, children))
        suspended = [one for one in chain if isinstance(one, CoroutineType | AsyncGeneratorType)]
        if not suspended:
            return False
        if _is(suspended[-1], "asyncio.taskgroups", "TaskGroup.__aexit__") or any(
            _is(one, _ANYIO, "TaskGroup.__aexit__") for one in suspended[-3:]
        ):
            return self._group(suspended, task)
        return self._pipe(suspended, task)

    def _pipe(self, suspended: list[Any], task: Task) -> bool:
        """Judge who waits in the pipe by which Starlette's middleware passes a response on."""
        innermost = (one for one in reversed(suspended) if not _module(one).startswith(_EVENTS))
        pipe = next(innermost, None)
        if pipe is None or _module(pipe) != "anyio.streams.memory":
            return False
        if pipe.__qualname__.endswith("SendStream.send"):  # until the one outside takes a piece
            return any(_module(one) == _STARLETTE for one in suspended)
        receives = any(_is(one, _STARLETTE, "BaseHTTPMiddleware.__call__") for one in suspended)
        return receives and self._group(suspended, task)

    def _group(self, suspended: list[Any], task: Task) -> bool:
        """Judge the children of the innermost task group that the task is in."""
        for one in reversed(suspended):
            for value in _values(one):
                members = _members(value)
                if members is None:
                    continue
                if _is_aborting(value):
                    return False
                children = [member for member in members if member is not task]
                return bool(children) and all(map(self._child, children))
        return False

    def _child(self, task: Task) -> bool:
        return cancelling(task) == 0 and self.at(task)


_ANYIO: Final = "anyio._backends._asyncio"
_STARLETTE: Final = "starlette.middleware.base"
_EVENTS: Final = ("anyio._core", "anyio._backends", "asyncio.")
"""The modules of the events that a pipe waits for."""


def _is_aborting(group: Any) -> bool:
    scope = getattr(group, "cancel_scope", None)
    if scope is None:
        return bool(getattr(group, "_aborting", False))
    return bool(getattr(scope, "cancel_called", False))


def _is(suspended: Any, module: str, name: str) -> bool:
    return _module(suspended) == module and suspended.__qualname__ == name


def _module(suspended: Any) -> str:
    frame = getattr(suspended, "cr_frame", None) or getattr(suspended, "ag_frame", None)
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))
