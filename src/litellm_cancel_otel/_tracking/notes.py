"""What the loops need not do themselves is noted, and seen to by a thread of its own.

A span and its measurements take four times as long as all the rest of a cancel, and a thousand
cancels come at once. And the garbage collector may drop a stream at any allocation, inside a lock
of ours, of OpenTelemetry's or of the application's. So a note is left: one append to a deque, and
one put to a queue that the standard library made for this (``queue.SimpleQueue`` may be put to from
a destructor).
"""

import threading
import time
from collections import deque
from queue import SimpleQueue
from typing import Final, Protocol

from .._contract.faults import Faults

_SLICE: Final = 0.001
"""Seconds for which the thread goes on before it lets the loops have the interpreter."""

_BREATH: Final = 0.001
"""Seconds for which it does."""

PATIENCE: Final = 2.0
"""Seconds to wait for whoever is settling notes: a processor of the application's may hang."""


class Note(Protocol):
    """What is left to be done."""

    def settle(self) -> None:
        """Do it."""


class Notes:
    """The notes of one telemetry, settled in the order in which they were left."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._left: deque[Note] = deque()
        """The first is there until it is settled."""
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._awake = False
        self._settling = threading.Lock()
        self._settler: int | None = None
        self._thread: threading.Thread | None = None
        self._at_once = False
        """There is no thread to rely on."""

    @property
    def pending(self) -> bool:
        """Whether there is a note that is not settled yet."""
        return bool(self._left)

    def start(self) -> None:
        """Have the thread; a note that is left before it is settled by whoever asks first."""
        if self._thread is not None or self._at_once:
            return
        self._thread = threading.Thread(
            target=_live, args=(self, self._wake), name="litellm-cancel-otel-notes", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError as fault:  # no thread is to be had, or the process is about to end
            self._faults.note("notes", fault)
            self._at_once = True

    def leave(self, note: Note) -> None:
        """Leave a note: nothing that locks, logs or records."""
        self._left.append(note)
        if not self._awake:
            self._awake = True
            self._wake.put(True)

    def put_off(self, note: Note) -> None:
        """Leave a note, and settle it here where nobody else would; not for a destructor."""
        if self._thread is None:
            self.start()
        self.leave(note)
        if self._at_once:
            self.settle()

    def settle(self) -> None:
        """Settle what was noted so far; return once it is settled, whoever does it."""
        self._settle(None)

    def settle_in_slices(self) -> None:
        """Settle everything, and let the loops have the interpreter before and in between."""
        self._awake = False  # what is left from here on wakes the thread again
        while self._left:
            time.sleep(_BREATH)
            self._settle(time.perf_counter() + _SLICE)

    def _settle(self, until: float | None) -> None:
        me = threading.get_ident()
        if self._settler == me:  # a note's own doing, such as an exporter that flushes
            return
        if not self._settling.acquire(timeout=PATIENCE):
            return
        self._settler = me
        try:
            while self._left:
                try:
                    self._left[0].settle()
                except Exception as fault:  # noqa: BLE001 - ours: the other notes are settled all the same
                    self._faults.note("notes", fault)
                finally:
                    self._left.popleft()
                if until is not None and time.perf_counter() > until:
                    return
        finally:
            self._settler = None
            self._settling.release()

    def at_once(self) -> None:
        """Settle what there is, and from here on every note as it is put off."""
        self._at_once = True
        self.settle()

    def close(self) -> None:
        """Settle what there is and let the thread end."""
        self.at_once()
        self._wake.put(False)


def _live(notes: Notes, wake: "SimpleQueue[bool]") -> None:
    while wake.get():
        notes.settle_in_slices()
