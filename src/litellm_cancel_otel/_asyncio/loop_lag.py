"""How late an event loop runs what is due, asked from a thread: a blocked loop does not stop it."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

BLOCKED: Final = 0.05
"""The lag, in seconds, from which an event loop counts as blocked."""


class LoopLag:
    """Pings one event loop; nothing runs in the loop but for one short callback a ping."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._clock = clock
        self._sent: float | None = None
        self._new: deque[float] = deque()
        self._late: deque[tuple[float, float]] = deque(maxlen=64)
        """The lags from ``BLOCKED`` on, each with the moment at which it was over."""
        self.streams = 0
        """The open streams for whose sake the loop is pinged."""

    def ping(self) -> None:
        """Ask the loop to answer, unless it still owes the last answer."""
        if self._sent is not None:
            return
        self._sent = self._clock()
        try:
            self._loop.call_soon_threadsafe(self._pong)
        except RuntimeError:  # closed: it owes nothing any more
            self._sent = None
        except Exception:
            self._sent = None
            raise

    def measured(self) -> list[float]:
        """Return the lags measured since this was last asked."""
        return [self._new.popleft() for _ in range(len(self._new))]

    def worst(self, since: float, now: float) -> float:
        """Return the longest lag from a moment until now; one that has not ended counts too."""
        sent = self._sent
        owed = 0.0 if sent is None else now - sent
        return max([owed, *(lag for over, lag in tuple(self._late) if over >= since)])

    def _pong(self) -> None:
        now, sent = self._clock(), self._sent
        self._sent = None
        if sent is None:
            return
        self._new.append(now - sent)
        if now - sent >= BLOCKED:
            self._late.append((now, now - sent))
