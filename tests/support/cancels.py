"""Cancels of the running task."""

import asyncio

import pytest


async def leave_stale_count() -> None:
    """Swallow a cancel of the running task, and leave its count behind."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(0)
    assert task.cancelling() == 1
