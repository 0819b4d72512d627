"""Evidence of deadlines: asyncio's own timeouts say so when they tell a task to stop.

``asyncio.timeout`` and, from Python 3.12, ``asyncio.wait_for`` cancel their task without a word
of why. Before 3.12, and with a timeout of 0 at any time, ``wait_for`` cancels a task of its own.
anyio's scopes say which of them it was, and not, before 4.11, whether its deadline had passed.
"""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from .._asyncio.deadlines import note_deadline, note_scope_expired
from .._asyncio.tasks import cancelling, running_task
from .active import ACTIVE
from .patching import SeamMissing, Undo, replace


def install() -> list[Undo]:
    """Hook in where a timeout of asyncio's expires; raise SeamMissing where that cannot be."""
    if not hasattr(asyncio.Timeout, "_on_timeout"):
        raise SeamMissing("it is not there")
    return [_watch_timeout(), *_watch_wait_for()]


def _now() -> float:
    tracker = ACTIVE.tracker
    return time.perf_counter() if tracker is None else tracker.clock()


def _watch_timeout() -> Undo:
    original = asyncio.Timeout._on_timeout  # type: ignore[attr-defined]

    def _on_timeout(self: asyncio.Timeout) -> None:
        task = getattr(self, "_task", None)
        if task is not None:
            note_deadline(task, _now())
        original(self)

    return replace(asyncio.Timeout, "_on_timeout", _on_timeout)


def install_scopes() -> list[Undo]:
    """Hook in where a deadline of anyio's passes; raise SeamMissing where that cannot be."""
    try:
        from anyio._backends._asyncio import CancelScope
    except ImportError:  # nobody can have made a scope
        return []
    original = getattr(CancelScope, "_timeout", None)
    if original is None:
        raise SeamMissing("it is not there")

    def _timeout(self: CancelScope) -> None:
        before = self.cancel_called
        original(self)
        if self.cancel_called and not before:
            note_scope_expired(self)

    return [replace(CancelScope, "_timeout", _timeout)]


def _watch_wait_for() -> list[Undo]:
    from asyncio import tasks

    original = getattr(tasks, "_cancel_and_wait", None)
    if original is None:
        return []

    def _cancel_and_wait(fut: "asyncio.Future[object]", **loop: Any) -> Coroutine[Any, Any, None]:
        # wait_for also comes here when it was itself cancelled: then no deadline has passed.
        if not cancelling(running_task()):
            note_deadline(fut, _now())
        result: Coroutine[Any, Any, None] = original(fut, **loop)
        return result

    return [replace(tasks, "_cancel_and_wait", _cancel_and_wait)]
