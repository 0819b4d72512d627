"""A cancel: whether an error hides one, and what its message and the stack say of who sent it."""

import asyncio
from asyncio import runners
from types import FrameType

_CANCEL_ALL_TASKS = runners._cancel_all_tasks.__code__  # type: ignore[attr-defined]


def cancelled_within(exc: BaseException | None) -> asyncio.CancelledError | None:
    """Return the first CancelledError in the exception or its chain of causes, or None.

    A timeout does not count, though asyncio raises ``TimeoutError`` from a cancel.
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


_GRACE_IS_OVER = "Task cancelled, timeout graceful shutdown exceeded"


def told_by_server(cancel: asyncio.CancelledError) -> bool:
    """Return whether a cancel is uvicorn's, of the requests that outlast its graceful shutdown."""
    return message_of(cancel) == _GRACE_IS_OVER


def message_of(cancel: asyncio.CancelledError | None) -> str | None:
    """Return a cancel's message, or None where it has none that is text."""
    message = cancel.args[0] if cancel is not None and cancel.args else None
    return message if isinstance(message, str) else None
