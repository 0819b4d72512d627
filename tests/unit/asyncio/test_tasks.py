"""What asyncio knows: its own tasks, cancels and shutdowns, read without changing anything."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from litellm_cancel_otel._asyncio.cancels import cancelled_within, shutting_down
from litellm_cancel_otel._asyncio.deadlines import deadline_expired, note_deadline
from litellm_cancel_otel._asyncio.tasks import cancelling, running_loop, running_task
from support.cancels import leave_stale_count


def test_no_loop_no_task() -> None:
    assert running_task() is None
    assert running_loop() is None
    assert cancelling(None) == 0


@pytest.mark.every_loop
async def test_running_task_and_loop() -> None:
    assert running_task() is asyncio.current_task()
    assert running_loop() is asyncio.get_running_loop()


async def test_loop_of_another_thread_is_none_of_ours() -> None:
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(running_loop).result() is None


@pytest.mark.every_loop
async def test_cancelling_counts_until_it_is_taken_back() -> None:
    await leave_stale_count()

    task = running_task()
    assert task is not None
    assert cancelling(task) == 1
    task.uncancel()
    assert cancelling(running_task()) == 0


def test_cancelled_within() -> None:
    cancel = asyncio.CancelledError()
    cause, context = ValueError(), ValueError()
    cause.__cause__ = KeyError()
    cause.__cause__.__cause__ = cancel
    context.__context__ = cancel

    assert cancelled_within(cancel) is cancel
    assert cancelled_within(cause) is cancel
    assert cancelled_within(context) is cancel
    assert cancelled_within(ValueError()) is None
    assert cancelled_within(None) is None


def test_cancel_that_was_raised_over_on_purpose_is_none() -> None:
    error = ValueError()
    error.__context__ = asyncio.CancelledError()
    error.__suppress_context__ = True

    assert cancelled_within(error) is None


def test_timeout_is_no_cancel() -> None:
    timeout = TimeoutError()
    timeout.__cause__ = asyncio.CancelledError()
    error = ValueError()
    error.__cause__ = timeout

    assert cancelled_within(timeout) is None
    assert cancelled_within(error) is None


def test_chain_that_is_a_circle_ends() -> None:
    one, other = ValueError(), ValueError()
    one.__cause__, other.__cause__ = other, one

    assert cancelled_within(one) is None


def test_shutting_down() -> None:
    seen: list[bool] = []

    async def left_over() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(shutting_down(sys._getframe()))

    kept: list[asyncio.Task[None]] = []

    async def main() -> None:
        kept.append(asyncio.create_task(left_over()))
        seen.append(shutting_down(sys._getframe()))
        await asyncio.sleep(0)

    asyncio.run(main())

    assert seen == [False, True]


async def test_deadline_counts_from_the_moment_asked_for() -> None:
    task = asyncio.current_task()
    assert task is not None
    assert not deadline_expired(task, since=0.0)

    note_deadline(task, 5.0)

    assert deadline_expired(task, since=5.0)
    assert not deadline_expired(task, since=5.1)
    assert not deadline_expired(None, since=0.0)
