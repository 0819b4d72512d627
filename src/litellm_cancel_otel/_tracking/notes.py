"""What was dropped is noted by whoever runs then, and seen to by a thread of its own.

The garbage collector may drop a stream at any allocation, inside a lock of ours, of OpenTelemetry's
or of the application's. So a drop only leaves a note: one append to a deque, and one put to a queue
that the standard library made for this (``queue.SimpleQueue`` may be put to from a destructor).
"""

import threading
from collections import deque
from queue import SimpleQueue
from typing import Protocol

from .._contract.faults import Faults


class Note(Protocol):
    """What is left to be done."""

    def settle(self) -> None:
        """Do it."""


class Notes:
    """The notes of one telemetry, and the thread that settles them."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._left: deque[Note] = deque()
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._settling = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def start(self) -> None:
        """Have the thread; a note that is left before it is settled by whoever asks first."""
        if self._thread is not None or self._closed:
            return
        self._thread = threading.Thread(
            target=_live, args=(self, self._wake), name="litellm-cancel-otel-notes", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError as fault:  # no thread is to be had, or the process is about to end
            self._faults.note("notes", fault)

    def leave(self, note: Note) -> None:
        """Leave a note: nothing that locks, logs or records."""
        self._left.append(note)
        self._wake.put(True)

    def settle(self) -> None:
        """Settle what was noted so far; return once it is settled, whoever does it."""
        with self._settling:  # held until the note is settled: whoever waits here may rely on it
            while self._left:
                try:
                    self._left.popleft().settle()
                except Exception as fault:  # noqa: BLE001 - ours: the other notes are settled all the same
                    self._faults.note("notes", fault)

    def close(self) -> None:
        """Settle what there is and let the thread end."""
        self._closed = True
        self._wake.put(False)
        self.settle()


def _live(notes: Notes, wake: "SimpleQueue[bool]") -> None:
    while wake.get():
        notes.settle()
