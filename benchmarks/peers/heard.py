"""What a side tells: its spans, events, callbacks and metrics, brought down to a few words."""

import asyncio
from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import StatusCode

CANCELLATION_TYPE = "cancellation_type"
SOURCE = "litellm_cancel.source"


class Heard:
    """Takes note of what a side tells; keeps no object of it.

    ``still_current`` says whether a span of the side's is the running context's current one.
    """

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.words: list[str] = []
        self.listens = False
        """Whether words are kept; counting is all that a measurement of cost may pay for."""
        self.still_current: Callable[[], bool] = _otel_span_is_current
        self.count_open: Callable[[], int] = lambda: self.begun - self.ended
        self.counted: Callable[[], str] = lambda: ""
        """What metrics tell since the last time, where a side has no span for it."""

    def take(self) -> list[str]:
        """Return the words since the last time."""
        words, self.words = self.words, []
        return words

    def say(self, word: str) -> None:
        """Note a word, where somebody listens."""
        if self.listens:
            self.words.append(word)


class SpansHeard(SpanProcessor):
    """Hears OpenTelemetry's spans: it counts them, and exports nothing."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """Count a span that begins."""
        self._heard.begun += 1

    def on_end(self, span: ReadableSpan) -> None:
        """Count a span that ends, and note what it says."""
        self._heard.ended += 1
        if self._heard.listens:
            self._heard.say(word_of(span))


def word_of(span: ReadableSpan) -> str:
    """Return what a span says of its call's end."""
    said = span.attributes or {}
    if (kind := said.get(CANCELLATION_TYPE)) is not None:
        return f"cancelled: {kind}, {said.get(SOURCE)}"
    if span.status.status_code is not StatusCode.ERROR:
        return "success"
    raised = [(event.attributes or {}).get("exception.type") for event in span.events]
    kinds = [said.get("error.type"), *raised, (span.status.description or "").partition(":")[0]]
    return named(next((str(kind) for kind in kinds if kind), ""))


def named(kind: str) -> str:
    """Return an error by its class's short name."""
    return f"error: {kind.rpartition('.')[2]}" if kind else "error"


def _otel_span_is_current() -> bool:
    return trace.get_current_span().get_span_context().is_valid


def tasks() -> int:
    """Return how many tasks the running loop has."""
    return len(asyncio.all_tasks())
