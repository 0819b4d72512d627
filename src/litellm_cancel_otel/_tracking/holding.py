"""Who holds a stream: looked for among the generators that its drivers have begun."""

import asyncio
import sys
from weakref import ref

from .._asyncio.begun import Begun, begun_by, is_driven_by_others
from .._asyncio.generators import AsyncGenerator, consumers_of, generators_of, holders_of


class Holding:
    """What is kept of one stream's drivers, so that its consumers are found when they are done.

    A generator that a stream is pulled through was begun by a task that drove the stream. Where the
    frames say that it was not, as with one that another task had begun, all of the loop's are
    looked at.
    """

    __slots__ = ("_begun", "_driver", "searched")

    def __init__(self) -> None:
        self._begun: tuple[Begun, ...] = ()
        self._driver: ref[asyncio.Task[object]] | None = None
        self.searched = False
        """It takes a search among all of the loop's generators."""

    def driven_by(self, task: "asyncio.Task[object]") -> None:
        """Take the running task as the one that drives the stream from now on."""
        self.driver_done()
        self._driver = ref(task)
        self._take(begun_by(task))
        if not self.searched:
            self.searched = is_driven_by_others(sys._getframe(1), self._generators())

    def driver_done(self) -> None:
        """Take what the driver has begun since it took over."""
        driver = None if self._driver is None else self._driver()
        if driver is not None:
            self._take(begun_by(driver))

    def _take(self, begun: Begun | None) -> None:
        if begun is not None and begun not in self._begun:
            self._begun = (*(one for one in self._begun if one.alive()), begun)

    def _generators(self) -> list[AsyncGenerator]:
        return [generator for begun in self._begun for generator in begun.alive()]

    def consumers(self, stream: object) -> list[AsyncGenerator]:
        """Return the generators that hold the stream, one in the other, outermost first."""
        return consumers_of(stream, holders_of(self._generators()))

    def search(self, stream: object, loop: asyncio.AbstractEventLoop) -> list[AsyncGenerator]:
        """Return the same, from all of a loop's generators where it takes that."""
        if not self.searched:
            return self.consumers(stream)
        return consumers_of(stream, holders_of(_unchanging(loop)))


def _unchanging(loop: asyncio.AbstractEventLoop) -> list[AsyncGenerator]:
    while True:
        try:
            return generators_of(loop)
        except RuntimeError:  # the loop's own thread has begun one, or ended it, as it was copied
            continue
