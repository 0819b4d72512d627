"""One client of one cell, and what came of its going away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from litellm_cancel_otel._demo.fakes import Exchange

from .cells import Cell

WINDOW = 5.0
"""How many seconds after its client's close a run is observed."""


@dataclass(frozen=True, slots=True)
class Span:
    """The span of a run's call."""

    attributes: Mapping[str, Any]
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Observed:
    """What came of a client's going; seconds since its close, None for not within the window."""

    cell: Cell
    exception: str | None
    """What the user's generator saw."""
    learned: float | None
    """When the server told the application that the client has gone."""
    unwound: float | None
    """When the generator's ``finally`` ran."""
    upstream: float | None
    """When the provider saw its connection closed."""
    spans: tuple[Span, ...]


class Run:
    """A client that goes away, and what is reported of it."""

    _ids = count(1)

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.id = f"run-{next(Run._ids)}-"
        self.exchange: Exchange | None = None
        self.left: float | None = None
        self._reports: list[Mapping[str, Any]] = []

    def take(self, report: Mapping[str, Any]) -> None:
        """Take a report of the site's."""
        self._reports.append(report)

    @property
    def over(self) -> bool:
        """Whether the generator is unwound and the provider's connection closed."""
        closed = self.exchange is not None and self.exchange.closed_at is not None
        return closed and self.unwound

    @property
    def unwound(self) -> bool:
        """Whether the generator is unwound."""
        return bool(self._of("finally"))

    @property
    def has_span(self) -> bool:
        """Whether its call's span was reported."""
        return bool(self._of("span"))

    def observed(self) -> Observed:
        """Return what was seen so far."""
        ends = self._of("finally")
        closed_at = None if self.exchange is None else self.exchange.closed_at
        return Observed(
            self.cell,
            exception=ends[0]["exception"] if ends else None,
            learned=self._first("learned"),
            unwound=self._first("finally"),
            upstream=self._since_left(closed_at),
            spans=tuple(
                Span(span["attributes"], tuple(span["events"])) for span in self._of("span")
            ),
        )

    def _of(self, event: str) -> list[Mapping[str, Any]]:
        return [report for report in self._reports if report["event"] == event]

    def _first(self, event: str) -> float | None:
        reports = self._of(event)
        return self._since_left(reports[0]["at"]) if reports else None

    def _since_left(self, at: float | None) -> float | None:
        if at is None or self.left is None or at - self.left > WINDOW:
            return None
        return at - self.left  # perf_counter is one clock for all processes on Linux
