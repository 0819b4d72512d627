"""What a process removes as it ends, also where a thread is just making it."""

import atexit
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from .._contract.forks import follow_forks

_PATIENCE: Final = 1.0
"""Seconds for which the exit waits for what is being made: a file on a disk that hangs is left."""

_Removal = Callable[[], None]


class ProcessExit:
    """Runs removals at the process's exit, and says when it is too late to make anything."""

    def __init__(self) -> None:
        self._making = threading.Lock()
        self._removals: list[_Removal] = []
        self._begun = False

    @contextmanager
    def before(self, removal: _Removal) -> Iterator[bool]:
        """Make something within this block, unless it gives False: the process ends.

        The removal runs at the exit, which waits for the end of the block.
        """
        with self._making:
            if not self._begun:
                self._removals.append(removal)
            yield not self._begun

    def forget(self, removal: _Removal) -> None:
        """Run a removal no more: what it would remove is gone."""
        with suppress(ValueError):  # it is not there
            self._removals.remove(removal)

    def forked(self) -> None:
        """Begin anew in a forked child: a thread of its parent's may have been making something."""
        self._making = threading.Lock()

    def begin(self) -> None:
        """Remove everything."""
        self._begun = True
        made = self._making.acquire(timeout=_PATIENCE)
        try:
            for removal in list(self._removals):  # each may say that it is to be forgotten
                removal()
        finally:
            if made:
                self._making.release()


process_exit: Final = ProcessExit()
# Now and not with the first file: a thread that makes it as the process ends would come too late.
atexit.register(process_exit.begin)
follow_forks(process_exit)
