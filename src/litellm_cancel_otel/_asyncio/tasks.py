"""The running task and loop, and how often a task was told to stop: read, never changed."""

import asyncio


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
    """Return the baseline, followed down: a cancel that was taken back since does not count."""
    return min(baseline, cancelling(task))


def has_failed(task: "asyncio.Task[object]") -> bool:
    """Return whether a task that is done was cancelled or raised."""
    # Not task.exception(): asking would keep asyncio from warning of one nobody looked at.
    return task.cancelled() or getattr(task, "_exception", None) is not None
