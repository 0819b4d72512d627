"""Who drives a call: the task that awaits it, or that last asked its stream for a chunk."""

import asyncio

from .._asyncio.tasks import baseline_of, cancelling, lowered, running_task


class Driving:
    """The driver of one call, and by how much it has been told to stop since it took over."""

    __slots__ = ("baseline", "done_at", "failed", "loop", "steady", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[object] | None = None
        """None where no task drives the call, and once the driver is done."""
        self.steady: asyncio.Task[object] | None = None
        """The driver, where nothing is to be noted when it asks for another chunk."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """The loop of the last driver."""
        self.baseline = 0
        """The driver's ``cancelling()`` when it took over; a cancel taken back since lowers it."""
        self.done_at: float | None = None
        """When the driver ended, where the call has not."""
        self.failed = False
        """The driver that has ended was cancelled, or raised."""

    def take_over(self, task: "asyncio.Task[object] | None") -> None:
        """Note the task that drives the call from now on."""
        self.task = task
        self.baseline = baseline_of(task)
        self.steady = None if self.baseline else task
        if task is not None:
            self.loop = task.get_loop()
        if self.done_at is not None:
            self.done_at = None
            self.failed = False

    def let_go(self, at: float, *, failed: bool) -> None:
        """Note that the driver has ended, and the call has not."""
        # A task's exception has a traceback, whose frames may be all that holds the stream.
        self.ends()
        self.baseline = 0
        self.done_at = at
        self.failed = failed

    def ends(self) -> None:
        """Let go of the driver."""
        self.task = self.steady = None

    def follow_down(self) -> None:
        """Lower the baseline where a cancel was taken back since."""
        self.baseline = lowered(self.baseline, self.task)
        self.steady = None if self.baseline else self.task

    def rise(self) -> int:
        """Return by how much ``cancelling()`` has risen since the driver took over.

        That of the running task, which may be one that the driver made for a single chunk, as
        ``wait_for`` does before Python 3.12.
        """
        task = running_task()
        if task is None or task is self.task:
            return self.driver_rise()
        return cancelling(task)

    def driver_rise(self) -> int:
        """Return the same of the driver, whichever task runs."""
        return cancelling(self.task) - self.baseline

    def __repr__(self) -> str:
        return f"<Driving by {self.task!r}, baseline {self.baseline}, done at {self.done_at}>"
