"""What a check found, for a person and for a machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from .bench import WINDOW
from .records import UPSTREAM, Checked, Left, shown

_COLUMNS: Final = ("the client leaves", "finally", "upstream closed", "swallowed", "")


@dataclass(slots=True)
class Report:
    """An application's routes, and the limits they are held against."""

    app: str
    within: float
    package: bool
    """Whether this package is at work in the application."""
    asked_for: bool
    """Whether ``--with-package`` put it there."""
    routes: list[Checked] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Routes that were found and cannot be checked, each with the reason."""

    @property
    def problems(self) -> list[str]:
        """What is late, swallowed or left open."""
        return [
            f"{route.route}: {one}" for route in self.routes for one in route.problems(self.within)
        ]

    def document(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {
            "app": self.app,
            "within": {"finally": self.within, "upstream_close": UPSTREAM * self.within},
            "package": self.package,
            "routes": [route.document(self.within) for route in self.routes],
            "skipped": self.skipped,
            "problems": self.problems,
        }

    def lines(self) -> Iterator[str]:
        """Yield all of it for a person."""
        for route in self.routes:
            yield route.route
            yield from _table(route, self.within)
            yield from self._middleware(route)
        if self.skipped:
            yield "not checked"
            yield from (f"  - {one}" for one in self.skipped)
        yield "problems" if self.problems else "no problems"
        yield from (f"  - {one}" for one in self.problems)
        if self.problems and not self.package:
            yield "this package is not at work in the application: --with-package shows it with it"

    def _middleware(self, route: Checked) -> Iterator[str]:
        if blocking := route.middleware.in_the_way:
            yield f"  in the way: {', '.join(blocking)}"
        add = "call app.add_middleware(CancellationMiddleware) last, so that it is outermost"
        match route.middleware.ours:
            case "missing" if not self.asked_for:
                yield f"  CancellationMiddleware: missing; {add}"
            case "inside":
                yield f"  CancellationMiddleware: inside of what is in the way; {add}"
            case "outermost":
                yield "  CancellationMiddleware: where it belongs"


def _table(route: Checked, within: float) -> Iterator[str]:
    rows = [_COLUMNS, *(_row(left, within) for left in route.lefts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()


def _row(left: Left, within: float) -> tuple[str, ...]:
    return (
        left.title,
        shown(left.finally_after, WINDOW) if left.seen else "not seen",
        shown(left.closed_after, WINDOW),
        str(left.swallowed),
        "LATE" if any(left.problems(within)) else "",
    )
