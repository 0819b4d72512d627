"""What is done before a process ends, ahead of every provider's own last export.

``atexit`` runs the newest first, so that a provider which the application sets after us would be
stopped before we have handed it our last. What waits for threads to end comes before all of that.
"""

import atexit
import signal
import threading
from typing import Final, Protocol
from weakref import WeakSet

from .faults import Faults


class Ending(Protocol):
    """What has something left to do when the process ends."""

    def process_ends(self) -> None:
        """Do it."""


def told_to_end() -> bool:
    """Return whether a server was told by a signal to stop, as uvicorn's handler notes.

    It ends the process by the same signal then, which runs no exit handler.
    """
    handler = _getsignal(signal.SIGTERM)
    return getattr(getattr(handler, "__self__", None), "should_exit", False) is True


_getsignal: Final = getattr(getattr(signal, "_signal", signal), "getsignal", signal.getsignal)
"""Without the look-up of a name for the handler, which takes 20 times as long."""

_alive: Final[WeakSet[Ending]] = WeakSet()
_faults: Final = Faults()
_hooked = False


def follow_exit(one: Ending) -> None:
    """Have an object do what is left when the process ends, if it is still there then."""
    global _hooked
    _alive.add(one)
    if _hooked:
        return
    _hooked = True
    # Again at the usual time, for the threads that the process waits for may have gone on.
    atexit.register(_process_ends)
    early = getattr(threading, "_register_atexit", None)  # what concurrent.futures does it by
    if early is not None:
        with _faults.contained("exit"):  # the process is about to end already
            early(_process_ends)


def _process_ends() -> None:
    for one in list(_alive):
        with _faults.contained("exit"):  # the others come all the same
            one.process_ends()
