"""Says where every task waits when something takes too long: a loop that does not end, for one."""

from __future__ import annotations

import asyncio
import faulthandler
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from litellm_cancel_otel._asyncio.await_chain import await_chain

LATE = 120.0
"""Seconds that a batch, which takes a few, may take before it is looked at."""


@contextmanager
def told_if_late(what: str, seconds: float = LATE) -> Iterator[None]:
    """Print all tasks, and where they wait, if the block takes longer, and each time again."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(seconds):
            print(f"late: {what}", *_tasks(), sep="\n  ", file=sys.stderr, flush=True)
            faulthandler.dump_traceback()

    # By such a name a look leaves it out.
    thread = threading.Thread(target=watch, name="ThreadPoolExecutor-late", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _tasks() -> Iterator[str]:
    for task in list(asyncio.tasks._all_tasks):  # type: ignore[attr-defined]
        if not task.done():
            told = f"told to stop {task.cancelling()} times"
            places = " > ".join(map(str, await_chain(task)))
            yield f"{task.get_name()}, {told}, of {task.get_loop()!r}: {places}"
