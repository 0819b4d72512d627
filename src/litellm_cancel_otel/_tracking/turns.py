"""What is to be done in a loop, a little in each of its turns, so that many hold nobody up."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from .._contract.faults import Faults

_A_TURN: Final = 5
"""What is done in one turn of the loop."""


class Turns:
    """The work of several loops, each in the order in which it came."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._to_do: dict[asyncio.AbstractEventLoop, deque[Callable[[], None]]] = {}

    def __bool__(self) -> bool:
        return bool(self._to_do)

    def soon(self, loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
        """Have something done in a loop; call it there."""
        to_do = self._to_do.setdefault(loop, deque())
        to_do.append(act)
        if len(to_do) == 1:
            loop.call_soon(self._take, loop)

    def _take(self, loop: asyncio.AbstractEventLoop) -> None:
        to_do = self._to_do[loop]
        for _ in range(min(len(to_do), _A_TURN)):
            try:
                to_do[0]()
            except Exception as fault:  # noqa: BLE001 - ours: the host's loop goes on
                self._faults.note("guard.act", fault)
            to_do.popleft()
        if to_do:
            loop.call_soon(self._take, loop)
        else:
            del self._to_do[loop]

    def forget_closed(self) -> None:
        """Let go of the loops that have closed."""
        for loop in [loop for loop in self._to_do if loop.is_closed()]:
            self._to_do.pop(loop, None)
