"""What the application's host has told so far."""

from __future__ import annotations

import time
from typing import Any, Final, Protocol

from .._demo.fakes.board import Board
from .problem import Problem

ANSWER: Final = 10.0
"""Seconds that a host may take to say what is open."""


class Told:
    """Keeps the events of a host, and wakes who waits for them; for one event loop."""

    def __init__(self) -> None:
        self.layout: dict[str, Any] | None = None
        self.failure: str | None = None
        self.ended = False
        self.spans: list[dict[str, Any]] = []
        self.states: list[dict[str, Any]] = []
        self.overs: list[float] = []
        """When each request's handler was over."""
        self.raised: list[str] = []
        """What came out of handlers."""
        self.blocked = 0
        """How often a message waited for a client that does not read."""
        self._board = Board()

    def take(self, event: dict[str, Any]) -> None:
        """Take one event."""
        match event.pop("event", None):
            case "ready":
                self.layout = event
            case "failed":
                self.failure = event["problem"]
            case "span":
                self.spans.append(event)
            case "state":
                self.states.append(event)
            case "over":
                self.overs.append(event["at"])
            case "raised":
                self.raised.append(event["what"])
            case "blocked":
                self.blocked += 1
        self._board.announce()

    def end(self) -> None:
        """Note that nothing more will be told."""
        self.ended = True
        self._board.announce()

    async def until(self, holds: Any, what: str, timeout: float) -> None:
        """Wait until ``holds()``; TimeoutError in vain, Problem where the application ended."""
        await self._board.until(lambda: self.ended or holds(), what, timeout)
        if self.ended and not holds():
            raise Problem(self.failure or "the application ended while it was checked")


class Application(Protocol):
    """An application that is served: where, what it told, and what it says when it is asked."""

    address: tuple[str, int]
    told: Told

    def ask_state(self) -> None:
        """Ask what is open and what was swallowed; the answer is told."""


async def state_of(application: Application) -> dict[str, Any]:
    """Return what is open in an application, and what was swallowed."""
    told = application.told
    have = len(told.states)
    application.ask_state()
    await told.until(lambda: len(told.states) > have, "the application's state", ANSWER)
    return told.states[-1]


def both_clocks() -> tuple[float, int]:
    """Return now: on ``time.perf_counter()``, and in nanoseconds since the epoch."""
    return time.perf_counter(), time.time_ns()
