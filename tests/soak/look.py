"""What the process holds once all is settled, as plain numbers: a look leaves next to nothing."""

from __future__ import annotations

import ctypes
import gc
import time
from collections import Counter
from typing import Final, NamedTuple

from ..campaign.growth import held

SETTLED = 20
"""Objects of the package's own classes that may be there while nothing runs.

A few records stay until the next call: LiteLLM's logging keeps the context of the last one.
"""
_TRIM: Final = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""glibc's: gives back what was freed. Without it, gaps count: memory that nobody uses."""
_PATIENCE = 3.0
"""Seconds for the package's threads to put away what has ended: a backstop."""


class Look(NamedTuple):
    """What is held after so many calls."""

    calls: int
    ours: int
    """Objects of the package's classes."""
    objects: int
    """All that the collector knows, but for those of before the first call."""
    kib: int
    threads: int
    descriptors: int


def look(calls: int) -> Look:
    """Look once nothing is left to be put away, or no more can be waited for."""
    until = time.monotonic() + _PATIENCE
    while True:
        gc.collect()
        if _TRIM is not None:
            _TRIM(0)
        now = held()
        ours = sum(now.ours.values())
        if ours <= SETTLED or time.monotonic() > until:
            return Look(calls, ours, now.objects, now.kib, now.threads, now.descriptors)
        time.sleep(0.05)


def kinds() -> Counter[str]:
    """Return how many objects there are of each class."""
    return Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
