"""What a task waits for: file, line and function of each frame it is suspended in, and no values.

It may be asked from any thread: a suspended task stays where it is for as long as a look at one of
its frames takes, and one that moves on in between gives a chain that ends early.
"""

import asyncio
import gc
import os
import sys
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from pathlib import PurePath
from sysconfig import get_path
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any, Final

from .._contract.records import Place

DEPTH: Final = 64
"""Frames that are told, the innermost ones."""

_STEPS: Final = 1_000
"""Objects that are looked at, for a chain that is a circle."""

_PACKAGE: Final = __name__.partition(".")[0]

_OPAQUE: Final = frozenset(
    {
        "async_generator_asend",
        "async_generator_athrow",
        "anext_awaitable",
        "coroutine_wrapper",
        "FutureIter",
    }
)
"""Awaitables of Python's own that have no attribute for what they await; the collector knows."""

_APPLICATIONS: Final = ("litellm.proxy.", f"{_PACKAGE}._demo.")
"""What is installed as a library is, and is an application."""

_INSTALLED: Final = ("/site-packages/", "/dist-packages/")

_PYTHONS_OWN: Final = (
    "<frozen ",
    *(
        f"{PurePath(one).as_posix()}/"
        for one in {get_path("stdlib"), str(PurePath(os.__file__).parent)}
    ),
)

_AWAITED: Final = (CoroutineType, GeneratorType, AsyncGeneratorType, asyncio.Future)


def await_chain(awaited: object) -> tuple[Place, ...]:
    """Return where a task, coroutine or async generator is suspended, outermost first.

    What only passes through, this package's own frames, is left out. Where libraries are deeper
    than is told, the application's innermost frame is told all the same.
    """
    places: deque[Place] = deque(maxlen=DEPTH)
    own: Place | None = None
    for frame in _frames(awaited):
        if not _ours(frame):
            places.append(place := place_of(frame))
            own = own if place.library else place
    if own is not None and all(place.library for place in places):
        places[0] = own
    return tuple(places)


def place_of(frame: FrameType) -> Place:
    """Return where a frame is."""
    code = frame.f_code
    # A frame that is just being created has no line yet.
    line = frame.f_lineno or code.co_firstlineno
    file, module = code.co_filename, _module(frame)
    return Place(_file(file, module), line, code.co_qualname, _of_library(file, module))


def _frames(awaited: object) -> Iterator[FrameType]:
    for one in awaited_by(awaited):
        frame = _own_frame(one)
        if frame is not None:
            yield frame
        if getattr(one, "cr_running", False) is True:
            yield from _running_in(frame)


def awaited_by(awaited: object) -> Iterator[object]:
    """Yield what a task, coroutine or async generator awaits, outermost first, itself included.

    A task that is awaited is followed into its coroutine. A coroutine that runs is the last.
    """
    following: object | None = awaited
    for _ in range(_STEPS):
        if isinstance(following, asyncio.Task):
            yield following
            following = following.get_coro()
        if following is None:
            return
        yield following
        if getattr(following, "cr_running", False) is True:
            return
        following = _next(following)


def _own_frame(awaited: object) -> FrameType | None:
    for name in ("cr_frame", "ag_frame", "gi_frame"):
        frame = getattr(awaited, name, None)
        if isinstance(frame, FrameType):
            return frame
    return None


def _next(awaited: object) -> object | None:
    for name in ("cr_await", "ag_await", "gi_yieldfrom"):
        if hasattr(awaited, name):
            found: object = getattr(awaited, name)
            return found
    if type(awaited).__name__ in _OPAQUE:
        inner = gc.get_referents(awaited)
        return next((one for one in inner if _is_awaited(one)), None)
    children = getattr(awaited, "_children", None)  # those that asyncio.gather waits for
    if isinstance(awaited, asyncio.Future) and isinstance(children, list):
        return next((child for child in children if not child.done()), None)
    return None


def _is_awaited(one: object) -> bool:
    return isinstance(one, _AWAITED) or type(one).__name__ in _OPAQUE or hasattr(one, "cr_await")


def _running_in(outermost: FrameType | None) -> Iterator[FrameType]:
    """Yield the frames that a running coroutine's frame has called, outermost first."""
    if outermost is None:
        return
    for innermost in sys._current_frames().values():
        frames: list[FrameType] = []
        frame: FrameType | None = innermost
        while frame is not None and frame is not outermost:
            frames.append(frame)
            frame = frame.f_back
        if frame is outermost:
            yield from reversed(frames)
            return


def _ours(frame: FrameType) -> bool:
    name = _module(frame)
    if name.startswith(f"{_PACKAGE}._demo"):
        return False
    return name.partition(".")[0] == _PACKAGE or frame.f_code.co_filename == _TRAMPOLINE


_TRAMPOLINE: Final = "<litellm-cancel-otel>"


def _module(frame: FrameType) -> str:
    known: Any = frame.f_globals
    spec = known.get("__spec__")  # python -m: the name is __main__, the module's own is here
    name = getattr(spec, "name", None) or known.get("__name__")
    return name if isinstance(name, str) else ""


@lru_cache(maxsize=1024)
def _of_library(filename: str, module: str) -> bool:
    if module.startswith(_APPLICATIONS):
        return False
    path = filename.replace(os.sep, "/")
    return path.startswith(_PYTHONS_OWN) or any(part in path for part in _INSTALLED)


def _file(filename: str, module: str) -> str:
    """Return a file's path from its top package on: no home, no virtual environment."""
    *folders, last = PurePath(filename).parts or (filename,)
    names = module.split(".")
    if last.partition(".")[0] == names[-1]:
        names.pop()
    kept = [last]
    while names and folders and names[-1] == folders[-1]:
        names.pop()
        kept.insert(0, folders.pop())
    return "/".join(kept)
