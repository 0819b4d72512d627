"""What an application may have done with a cancel before."""

import asyncio

import pytest


async def leave_stale_count() -> "asyncio.Task[object]":
    """Swallow a cancel of the running task, leave its count behind, and return the task."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(0)
    assert task.cancelling() == 1
    return task
