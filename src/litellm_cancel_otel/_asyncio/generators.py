"""Who holds a stream: the async generators, outermost first, that are suspended on it."""

import gc
import sys
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable, Iterator
from types import AsyncGeneratorType
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, ref

from .begun import begins

AsyncGenerator = AsyncGeneratorType[Any, Any]


Holders = dict[int, AsyncGenerator]
"""The generators by the ``id`` of what each of them holds."""


def holders_of(generators: Iterable[AsyncGenerator]) -> Holders:
    """Return what these generators hold, where they are suspended."""
    holders: Holders = {}
    for generator in generators:
        if is_suspended(generator):
            holders |= held_by(generator)
    return holders


def held_by(generator: AsyncGenerator) -> Holders:
    """Return what a suspended generator holds."""
    return {id(held): generator for held in _held(generator)}


def is_suspended(generator: AsyncGenerator) -> bool:
    """Return whether the generator is at a ``yield``, or has not begun, and has not ended.

    One that runs, or awaits, has a task that will resume it.
    """
    return (
        generator.ag_frame is not None and not generator.ag_running and generator.ag_await is None
    )


def consumers_of(stream: object, holders: Holders) -> list[AsyncGenerator]:
    """Return the generators that hold a stream, one in the other, outermost first."""
    return list(_chain(stream, holders))[::-1]


def _held(generator: AsyncGenerator) -> Iterator[object]:
    """Yield the streams and generators that a generator's frame refers to.

    The garbage collector knows its locals and, unlike ``f_locals``, what an ``async for`` has on
    the frame's stack; an iterator object in between, such as LiteLLM's Router returns, is looked
    through.
    """
    for value in gc.get_referents(generator):
        if isinstance(value, AsyncGeneratorType):
            yield value
        elif hasattr(type(value), "__anext__"):
            yield value
            inner = getattr(value, "__dict__", {}).values()
            yield from (one for one in inner if hasattr(type(one), "__anext__"))


def _chain(stream: object, holders: Holders) -> Iterator[AsyncGenerator]:
    seen: set[int] = set()
    holder = holders.get(id(stream))
    while holder is not None and id(holder) not in seen:
        seen.add(id(holder))
        yield holder
        holder = holders.get(id(holder))


_followed: "WeakKeyDictionary[AbstractEventLoop, WeakSet[AsyncGenerator]]" = WeakKeyDictionary()


def follow_generators(loop: AbstractEventLoop) -> None:
    """See to it that the running loop's generators are known; call it in that loop's thread.

    From here on each is noted at its first step, as the loop itself does: by the task that takes
    the step and, where the loop keeps its own set to itself, as uvloop does, in one of ours.
    """
    first = sys.get_asyncgen_hooks().firstiter
    # Looked at each time: a loop that is run anew has put its own hook back.
    if not isinstance(first, _Noting) or first.loop() is not loop:
        known = None if hasattr(loop, "_asyncgens") else _followed.setdefault(loop, WeakSet())
        sys.set_asyncgen_hooks(firstiter=_Noting(loop, known, first))


def unfollow_generators() -> None:
    """Let the loop that runs in this thread, if there is one, note its generators by itself."""
    first = sys.get_asyncgen_hooks().firstiter
    if isinstance(first, _Noting):
        sys.set_asyncgen_hooks(firstiter=first.before)


class _Noting:
    """Notes a generator at its first step, before the loop does."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        known: "WeakSet[AsyncGenerator] | None",
        before: Callable[[Any], Any] | None,
    ) -> None:
        self.loop = ref(loop)
        self._known = known
        self.before = before

    def __call__(self, generator: Any) -> None:
        try:
            if self._known is not None:
                self._known.add(generator)
            begins(generator)
        except Exception:  # noqa: BLE001 - ours: the host's generator begins all the same
            pass
        if self.before is not None:
            self.before(generator)


def generators_of(loop: AbstractEventLoop) -> list[AsyncGenerator]:
    """Return the loop's async generators that have begun and are still alive."""
    known: Any = getattr(loop, "_asyncgens", None)
    return list(_followed.get(loop, ()) if known is None else known)
