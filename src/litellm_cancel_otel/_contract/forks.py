"""What begins anew in a forked child: one hook for the process, however much there is of it."""

import os
from itertools import count
from typing import Final, Protocol
from weakref import WeakValueDictionary

from .faults import Faults


class Forked(Protocol):
    """What a forked child cannot use as its parent left it."""

    def forked(self) -> None:
        """Begin anew, in the child."""


_numbers: Final = count()
_alive: Final[WeakValueDictionary[int, Forked]] = WeakValueDictionary()
"""In the order in which they came: a later one may use an earlier one. A set has no order."""

_faults: Final = Faults()
_hooked = False


def follow_forks(one: Forked) -> None:
    """Have an object begin anew in each forked child, for as long as it lives.

    Python never lets go of a hook, so there is one, and none before the first object.
    """
    global _hooked
    _alive[next(_numbers)] = one
    if not _hooked and hasattr(os, "register_at_fork"):
        _hooked = True
        os.register_at_fork(after_in_child=_forked)


def _forked() -> None:
    for one in list(_alive.values()):
        with _faults.contained("fork"):  # the others begin anew all the same
            one.forked()
