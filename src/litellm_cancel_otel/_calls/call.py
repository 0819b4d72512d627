"""One call while it runs, and its end, which happens once."""

import asyncio
import sys
import weakref
from collections.abc import Collection
from typing import Protocol

from opentelemetry.context import Context

from .._asyncio.cancels import cancelled_within, message_of, shutting_down, told_by_server
from .._asyncio.tasks import has_failed, running_task
from .._contract.records import Action, CallFacts, Exit, Signal, Subject, Verdict
from .description import Description, Known
from .driving import Driving
from .ending import ending_of
from .observer import Observer
from .progress import Progress
from .signs import NO_SIGNS, Disconnect, Drop, Signs, Thrown
from .state import State
from .upstream import Upstream

_NOBODY = Known(CallFacts("", "unknown", "unknown", stream=False))


class Request(Protocol):
    """The server's request that a call was made in, as far as the call and its guard know it."""

    @property
    def calls(self) -> Collection["Call"]:
        """The calls that are the request's and have not ended."""

    @property
    def is_gone(self) -> bool:
        """Whether its client has gone, or its application ended by an exception."""

    def ended(self, call: "Call") -> None:
        """Let go of a call that has ended."""


class Call:
    """The record of one LiteLLM call; times are seconds of the observer's clock.

    Of an exception that passes through, only facts are kept: its traceback holds the host's frames,
    and they hold the stream.
    """

    state = State.REQUESTING
    stream: "weakref.ref[object] | None" = None
    """The stream that the caller holds; its death is the call's end."""
    request: Request | None = None
    """The server's request that the call was made in, where one is known."""
    upstream: Upstream | None = None
    signs: Signs = NO_SIGNS
    """What was seen of its cancel; ``_seen`` returns them to be written."""
    unguarded = False
    """The guard is to leave it alone."""
    may_retry = False
    """Another attempt may follow the one that has failed."""
    retriable = False
    """It ended in an error of ours that LiteLLM may answer with another attempt."""
    retried_as: "Call | None" = None
    """The call that such an attempt has begun."""

    def __init__(
        self, observer: Observer["Call"], description: Description, parent: Context | None
    ) -> None:
        self.observer = observer
        self.description = description
        self.parent = parent
        """The context in which the call was made, for the span's parent."""
        self.clock = observer.clock
        self.start = self.clock()
        self.driving = Driving()
        self.driving.take_over(running_task())
        self.progress = Progress()

    def __repr__(self) -> str:
        chunks = self.progress.chunks
        return f"<Call {self.facts().operation}: {self.state.name.lower()}, {chunks} chunks>"

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.state is State.ENDED

    @property
    def has_stream(self) -> bool:
        """Whether it has returned a stream that has not ended."""
        return self.state is State.STREAMING or self.state is State.CLOSING

    @property
    def latest(self) -> "Call":
        """The call itself, or the last that a retry has begun after its end."""
        call = self
        while call.retried_as is not None:
            call = call.retried_as
        return call

    def facts(self) -> CallFacts:
        """Return what the call is, as far as it is known by now."""
        return self.description.facts(self.upstream)

    def subject(self) -> Subject:
        """Return what the call is counted under."""
        return self.description.subject()

    # Its way

    def tries(self) -> None:
        """Note that an attempt begins."""
        if self.state is State.FAILING:
            self.state = State.REQUESTING

    def fails(self, exc: BaseException, *, may_retry: bool) -> None:
        """Note that an attempt has ended by an exception, and whether LiteLLM may try again."""
        if self.state is State.REQUESTING and isinstance(exc, Exception):
            self.state = State.FAILING
            self.may_retry = self.may_retry or may_retry

    def opens(self) -> None:
        """Note that it has returned its stream."""
        self.state = State.STREAMING
        self.forget_taken_back()
        self.observer.opened(self)
        self._follow()

    def closes(self) -> None:
        """Note that its consumer closes the stream, or throws something into it."""
        self.state = State.CLOSING
        self._seen().closing_since = self.clock()

    def goes_on(self) -> None:
        """Note that the stream has answered what was thrown into it with a chunk."""
        self.state = State.STREAMING
        self._seen().closing_since = None
        self.progress.got_chunk(self.clock())

    # Its driver

    def drive(self, task: "asyncio.Task[object] | None") -> None:
        """Note the task that drives the call from now on."""
        before = self.driving.task
        self.driving.take_over(task)
        if self.has_stream:
            if before is not None:  # one that lives for long must not gather callbacks
                before.remove_done_callback(self._driver_done)
            self._follow()

    def _follow(self) -> None:
        if self.driving.task is not None:
            self.driving.task.add_done_callback(self._driver_done)
        self.observer.driven(self)

    def _driver_done(self, task: "asyncio.Task[object]") -> None:
        if not self.ended and self.driving.task is task:
            self.let_go(failed=has_failed(task))

    def let_go(self, *, failed: bool) -> None:
        """Note that the driver is done with the stream, which has not ended."""
        if self.driving.task is not None:
            self.driving.task.remove_done_callback(self._driver_done)
        self.driving.let_go(self.clock(), failed=failed)
        self.observer.driver_done(self)

    # The signs of a cancel

    def _seen(self) -> Signs:
        """Return the signs, to note one; most calls have none, and it may be any thread's."""
        own: Signs = self.__dict__.setdefault("signs", Signs())
        return own

    def thrown(self, exc: BaseException) -> None:
        """Note an exception that is being thrown into the call, before anything unwinds."""
        if not isinstance(exc, asyncio.CancelledError) or self.ended:
            return
        signs, rise = self.signs, self.driving.rise()
        if signs.thrown is not None and rise > signs.thrown.rise > 0:
            return  # told again, while the first word is still being obeyed
        # Otherwise the one before was taken back: anyio connects, for one, by a scope that it
        # cancels as soon as the first address has answered.
        into = "failure_hook" if self.state is State.FAILING else "call"
        seen = self._seen()
        seen.thrown = Thrown(
            self.clock(),
            rise,
            message_of(exc) if rise > 0 else None,
            "stream" if self.has_stream else into,
        )
        if told_by_server(exc) or shutting_down(sys._getframe(1)):
            seen.shutdown = True

    def forget_taken_back(self) -> None:
        """Forget a cancel that was thrown in and taken back: the next one has another cause."""
        if self.signs.thrown is not None and self.driving.rise() < self.signs.thrown.rise:
            self._seen().thrown = None

    def is_internal(self, exc: BaseException) -> bool:
        """Return whether the exception is, or hides, a cancel that nobody asked this task for."""
        return self.driving.rise() <= 0 and cancelled_within(exc) is not None

    def disconnected(self, signal: Signal, at: float) -> None:
        """Note that the server learned of the client's going; the first word counts."""
        if self.signs.disconnect is None and not self.ended:
            self._seen().disconnect = Disconnect(at, signal, self.progress.chunks)
            self.progress.let_loop_run()  # it may have a cancel to deliver
            self.observer.disconnected(self)

    def server_stops(self) -> None:
        """Note that the server is stopping, and has told the call's request so."""
        self._seen().shutdown = True

    def dropped(self, _: object = None) -> None:
        """Note that nobody refers to the stream, or waits for the call, any more.

        The garbage collector may run this at any allocation of anybody's, inside a lock too: it
        reads, and leaves a note. ``settle`` does the rest.
        """
        if self.ended or self.signs.drop is not None:
            return
        at, rise = self.clock(), self.driving.driver_rise()
        self._seen().drop = Drop(at, rise, rise > 0 and shutting_down(sys._getframe(1)))
        self.observer.dropped(self)

    def settle(self) -> None:
        """End the call that was dropped, unless it has ended meanwhile."""
        if self.signs.by_guard and not self.ended:
            self.acted(Action.CLOSED_ORPHAN)
        self.end(Exit.DROPPED)

    # The guard

    def guarded(self, by_guard: bool = True) -> None:
        """Note that what ends the call from now on is the guard, or is not the guard after all."""
        self._seen().by_guard = by_guard

    def acted(self, action: str) -> None:
        """Note what the guard does to the call."""
        try:
            # One event of a kind: a long backlog has the loop run hundreds of times.
            if all(action != known for known, _ in self.signs.actions):
                self._seen().actions += ((action, self.clock()),)
            self.observer.acted(self, action)
        except Exception as fault:  # noqa: BLE001 - ours: the host's chunk goes on
            self.observer.faults.note("guard.action", fault)

    # Its end

    def cancelled_in_backoff(
        self, start: float, baseline: int, thrown_at: float | None, exc: BaseException
    ) -> None:
        """End a call that began at ``start`` and was cancelled between two of its attempts."""
        self.start = start
        self.driving.baseline = baseline
        self.state = State.FAILING
        self.may_retry = True
        self._seen().thrown = Thrown(thrown_at, 1)
        self.end(Exit.CANCELLED, exc)

    def end(self, exit_: Exit, exc: BaseException | None = None) -> Verdict | None:
        """End the call, once; return what it means, or None where it had ended. Never raises."""
        state = self.state
        if state is State.ENDED:
            return None
        self.state = State.ENDED
        try:
            returned = exit_ is Exit.RETURNED
            if returned and not self.signs.told_to_stop and self.observer.completed(self):
                return None
            ending = ending_of(self, self.observer, state, exit_, exc)
            self.description = Known(ending.facts)
            self.observer.ended(self, ending)
            return ending.verdict
        except Exception as fault:  # noqa: BLE001 - ours: the host's call goes on
            self.observer.faults.note("call.end", fault)
            self.observer.lost(self)
            return None
        finally:
            driver = self.driving.task
            if driver is not None:
                driver.remove_done_callback(self._driver_done)
                self.driving.ends()
            # A context that somebody copied may keep the record; the host's objects go.
            if exit_ is Exit.RETURNED:
                self.description = _NOBODY
            self.parent = self.stream = self.progress.source = None
