"""Who of those that run elsewhere may run now: one, and two as soon as nothing runs beside them.

Two cores are busy with one of these and the tests beside it. The tests that wait for a report are
the last of their session, so that the first of them says that a core is free.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

FREE = "core-is-free"


def core_is_free(home: Path) -> None:
    """Let a second one run, whose turn it is as soon as it looks."""
    home.mkdir(parents=True, exist_ok=True)
    (home / FREE).touch()


@contextmanager
def turn(home: Path) -> Iterator[None]:
    """Wait for a turn, and keep it for the block; it ends with the process in any case."""
    with (home / "turn").open("w") as first, (home / "second-turn").open("w") as second:
        while not (_taken(first) or ((home / FREE).exists() and _taken(second))):
            time.sleep(0.2)
        yield


def _taken(place: IO[str]) -> bool:
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
