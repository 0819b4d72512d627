"""What a cancel does on a release, read from the demo's rows and clients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.records import Outcome
from litellm_cancel_otel._demo.runner import WINDOW
from litellm_cancel_otel._demo.ways import WAYS

from .results import Result

PROMPT = 0.5
"""Seconds within which something happens by itself, on a machine that has other work."""


@dataclass(frozen=True, slots=True, order=True)
class Seen:
    """What one side showed of a way of cancelling at a provider."""

    got: str
    is_right: bool
    """Whether the caller got what it must get."""
    callbacks: str
    upstream: str


Behaviour = Mapping[tuple[str, str], frozenset[Seen]]
"""By way and provider, what was seen: one thing, or several where the cells differ."""


def seen(results: Iterable[Result], side: str) -> Behaviour:
    """Return what a cancel does on a side, ``without`` the package or ``with`` it."""
    found: dict[tuple[str, str], set[Seen]] = {}
    for result in results:
        for row in result.rows:
            if WAYS[row["way"]].expected.outcome is Outcome.CANCELLED:
                of = found.setdefault((row["way"], row["provider"]), set())
                of.add(_seen(row["way"], row[side]))
    return {key: frozenset(found[key]) for key in sorted(found, key=_place)}


def _place(key: tuple[str, str]) -> tuple[int, str]:
    return [*WAYS].index(key[0]), key[1]


def _seen(way: str, side: Mapping[str, Any]) -> Seen:
    got = side["got"] if side["status"] is None else f"error {side['status']}"
    is_right = side["got"] in WAYS[way].expected.got
    return Seen(got, is_right, ", ".join(side["callbacks"]) or "none", upstream(side))


def upstream(side: Mapping[str, Any]) -> str:
    """Say what became of the provider's connection."""
    known = side["provider_saw_close_after"], side["provider_open_after"]
    if any(seconds is not None and seconds >= WINDOW for seconds in known):
        return "stays open"
    return "closes" if known[0] is not None else "-"


@dataclass(frozen=True, slots=True)
class With:
    """What was seen of a way of cancelling with the package, in all cells."""

    way: str
    got: tuple[str, ...]
    callbacks: tuple[str, ...]
    told: tuple[str, ...]
    unwound: float | None
    """Seconds from the disconnect to the finally, in the slowest of all."""
    closed: float | None
    """Seconds from the disconnect to the upstream's close, in the slowest of all."""


def with_package(results: Iterable[Result]) -> list[With]:
    """Return what a cancel does with the package, way by way."""
    sides: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        for row in result.rows:
            if sc.CANCELLATION_TYPE in row["with"]["attributes"]:
                sides.setdefault(row["way"], []).append(row["with"])
    return [_with(way, sides[way]) for way in WAYS if way in sides]


def _with(way: str, sides: list[Mapping[str, Any]]) -> With:
    found = [_seen(way, side) for side in sides]
    return With(
        way,
        tuple(sorted({one.got for one in found})),
        tuple(sorted({one.callbacks for one in found})),
        tuple(sorted({_told(side["attributes"]) for side in sides})),
        _slowest(side["attributes"].get(sc.DISCONNECT_TO_FINALLY) for side in sides),
        _slowest(side["attributes"].get(sc.DISCONNECT_TO_UPSTREAM_CLOSE) for side in sides),
    )


def _told(attributes: Mapping[str, Any]) -> str:
    kind = str(attributes[sc.CANCELLATION_TYPE])
    if kind != sc.EXTERNAL:
        return "`<provider>_internal`"
    return f"`{kind}`, `{attributes[sc.SOURCE]}`"


def _slowest(seconds: Iterable[float | None]) -> float | None:
    return max((one for one in seconds if one is not None), default=None)


def unwound(results: Iterable[Result], side: str) -> dict[str, frozenset[str]]:
    """Say, for each client of a web application that leaves, when the ``finally`` ran."""
    found: dict[str, set[str]] = {}
    for result in results:
        for client in result.clients:
            found.setdefault(client["way"], set()).add(_when(client[side]["finally_after"]))
    return {way: frozenset(when) for way, when in found.items()}


def _when(seconds: float | None) -> str:
    if seconds is None:
        return f"not within {WINDOW:g} s"
    return "at once" if seconds < PROMPT else "late"
