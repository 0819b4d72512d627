"""What the watchdog's thread sleeps on: it is rung, its time is up, or somebody is at the door.

So the one thread that there is anyway waits at the socket of ``top`` too, and none is added.
"""

import selectors
import socket
import threading
import time
from contextlib import suppress
from typing import Final, Protocol

from .._contract.faults import Faults

_BREATH: Final = 0.1
"""Seconds to wait where a visitor cannot be let in: descriptors have run out, for one."""


class Door(Protocol):
    """Where somebody may ask what is open."""

    def open(self) -> socket.socket | None:
        """Return a socket that is readable when somebody asks; None where there can be none."""

    def answer(self) -> None:
        """Let in who asks; it waits for nobody."""

    def shut(self) -> None:
        """Close it, and remove it where this process has made it."""

    def lost(self) -> None:
        """Close nothing: its descriptor's number may be another's by now."""


class Bell:
    """Rung from any thread; ``open``, ``wait`` and ``shut`` are for the thread that sleeps."""

    def __init__(self, door: Door | None, faults: Faults) -> None:
        self._door = door
        self._faults = faults
        self._rung = threading.Event()
        self._ends: tuple[socket.socket, ...] = ()
        self._selector: selectors.BaseSelector | None = None

    def open(self) -> None:
        """Open the door, where there is one; without it a bell is a bell all the same."""
        if self._door is None or self._selector is not None:
            return
        try:
            self._open(self._door)
        except Exception as fault:  # noqa: BLE001 - ours: nobody comes in, and the thread goes on
            self._faults.note("bell", fault)
            self.shut()

    def _open(self, door: Door) -> None:
        self._ends = here, there = socket.socketpair()
        for end in (here, there):
            end.setblocking(False)
        # Not select(): a proxy may well have more than its 1,024 descriptors open.
        self._selector = selectors.DefaultSelector()
        self._selector.register(here, selectors.EVENT_READ)
        if (visitors := door.open()) is None:
            self.shut()
            return
        self._selector.register(visitors, selectors.EVENT_READ, door)

    def ring(self) -> None:
        """Wake who sleeps, or have its next sleep end at once."""
        self._rung.set()
        for end in self._ends[1:]:
            with suppress(OSError):  # it is full, or has been closed: nobody sleeps on it
                end.send(b"!")

    def wait(self, seconds: float | None) -> None:
        """Sleep until it is rung or the time is up; who comes to the door meanwhile is let in."""
        until = None if seconds is None else time.monotonic() + seconds
        while not self._rung.is_set():
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                break
            self._sleep(left)
        self._rung.clear()

    def _sleep(self, seconds: float | None) -> None:
        if self._selector is None:
            self._rung.wait(seconds)
            return
        try:
            ready = [key.data for key, _ in self._selector.select(seconds)]
        except (OSError, ValueError) as fault:
            # The host has closed every descriptor there was; the numbers may be its files' by now.
            self._faults.note("bell", fault)
            self._forget()
            return
        for door in ready:
            if door is None:
                self._drain()
            else:
                self._let_in(door)

    def _drain(self) -> None:
        with suppress(OSError):
            self._ends[0].recv(64)

    def _let_in(self, door: Door) -> None:
        try:
            door.answer()
        except OSError:
            time.sleep(_BREATH)  # the visitor has gone, or nothing can be opened: no spinning
        except Exception as fault:  # noqa: BLE001 - ours: the next visitor may fare better
            self._faults.note("feed", fault)
            time.sleep(_BREATH)

    def shut(self) -> None:
        """Close what is open; a forked child closes what it has inherited."""
        selector, self._selector = self._selector, None
        ends, self._ends = self._ends, ()
        if selector is not None:
            selector.close()
        for end in ends:
            end.close()
        if self._door is not None:
            self._door.shut()

    def _forget(self) -> None:
        self._selector = None
        for end in self._ends:
            end.detach()
        self._ends = ()
        if self._door is not None:
            self._door.lost()
