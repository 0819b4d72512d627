"""The deadlines that have expired: the seams note them; each is kept as long as its task."""

import asyncio
import re
from weakref import WeakKeyDictionary, WeakValueDictionary

_deadlines: "WeakKeyDictionary[asyncio.Future[object], float]" = WeakKeyDictionary()


def note_deadline(task: "asyncio.Future[object]", at: float) -> None:
    """Note that a deadline of asyncio's own expired and told the task to stop."""
    _deadlines[task] = at


def deadline_expired(task: "asyncio.Future[object] | None", *, since: float) -> bool:
    """Return whether such a deadline of the task's expired at or after a moment."""
    return task is not None and _deadlines.get(task, -1.0) >= since


_BY_SCOPE = re.compile(r"Cancelled (?:by|via) cancel scope ([0-9a-f]+)")
_expired_scopes: "WeakValueDictionary[int, object]" = WeakValueDictionary()


def note_scope_expired(scope: object) -> None:
    """Note that an anyio cancel scope is cancelled because its own deadline has passed."""
    _expired_scopes[id(scope)] = scope


def scope_expired(message: str | None) -> bool:
    """Return whether a cancel's message names such a scope: from anyio 4.0 on it says by which."""
    named = None if message is None else _BY_SCOPE.match(message)
    return named is not None and int(named[1], 16) in _expired_scopes
