"""One call while it runs: what is seen of it, and its end, which happens once."""

import asyncio
import sys
import weakref
from collections.abc import Callable

from .._asyncio.cancels import cancelled_within, message_of, shutting_down, told_by_server
from .._asyncio.deadlines import deadline_expired, scope_expired
from .._asyncio.tasks import baseline_of, cancelling, has_failed, lowered, running_task
from .._contract.records import (
    Action,
    CallFacts,
    Ending,
    Evidence,
    Exit,
    Outcome,
    Signal,
    Times,
    Verdict,
)
from .classify import classify
from .observer import Request, Sink, Step, Watch
from .upstream import Upstream

_NOBODY = CallFacts("", "unknown", "unknown", stream=False)


class Call:
    """The mutable record of one LiteLLM call; times are seconds of the sink's clock.

    The hot path (``chunks``, ``last_chunk``) is written by the stream's seam directly. Of an
    exception that passes through, only facts are kept: its traceback holds the host's frames, and
    they hold the stream.
    """

    __slots__ = (
        "__weakref__",
        "_driver_done_at",
        "actions",
        "attempt_failed",
        "baseline",
        "by_guard",
        "cancel_delivered",
        "cancel_level",
        "cancel_message",
        "chunks",
        "chunks_at_disconnect",
        "clock",
        "closing_since",
        "describe",
        "disconnect",
        "driver",
        "driver_failed",
        "dropped_at",
        "dropped_in_shutdown",
        "dropped_rise",
        "due",
        "ended",
        "first_chunk",
        "is_stream",
        "last_chunk",
        "loop",
        "parent",
        "request",
        "requesting",
        "retriable",
        "shutdown",
        "signal",
        "sink",
        "start",
        "step",
        "stream",
        "thrown_in",
        "told_to_stop",
        "unguarded",
        "upstream",
        "watch",
        "whole",
    )

    def __init__(
        self, sink: Sink["Call"], describe: Callable[["Call"], CallFacts], parent: object
    ) -> None:
        self.sink = sink
        self.describe = describe
        """Tells what the call is; asked once, at its end or when its stream opens."""
        self.parent = parent
        """The context in which the call was made, for the span's parent."""
        self.clock = sink.clock
        self.start = self.clock()
        self.watch: Watch | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.is_stream = False
        self.ended = False
        self.driver: asyncio.Task[object] | None = None
        """The task that drives the call; None where there is none, and once it is done."""
        self.driver_failed = False
        """The last driver was cancelled, or raised."""
        self.baseline = 0
        self.drive(running_task())
        self.requesting = True
        """The call has not yet returned its result or stream."""
        self.stream: weakref.ref[object] | None = None
        """The stream that the caller holds; its death is the call's end."""
        self.retriable = False
        """It ended in an error of ours that LiteLLM may answer with another attempt."""
        self.chunks = 0
        self.first_chunk: float | None = None
        self.last_chunk: float | None = None
        self.due = 0.0
        """When a stream that does not suspend yields to the loop; 0: it has just suspended."""
        self.whole = False
        """The provider's ``finish_reason`` was seen, where only the stream's seam can see it."""
        self.unguarded = False
        """The guard is to leave it alone."""
        self.request: Request | None = None
        """The server's request that the call was made in, where one is known."""
        self.disconnect: float | None = None
        self.signal: Signal | None = None
        self.told_to_stop = False
        """The caller's own cancel was thrown into the call."""
        self.cancel_message: str | None = None
        self.cancel_delivered: float | None = None
        self.cancel_level = 0
        """By how much ``cancelling()`` had risen when it was thrown."""
        self.shutdown = False
        """The server or the loop's runner is stopping, and has told the call or its request so."""
        self.closing_since: float | None = None
        self.chunks_at_disconnect: int | None = None
        self._driver_done_at: float | None = None
        self.dropped_at: float | None = None
        """When the last reference to the stream, or to the call's own frame, went."""
        self.dropped_rise = 0
        self.dropped_in_shutdown = False
        self.by_guard = False
        """The guard is closing it."""
        self.actions: tuple[tuple[str, float], ...] = ()
        """What the guard did, and when."""
        self.upstream: Upstream | None = None
        self.attempt_failed = False
        """LiteLLM's own call has raised, and LiteLLM is about what it does then."""
        self.thrown_in = "call"
        """Where the caller's cancel was thrown in."""
        self.step: Step | None = None
        """What hands out the stream's chunks."""

    @property
    def undelivered(self) -> int:
        """How many chunks came after the disconnect."""
        before = self.chunks_at_disconnect
        return 0 if before is None else self.chunks - before

    def wasted(self, exit_: Exit) -> float:
        """Return the part of the answer, from 0 to 1, that came after the disconnect."""
        if self.is_stream:
            return self.undelivered / self.chunks if self.chunks else 0.0
        return float(self.disconnect is not None and exit_ is Exit.RETURNED)  # whole, or nothing

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for the stream's next chunk at this moment."""
        return self.step is not None and self.step.coro is not None

    def dropped(self, _: object = None) -> None:
        """Note that nobody refers to the stream, or waits for the call, any more.

        The garbage collector may run this at any allocation of anybody's, inside a lock too: it
        reads, and leaves a note. ``settle`` does the rest.
        """
        if self.ended or self.dropped_at is not None:
            return
        self.dropped_at = self.clock()
        if self.driver is not None:
            self.dropped_rise = cancelling(self.driver) - self.baseline
        self.dropped_in_shutdown = self.dropped_rise > 0 and shutting_down(sys._getframe(1))
        self.sink.dropped(self)

    def settle(self) -> None:
        """End the call that was dropped, unless it has ended meanwhile."""
        if self.by_guard and not self.ended:
            self.acted(Action.CLOSED_ORPHAN)
        self.end(Exit.DROPPED)

    @property
    def driver_done_at(self) -> float | None:
        """When the driver ended, where the stream has not; the watchdog hears of it."""
        return self._driver_done_at

    @driver_done_at.setter
    def driver_done_at(self, at: float | None) -> None:
        self._driver_done_at = at
        if at is not None and self.watch is not None:
            self.watch.changed()

    def drive(self, task: "asyncio.Task[object] | None") -> None:
        """Note the task that drives the call from now on."""
        before, self.driver = self.driver, task
        self.baseline = baseline_of(task)
        if task is not None:
            self.loop = task.get_loop()
        self._driver_done_at = None
        self.driver_failed = False
        if self.is_stream and not self.ended:
            self.follow(before)

    def follow(self, before: "asyncio.Task[object] | None" = None) -> None:
        """Hear of the driver's end; the driver before it is of no interest any more."""
        if before is not None:  # one that lives for long must not gather callbacks
            before.remove_done_callback(self._driver_done)
        if self.driver is not None:
            self.driver.add_done_callback(self._driver_done)
        self.sink.driven(self)

    def _driver_done(self, task: "asyncio.Task[object]") -> None:
        if not self.ended and self.driver is task:
            self.let_go(failed=has_failed(task))

    def let_go(self, *, failed: bool) -> None:
        """Note that the driver is done with the stream, which has not ended."""
        if self.driver is not None:
            self.driver.remove_done_callback(self._driver_done)
        self.driver_failed = failed
        # Its exception has a traceback, whose frames may be all that holds the stream.
        self.driver = None
        self.baseline = 0
        self.driver_done_at = self.clock()
        self.sink.driver_done(self)

    def follow_down(self) -> None:
        """Lower the baseline where a cancel was taken back since the call began to be driven."""
        self.baseline = lowered(self.baseline, self.driver)

    def rise(self) -> int:
        """Return by how much ``cancelling()`` has risen since the call began to be driven.

        That of the running task, which may be one that the driver made for a single chunk, as
        ``wait_for`` does before Python 3.12.
        """
        task = running_task()
        if task is None or task is self.driver:
            return cancelling(self.driver) - self.baseline
        return cancelling(task)

    def got_chunk(self) -> None:
        """Note a chunk."""
        self.chunks += 1
        self.last_chunk = now = self.clock()
        self.due = self.due or now  # it has suspended, and begins anew

    def thrown(self, exc: BaseException) -> None:
        """Note an exception that is being thrown into the call, before anything unwinds."""
        if not isinstance(exc, asyncio.CancelledError) or self.ended:
            return
        level = self.rise()
        if self.cancel_level > 0 and level > self.cancel_level:
            return  # told again, while the first word is still being obeyed
        # Otherwise the one before was taken back: anyio connects, for one, by a scope that it
        # cancels as soon as the first address has answered.
        self.cancel_level = level
        self.cancel_delivered = self.clock()
        if told_by_server(exc) or shutting_down(sys._getframe(1)):
            self.shutdown = True
        self.told_to_stop = level > 0
        self.cancel_message = message_of(exc) if level > 0 else None
        if self.is_stream:
            self.thrown_in = "stream"
        else:
            self.thrown_in = "failure_hook" if self.attempt_failed else "call"

    def is_internal(self, exc: BaseException) -> bool:
        """Return whether the exception is, or hides, a cancel that nobody asked this task for."""
        return self.rise() <= 0 and cancelled_within(exc) is not None

    def disconnected(self, signal: Signal, at: float) -> None:
        """Note that the server learned of the client's going; the first word counts."""
        if self.disconnect is None and not self.ended:
            self.disconnect = at
            self.signal = signal
            self.chunks_at_disconnect = self.chunks
            self.due = -1.0  # let the loop run at the next chunk: it may have a cancel to deliver
            if self.watch is not None:
                self.watch.changed()

    def acted(self, action: str) -> None:
        """Note what the guard does to the call."""
        try:
            # One event of a kind: a long backlog has the loop run hundreds of times.
            if all(action != known for known, _ in self.actions):
                self.actions += ((action, self.clock()),)
            self.sink.acted(self, action)
        except Exception as fault:  # noqa: BLE001 - ours: the host's chunk goes on
            self.sink.faults.note("guard.action", fault)

    def end(self, exit_: Exit, exc: BaseException | None = None) -> Verdict | None:
        """End the call, once; return what it means, or None where it had ended. Never raises."""
        if self.ended:
            return None
        self.ended = True
        self.requesting = False
        try:
            if exit_ is Exit.RETURNED and not self.told_to_stop and self.sink.completed(self):
                return None
            ending = self._ending(exit_, exc)
            self.describe = ending.facts.stand_in
            self.sink.ended(self, ending)
            return ending.verdict
        except Exception as fault:  # noqa: BLE001 - ours: the host's call goes on
            self.sink.faults.note("call.end", fault)
            self.sink.lost(self)
            return None
        finally:
            if self.driver is not None:
                self.driver.remove_done_callback(self._driver_done)
            # A context that somebody copied may keep the record; the host's objects go.
            if exit_ is Exit.RETURNED:
                self.describe = _NOBODY.stand_in
            self.driver = self.parent = self.stream = self.watch = None
            self.step = None

    def _ending(self, exit_: Exit, exc: BaseException | None) -> Ending:
        if exit_ is Exit.DROPPED and self.dropped_at is not None:
            now, rise = self.dropped_at, self.dropped_rise
            shutdown = self.dropped_in_shutdown
        else:
            now, rise = self.clock(), self.rise()
            shutdown = rise > 0 and shutting_down(sys._getframe(1))
        driver_done = self.driver_done_at
        if driver_done is not None and driver_done > now:
            driver_done = None
        cancelled = exit_ in (Exit.CANCELLED, Exit.RAISED)
        cancel_delivered = self.cancel_delivered if cancelled else None
        signs = (self.disconnect, cancel_delivered, driver_done, self.closing_since)
        came = next((moment for moment in signs if moment is not None), now)
        facts = self.describe(self)
        verdict = classify(
            Evidence(
                exit=exit_,
                cancelling_rise=rise,
                delivered=self.told_to_stop,
                cancelled_within=cancelled_within(exc) is not None,
                chunks=self.chunks,
                closing=self.closing_since is not None,
                deadline=deadline_expired(self.driver, since=self.start)
                or deadline_expired(running_task(), since=self.start)
                or scope_expired(self.cancel_message),
                shutdown=self.shutdown or shutdown,
                disconnect=self.signal,
                driver_done=driver_done is not None,
                by_guard=self.by_guard,
                whole=self.whole or facts.whole,
                backoff=self.attempt_failed,
            )
        )
        upstream, watch = self.upstream, self.watch
        # Asked before its time is read: the asking notes a close by the transport itself.
        upstream_open = upstream is not None and upstream.is_open(now)
        return Ending(
            facts=facts,
            verdict=verdict,
            times=Times(
                start=self.start,
                end=now,
                first_chunk=self.first_chunk,
                disconnect=came,
                cancel_delivered=cancel_delivered,
                upstream_closed=None if upstream is None else upstream.closed_at,
            ),
            chunks=self.chunks,
            error_type=_error_type(exc, verdict),
            upstream_open=upstream_open and exit_ is not Exit.RETURNED,
            undelivered=self.undelivered,
            wasted=self.wasted(exit_),
            actions=self.actions,
            stuck=() if watch is None else watch.found,
            loop_lag=None if watch is None else watch.blocked(came, now),
            swallowed_in=self.thrown_in,
            cancel_message=self.cancel_message if self.sink.cancel_messages else None,
        )


def _error_type(exc: BaseException | None, verdict: Verdict) -> str | None:
    """Return the exception's name; for an internal cancel that of what happened.

    What the HTTP client and LiteLLM make of the cancel depends on the transport and the version.
    """
    if verdict.outcome is Outcome.CANCELLED and not verdict.external:
        return asyncio.CancelledError.__name__
    return None if exc is None else type(exc).__qualname__
