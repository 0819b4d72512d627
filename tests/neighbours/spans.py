"""The spans of one pair: whose they are, which call's, and how they are related."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from .guest import Seen

OURS, APPLICATION = "litellm_cancel_otel", "application"


class Spans:
    """Reads what an exporter has kept; the application's span says which call a trace is of."""

    def __init__(
        self, memory: InMemorySpanExporter, scope: str | None, seen: Callable[[], Seen] | None
    ) -> None:
        self._spans: dict[int, Any] = {
            span.context.span_id: span for span in memory.get_finished_spans()
        }
        self._ways = {
            span.context.trace_id: span.name
            for span in self._spans.values()
            if self._of(span, APPLICATION)
        }
        self._scope = scope
        self._seen = seen

    def ours(self) -> Seen:
        """Return the cancellation types of this package's spans, by call."""
        return self._by_way(OURS, lambda span: span.attributes.get("cancellation_type", ""))

    def theirs(self) -> Seen:
        """Return the status of the neighbour's spans, by call."""
        if self._seen is not None:
            return self._seen()
        assert self._scope is not None
        return self._by_way(self._scope, lambda span: span.status.status_code.name)

    def related(self) -> list[str]:
        """Return what this package's spans are to the neighbour's."""
        theirs = self.theirs()
        both = [span for span in self._outermost(OURS) if self._way(span) in theirs]
        return sorted({self._relation(span) for span in both})

    def _relation(self, span: Any) -> str:
        if self._scope is None:
            return "apart"
        parent = self._spans[span.parent.span_id]
        if self._of(parent, self._scope):
            return "child"
        return "sibling" if self._of(parent, APPLICATION) else "apart"

    def _by_way(self, scope: str, say: Callable[[Any], str]) -> Seen:
        found: Seen = {}
        for span in self._outermost(scope):
            found.setdefault(self._way(span), []).append(say(span))
        return found

    def _way(self, span: Any) -> str:
        return self._ways.get(span.context.trace_id, "none of the calls")

    def _outermost(self, scope: str) -> list[Any]:
        mine = [span for span in self._spans.values() if self._of(span, scope)]
        return [span for span in mine if not self._within(span, scope)]

    def _within(self, span: Any, scope: str) -> bool:
        parent = self._spans.get(span.parent.span_id) if span.parent else None
        return parent is not None and self._of(parent, scope)

    def _of(self, span: Any, scope: str) -> bool:
        name: str = span.instrumentation_scope.name
        return name == scope or name.startswith(f"{scope}.")
