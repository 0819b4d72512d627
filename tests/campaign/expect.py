"""What a fate demands: what the caller gets, and what the telemetry says of the call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Values = frozenset[str]

ANSWER = "answer"
"""The caller has read the whole answer."""
LEFT = "left"
"""The caller went on by its own choice, without an exception."""
FAILED = "provider error"
"""The caller got one of LiteLLM's errors."""
CANCELLED = "CancelledError"
TIMEOUT = "TimeoutError"

EXTERNAL = "external"
INTERNAL = "{family}_internal"


class Expect(NamedTuple):
    """How a call ends; of what is not certain, None.

    ``outcome`` is empty where no call begins at all.
    """

    outcome: str
    type: str | None = None
    source: Values | None = None
    phase: Values | None = None
    signal: Values | None = None
    ended_by: Values | None = None


Expected = Mapping[str, Expect]
"""By what the caller got; anything else is an imbalance."""

NO_CALL = Expect("")
COMPLETED = Expect("completed")
ERROR = Expect("error")


def external(source: str, phase: str, signal: str = "", ended_by: str = "") -> Expect:
    """Return the end by the caller's side; several values are apart by spaces."""
    return Expect(
        "cancelled",
        EXTERNAL,
        *(frozenset(words.split()) or None for words in (source, phase, signal, ended_by)),
    )


def told(source: str, phase: str) -> Expect:
    """Return the end of a call whose task was told to stop."""
    return external(source, phase, "cancel", "exception")


def internal(phase: str) -> Expect:
    """Return the end by the provider's side."""
    of_provider = told("provider", phase)
    return of_provider._replace(type=INTERNAL)


DROPPED = external("abandoned", "streaming", "gc", "gc")
"""Nobody refers to the stream any more."""
FAULT: Expected = {ANSWER: COMPLETED, FAILED: ERROR}
"""The provider breaks off: LiteLLM takes some broken answers for whole ones."""
