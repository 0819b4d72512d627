"""The demo's result as one JSON document, for a machine to read."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from .._contract import semconv as sc
from .leaving import Left
from .records import Pair, Record
from .telemetry import Totals


def versions() -> dict[str, str]:
    """Return the versions that decide what the demo shows."""
    names = ("litellm-cancel-otel", "litellm", "openai", "opentelemetry-sdk")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def document(
    pairs: Sequence[Pair], totals: Totals, clients: Sequence[tuple[Left, Left]]
) -> dict[str, Any]:
    """Return everything that was measured; times are in seconds."""
    return {
        "versions": versions(),
        "rows": [_row(pair) for pair in pairs],
        "clients": [_client(*both) for both in clients],
        "totals": {
            "calls": totals.calls,
            "cancellations": totals.cancellations,
            "streams_open": totals.streams_open,
            "internal_errors": totals.internal_errors,
            "cost_undelivered": totals.cost_undelivered,
        },
    }


def _client(without: Left, with_: Left) -> dict[str, Any]:
    return {
        "way": with_.leaving.name,
        "about": with_.leaving.about,
        "without": _left(without),
        "with": {**_left(with_), "attributes": dict(with_.attributes)},
        "problems": with_.problems(),
    }


def _left(left: Left) -> dict[str, Any]:
    return {
        "got": left.got,
        "finally_after": left.finally_after,
        "provider_saw_close_after": left.closed_after,
    }


def _row(pair: Pair) -> dict[str, Any]:
    with_ = pair.with_
    return {
        "provider": with_.provider,
        "way": with_.way.name,
        "about": with_.way.about,
        "without": _seen(pair.without),
        "with": {
            **_seen(with_),
            "outcome": with_.outcome,
            "attributes": {
                name: value for name, value in with_.attributes.items() if name != sc.CALL_ID
            },
        },
        "problems": with_.problems(),
    }


def _seen(record: Record) -> dict[str, Any]:
    return {
        "got": record.got.name,
        "status": record.got.status,
        "causes": record.got.causes,
        "requests": record.seen.requests,
        "provider_saw_close_after": record.seen.closed_after,
        "provider_open_after": record.seen.open_after,
        "callbacks": record.callbacks,
    }
