"""Who holds a stream: known from how it was driven, so that no others need to be looked at."""

import asyncio
import sys
from collections.abc import Iterable
from weakref import ref

from .._asyncio.begun import Begun, begun_by, generators_that_run
from .._asyncio.generators import AsyncGenerator, consumers_of, generators_of, holders_of


class Holding:
    """What is kept of one stream's drivers, so that its consumers are found when they are done.

    Whoever asks for a chunk does so through the generators whose frames are on the stack, or
    through one that it begins later. Where a frame's generator is not known, for it began before
    any stream of its loop's, all of the loop's are looked at.
    """

    __slots__ = ("_driver", "_held", "_mark", "_since", "searched")

    def __init__(self) -> None:
        self._driver: ref[asyncio.Task[object]] | None = None
        self._mark = 0
        """How many generators the driver had begun when it took over."""
        self._since: tuple[Begun, int] | None = None
        """What the last driver, which is done, has begun, and from which number on."""
        self._held: tuple[ref[AsyncGenerator], ...] = ()
        """Those that the stream was driven through; few, and none is kept alive."""
        self.searched = False
        """It takes a search among all of the loop's generators."""

    def driven_by(self, task: "asyncio.Task[object]") -> None:
        """Take the running task as the one that drives the stream from now on."""
        if self._driver is None or self._driver() is not task:
            self._handed_to(task)
        known = [one for held in self._held if (one := held()) is not None]
        self._take(generators_that_run(sys._getframe(1), task, known))

    def _handed_to(self, task: "asyncio.Task[object]") -> None:
        self.driver_done()
        if self._since is not None:
            begun, mark = self._since
            self._take(begun.since(mark))
            self._since = None
        self._driver = ref(task)
        begun_before = begun_by(task)
        self._mark = 0 if begun_before is None else begun_before.count

    def _take(self, generators: Iterable[AsyncGenerator | None]) -> None:
        for generator in generators:
            if generator is None:
                self.searched = True
            elif (held := ref(generator)) not in self._held:
                self._held = (*(one for one in self._held if one() is not None), held)

    def driver_done(self) -> None:
        """Take what the driver has begun since it took over."""
        driver = None if self._driver is None else self._driver()
        begun = None if driver is None else begun_by(driver)
        if begun is not None and begun.count > self._mark:
            self._since = begun, self._mark
        self._driver = None

    def consumers(self, stream: object, loop: asyncio.AbstractEventLoop) -> list[AsyncGenerator]:
        """Return the generators that hold the stream, one in the other, outermost first."""
        return consumers_of(stream, holders_of(candidates([self], loop)))


def candidates(
    holdings: Iterable[Holding | None], loop: asyncio.AbstractEventLoop
) -> list[AsyncGenerator]:
    """Return the generators, each once, that may hold one of these streams. From any thread."""
    found: dict[int, AsyncGenerator] = {}
    marks: dict[Begun, int] = {}
    for holding in holdings:
        if holding is None or holding.searched:
            return _all_of(loop)
        found |= {id(one): one for held in holding._held if (one := held()) is not None}
        if holding._since is not None:
            begun, mark = holding._since
            marks[begun] = min(mark, marks.get(begun, mark))
    for begun, mark in marks.items():
        found |= {id(one): one for one in begun.since(mark)}
    return list(found.values())


def _all_of(loop: asyncio.AbstractEventLoop) -> list[AsyncGenerator]:
    while True:
        try:
            return generators_of(loop)
        except RuntimeError:  # the loop's own thread has begun one, or ended it, as it was copied
            continue
