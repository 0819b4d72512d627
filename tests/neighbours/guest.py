"""A neighbour that has come."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

Seen = dict[str, list[str]]
"""The status of each of its spans, by the name of the way in which the call ended."""


def stays() -> None:
    """Stand for an end that a neighbour does not have."""


def remove_callbacks(theirs: Callable[[object], bool]) -> None:
    """Take callbacks out of every list that LiteLLM has copied them to."""
    import litellm

    for kind in ("callbacks", "input_callback", "success_callback", "failure_callback"):
        for name in (kind, f"_async_{kind}"):
            held = getattr(litellm, name, [])
            held[:] = [one for one in held if not theirs(one)]


def _nothing(way: str) -> AbstractContextManager[object]:
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Guest:
    """What a neighbour needs while it is there."""

    go: Callable[[], None]
    """Undo what it has done."""
    around: Callable[[str], AbstractContextManager[object]] = _nothing
    """What stands around a call so that its spans are kept, and told apart."""
    seen: Callable[[], Seen] | None = None
    """Says what it has seen; None where its spans are OpenTelemetry's, and asked for there."""
