"""What the process holds, looked at after each batch, and whether it grows."""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

FEW = 3
"""Looks in a third below which nothing is said: they differ by chance."""


BOUNDED = {"WatchedStream": 400, "Begun": 40}
"""Objects of which there may be that many.

The watchdog tidies its agenda once in a while. A ``Begun`` belongs to a living task, of LiteLLM's
workers for one, and the tasks are in the books themselves.
"""


class Held(NamedTuple):
    """What the process holds at a moment."""

    ours: Counter[str]
    """Objects of the package's classes, by class."""
    objects: int
    """All objects that the collector knows."""
    descriptors: int
    threads: int
    """But for those of executors, which LiteLLM fills as it needs them."""
    kib: int
    """Memory: printed, never judged."""


def descriptors() -> int:
    """Return how many file descriptors are open."""
    return len(os.listdir("/proc/self/fd")) - 1  # the folder's own


def threads() -> int:
    """Return how many threads there are that are no executor's."""
    names = [thread.name for thread in threading.enumerate()]
    return sum(
        not name.startswith(("ThreadPoolExecutor-", "asyncio_", "aws-signing_")) for name in names
    )


def held() -> Held:
    """Look; what is garbage has been collected by the caller."""
    objects = gc.get_objects()
    ours = Counter(
        kind.__qualname__
        for kind in map(type, objects)
        if kind.__module__.startswith("litellm_cancel_otel.") and "_demo" not in kind.__module__
    )
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    kib = pages * os.sysconf("SC_PAGESIZE") // 1024
    return Held(ours, len(objects), descriptors(), threads(), kib)


def grown(looks: Sequence[Held]) -> Iterator[str]:
    """Yield a line for each thing of which the last third has more than the first.

    More on average, and at its least: what only goes up and down is no growth.
    """
    third = len(looks) // 3
    if third < FEW:
        return
    first, last = looks[:third], looks[-third:]
    for name in sorted({name for look in last for name in look.ours}):
        if max(look.ours[name] for look in last) > BOUNDED.get(name, 0):
            yield from _grown(f"objects of {name}", *_both(first, last, name))
    for what in ("descriptors", "threads"):
        yield from _grown(
            what, [getattr(look, what) for look in first], [getattr(look, what) for look in last]
        )


def _both(first: Sequence[Held], last: Sequence[Held], name: str) -> tuple[list[int], list[int]]:
    return [look.ours[name] for look in first], [look.ours[name] for look in last]


def _grown(what: str, first: Sequence[int], last: Sequence[int]) -> Iterator[str]:
    if min(last) > max(first):
        yield f"growth: {what}: from {max(first)} at the most to {min(last)} at the least"
