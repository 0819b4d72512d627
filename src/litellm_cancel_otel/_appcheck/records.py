"""What became of a route: in each way of leaving, and as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

UPSTREAM = 2
"""The provider's connection may take so many times as long as the ``finally``."""


@dataclass(frozen=True, slots=True)
class Left:
    """What became of one request; seconds since its client left, None for not within the window."""

    way: str
    title: str
    finally_after: float | None
    closed_after: float | None
    swallowed: int
    """Calls that returned although their task had been told to stop."""
    open_streams: int
    """Streams that were still open when the window closed."""
    seen: bool = True
    """Whether an asynchronous LiteLLM call was seen at all."""

    def problems(self, within: float) -> Iterator[str]:
        """Yield what is not as it should be."""
        if not self.seen:
            yield "its LiteLLM call is synchronous, and nothing stops it: use litellm.acompletion"
        elif self.finally_after is None:
            yield "the finally did not run"
        elif self.finally_after > within:
            yield f"the finally ran after {shown(self.finally_after)}"
        if self.closed_after is None:
            yield "the provider's connection stayed open"
        elif self.closed_after > UPSTREAM * within:
            yield f"the provider's connection was closed after {shown(self.closed_after)}"
        if self.swallowed:
            yield "a cancel was swallowed"

    @property
    def lateness(self) -> tuple[float, ...]:
        """What a better attempt has less of."""
        inf = float("inf")
        late = (inf if one is None else one for one in (self.finally_after, self.closed_after))
        return (self.swallowed, *late)


@dataclass(frozen=True, slots=True)
class Middleware:
    """What stands around a route, outermost first."""

    all: tuple[Mapping[str, str], ...]

    @property
    def in_the_way(self) -> list[str]:
        """Those that keep a disconnect from the route while the client does not read."""
        return [one["name"] for one in self.all if one["kind"] == "base_http"]

    @property
    def ours(self) -> str:
        """Where this package's is: ``outermost``, ``inside`` of one in the way, or ``missing``."""
        kinds = [one["kind"] for one in self.all]
        if "ours" not in kinds:
            return "missing"
        return "inside" if "base_http" in kinds[: kinds.index("ours")] else "outermost"


def middleware_of(parts: Iterable[Mapping[str, Any]], method: str, path: str) -> Middleware:
    """Return what stands around a route, of the parts of an application; the first that fits."""
    for part in parts:
        methods = part["methods"]
        if (methods is None or method in methods) and re.fullmatch(part["pattern"], path):
            return Middleware(tuple(part["middleware"]))
    return Middleware(())


@dataclass(frozen=True, slots=True)
class Checked:
    """One route, left in every way."""

    route: str
    middleware: Middleware
    lefts: tuple[Left, ...]

    def problems(self, within: float) -> list[str]:
        """Return what is not as it should be, each with its way."""
        return [f"{left.title}: {one}" for left in self.lefts for one in left.problems(within)]

    def document(self, within: float) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {
            "route": self.route,
            "middleware": [dict(one) for one in self.middleware.all],
            "in_the_way": self.middleware.in_the_way,
            "cancellation_middleware": self.middleware.ours,
            "ways": {
                left.way: {
                    "finally": left.finally_after,
                    "upstream_close": left.closed_after,
                    "swallowed": left.swallowed,
                    "open_streams": left.open_streams,
                    "problems": list(left.problems(within)),
                }
                for left in self.lefts
            },
        }


def shown(seconds: float | None, window: float = 0.0) -> str:
    """Return a duration for a person."""
    if seconds is None:
        return f"> {window:g} s"
    return f"{seconds * 1_000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
