"""When a soak is flat. Pure: looks in, words out.

The first third of the looks is left out: caches fill. Of what all Python code shares, objects and
memory, the rest may grow as bare LiteLLM's does in the same time, and by an allowance: what fills
only once, such as a metric's buckets, and a little for each thousand calls. That is far less than a
single object, or 100 bytes, for each call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple

from .look import SETTLED, Look


class Allowance(NamedTuple):
    """What may come in the time that is judged, beyond what bare LiteLLM has more of."""

    name: str
    of: Callable[[Look], int]
    once: float
    per_thousand: float


ALLOWED = (
    Allowance("all objects", lambda look: look.objects, 1_000, 20),
    Allowance("KiB of memory", lambda look: look.kib, 4_096, 64),
)
FEW = 6
"""Looks below which nothing is judged."""


def judged(looks: Sequence[Look]) -> Sequence[Look]:
    """Return the looks that are judged: the last two thirds."""
    return looks[len(looks) // 3 :]


def rate(looks: Sequence[Look], of: Callable[[Look], int]) -> float:
    """Return by how much a figure rises in a thousand calls: the median of the slopes."""
    pairs = combinations(judged(looks), 2)
    slopes = [
        (of(after) - of(before)) / (after.calls - before.calls) * 1_000 for before, after in pairs
    ]
    return median(slopes) if slopes else 0.0


def grown(watched: Sequence[Look], bare: Sequence[Look] = ()) -> Iterator[str]:
    """Yield a line for each thing that has grown. Without a bare side nothing is excused by it."""
    if len(watched) < FEW:
        yield f"{len(watched)} looks are too few to judge by: {FEW} are needed"
        return
    most = max(look.ours for look in judged(watched))
    if most > SETTLED:
        yield f"objects of the package's own: {most} are left where nothing runs, not {SETTLED}"
    for what in ("threads", "descriptors"):
        yield from _more(what, [getattr(look, what) for look in watched])
    thousands = (watched[-1].calls - judged(watched)[0].calls) / 1_000
    for allowed in ALLOWED:
        ours, its = (rate(looks, allowed.of) for looks in (watched, bare))
        more = (ours - max(its, 0.0)) * thousands
        may = allowed.once + allowed.per_thousand * thousands
        if more > may:
            yield (
                f"{allowed.name}: {ours:+,.0f} for each 1,000 calls, bare {its:+,.0f}: "
                f"{more:,.0f} more in all, {may:,.0f} are allowed"
            )


def _more(what: str, figures: Sequence[int]) -> Iterator[str]:
    third = len(figures) // 3
    first, last = max(figures[:third]), min(figures[-third:])
    if last > first:
        yield f"{what}: {last} at the least in the last third, {first} at the most in the first"
