"""Reading what asyncio knows about the running task: no state of our own, nothing changed."""

import asyncio
import re
from asyncio import runners
from types import FrameType
from weakref import WeakKeyDictionary, WeakValueDictionary

_CANCEL_ALL_TASKS = runners._cancel_all_tasks.__code__  # type: ignore[attr-defined]


def running_task() -> "asyncio.Task[object] | None":
    """Return the task that runs now, or None where there is none."""
    try:
        return asyncio.current_task()
    except RuntimeError:  # no running loop: the coroutine is driven by hand
        return None


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def cancelling(task: "asyncio.Task[object] | None") -> int:
    """Return how often the task has been told to stop and not taken back; 0 for no task."""
    if task is None:
        return 0
    try:
        return task.cancelling()
    except AttributeError:  # a loop's own task class from before asyncio.Task.cancelling
        return 0


def baseline_of(task: "asyncio.Task[object] | None") -> int:
    """Return the count from which a rise is counted, for work that the task begins now.

    A cancel that is asked for and not yet delivered is left out: it will end the work.
    """
    return cancelling(task) - (1 if getattr(task, "_must_cancel", False) else 0)


def lowered(baseline: int, task: "asyncio.Task[object] | None") -> int:
    """Return the baseline, followed down: a cancel that was taken back since is none any more."""
    return min(baseline, cancelling(task))


def has_failed(task: "asyncio.Task[object]") -> bool:
    """Return whether a task that is done was cancelled or raised."""
    # Not task.exception(): asking would keep asyncio from warning of one nobody looked at.
    return task.cancelled() or getattr(task, "_exception", None) is not None


def cancelled_within(exc: BaseException | None) -> asyncio.CancelledError | None:
    """Return the first CancelledError in the exception or its chain of causes, or None.

    A timeout is none, though asyncio raises ``TimeoutError`` from the cancel that it came by.
    """
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen and not isinstance(exc, TimeoutError):
        if isinstance(exc, asyncio.CancelledError):
            return exc
        seen.add(id(exc))
        exc = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
    return None


def shutting_down(frame: FrameType | None) -> bool:
    """Return whether a runner's last act, cancelling every task, is what runs this frame.

    ``asyncio.run`` and ``asyncio.Runner`` cancel what is left and then drive the loop until it
    has ended, so that their function stands further up the stack: proof, not a guess.
    """
    while frame is not None:
        if frame.f_code is _CANCEL_ALL_TASKS:
            return True
        frame = frame.f_back
    return False


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
    named = _BY_SCOPE.match(message or "")
    return named is not None and int(named[1], 16) in _expired_scopes


_GRACE_IS_OVER = "Task cancelled, timeout graceful shutdown exceeded"


def told_by_server(cancel: asyncio.CancelledError) -> bool:
    """Return whether a cancel is uvicorn's, of the requests that outlast its graceful shutdown."""
    return message_of(cancel) == _GRACE_IS_OVER


def message_of(cancel: asyncio.CancelledError | None) -> str | None:
    """Return a cancel's message, or None where it has none that is text."""
    message = cancel.args[0] if cancel is not None and cancel.args else None
    return message if isinstance(message, str) else None
