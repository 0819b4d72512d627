"""What hands out the chunks of a watched stream, one after the other, and keeps its record."""

import asyncio
import math
import sys
from asyncio import CancelledError
from inspect import CORO_CREATED, getcoroutinestate
from types import CoroutineType, TracebackType
from typing import Any

from .._asyncio.context_variables import put_back
from .._asyncio.tasks import running_task
from .._asyncio.throw_hook import Awaitable, thrown_instance
from .._calls.call import Call
from .._calls.progress import BEGINS
from .._contract.records import Action, Exit
from .active import CURRENT
from .attempts import attempt_fails
from .facts import is_last

if sys.version_info < (3, 12):
    # current_task() written in C, which it is from 3.12 on: this is asked once a chunk.
    current_task = asyncio.tasks._current_tasks.get  # type: ignore[attr-defined]
else:
    current_task = asyncio.current_task


SUBSTITUTE = "litellm_cancel_otel_substitute"
"""The method of a stream's owner that is asked when an internal cancel comes out of it.

What it returns is awaited in the chunk's place, so that the caller gets an error that LiteLLM's
retries and fallbacks act on.
"""

STEP = "litellm_cancel_otel_step"
"""The attribute of a stream's owner that holds its step."""


class ChunkStep(Awaitable):
    """Awaits one chunk after another and keeps the stream's record; this package's hot path.

    One object serves a stream from its second chunk on: ``take`` hands it the next coroutine.
    """

    __slots__ = ("_clock", "_driving", "_owner", "_progress", "call", "coro")

    def __init__(self, call: Call, owner: Any) -> None:
        self._owner = owner
        self.call = call
        # What a chunk needs of the call, at hand.
        self._progress = call.progress
        self._driving = call.driving
        self._clock = call.clock
        self.coro: Any = None
        """What is awaited; None between chunks."""

    def take(self, coro: Any) -> "ChunkStep":
        """Return a step for a chunk: this one, or another where a chunk is already waited for."""
        step = self if self.coro is None else type(self)(self.call, self._owner)
        step.coro = coro
        return step

    def __next__(self) -> Any:
        progress = self._progress
        if not progress.due:  # it has suspended for this chunk
            try:
                return self.coro.send(None)
            except StopIteration:
                progress.chunks += 1
                progress.last_chunk = self._clock()
                progress.due = BEGINS
                self.coro = None
                raise
            except BaseException as exc:  # the host's: noted and passed on
                if not self._left(exc):
                    raise
            return self.coro.send(None)
        try:
            if current_task(self._driving.loop) is not self._driving.steady:
                self._is_asked_by(running_task())
        except RuntimeError:  # no running loop: it is driven by hand
            self._is_asked_by(None)
        try:
            waiting = self.coro.send(None)
        except StopIteration:
            progress.chunks += 1
            progress.last_chunk = now = self._clock()
            if now >= progress.due and self._checkpoint(now):
                return None  # to the loop, which then resumes this step
            if progress.due == BEGINS:
                progress.due = now + (self.call.observer.checkpoint_interval or math.inf)
            self.coro = None
            raise
        except BaseException as exc:  # the host's: noted and passed on
            if not self._left(exc):
                raise
        else:
            progress.due = progress.suspended
            return waiting
        return self.coro.send(None)

    def _is_asked_by(self, task: "asyncio.Task[object] | None") -> None:
        driving = self._driving
        if driving.task is not task:
            self.call.drive(task)
        else:
            driving.follow_down()

    def _checkpoint(self, now: float) -> bool:
        """Return whether the task must let the loop run before it takes this chunk.

        A stream whose chunks are all there already never suspends, so that no cancel and no
        disconnect could reach the task: for as long as the backlog lasts.
        """
        progress = self._progress
        interval = self.call.observer.checkpoint_interval
        progress.due = now + (interval or math.inf)
        if not interval:
            return False
        if type(self.coro) is _Held:  # the loop has run for this chunk, however long it took
            return False
        progress.chunks -= 1  # it is taken again when the loop has run
        self.call.acted(Action.CHECKPOINT)
        stop = sys.exc_info()[1]
        self.coro = _Held(getattr(stop, "value", None))
        return True

    def send(self, value: Any) -> Any:
        """Resume the coroutine."""
        return self.__next__() if value is None else self.coro.send(value)

    def throw(self, typ: Any, val: Any = None, tb: TracebackType | None = None) -> Any:
        """Throw into the coroutine, after the call has been told."""
        exc = thrown_instance(typ, val, tb)
        try:
            if _is_unstarted(self.coro):  # the task ended before it began: the stream is untouched
                coro, self.coro = self.coro, None
                return coro.throw(exc)
            self.call.thrown(exc)
            return self.coro.throw(exc)
        except StopIteration:
            self._progress.got_chunk(self._clock())
            self.coro = None
            raise
        except BaseException as left:  # the host's: noted and passed on
            if self.coro is None or not self._left(left):
                raise
        finally:
            del exc, typ, val, tb  # else its traceback, which has this frame, keeps it alive
        return self.coro.send(None)

    def close(self) -> None:
        """Close the coroutine: the frame that waited for the chunk is destroyed."""
        coro, self.coro = self.coro, None
        if coro is None:
            return
        unstarted = _is_unstarted(coro)
        coro.close()
        if not unstarted:
            self.call.dropped()  # the collector may be what closes it

    @property
    def runs(self) -> bool:
        """Return whether who asks is called by the coroutine that is awaited."""
        running: bool = getattr(self.coro, "cr_running", False)
        return running

    @property
    def cr_await(self) -> object:
        """What is awaited: lets a walk along the await chain pass through."""
        return self.coro

    def _left(self, exc: BaseException) -> bool:
        """End the call; return whether there is something else to await in the chunk's place."""
        call, self.coro = self.call, None
        if call.ended:
            return False
        if isinstance(exc, StopAsyncIteration):
            call.end(Exit.RETURNED)
        elif isinstance(exc, GeneratorExit):
            call.dropped()  # the collector may be what closes it
        elif not isinstance(exc, CancelledError):
            call.end(Exit.RAISED, exc)
            # The Router may wait for the first chunk itself, and try again.
            attempt_fails(call.description)
        else:
            if call.is_internal(exc):
                self.coro = self._substitute(exc)
            call.end(Exit.CANCELLED, exc)
        return self.coro is not None

    def _substitute(self, exc: BaseException) -> Any:
        try:
            return getattr(self._owner(), SUBSTITUTE)(exc)
        except Exception as fault:  # noqa: BLE001 - ours: the host's exception goes on
            self.call.observer.faults.note("stream.substitute", fault)
            return None


def _is_unstarted(coro: Any) -> bool:
    """Return whether a coroutine has not begun: whatever is thrown into it touches nothing."""
    return isinstance(coro, CoroutineType) and getcoroutinestate(coro) == CORO_CREATED


class _Held:
    """A chunk that waits for the loop to have run once."""

    def __init__(self, chunk: Any) -> None:
        self._chunk = chunk

    def send(self, _: None) -> Any:
        raise StopIteration(self._chunk)

    def throw(self, exc: BaseException) -> Any:
        try:
            raise exc
        finally:
            del exc

    def close(self) -> None:
        """Let the chunk go."""


class PeekingStep(ChunkStep):
    """Looks at each chunk of a stream that keeps none: the last one says that it is whole."""

    __slots__ = ()

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except StopIteration as stop:
            peek(self.call, stop.value)
            raise


def peek(call: Call, chunk: object) -> None:
    """Note whether a chunk is the last one of its answer."""
    try:
        call.progress.whole = call.progress.whole or is_last(chunk)
    except Exception as fault:  # noqa: BLE001 - ours: a chunk may be anything, and goes on
        call.observer.faults.note("stream.peek", fault)


class FirstStep(ChunkStep):
    """Awaits the first chunk with the call as the current one: some providers are asked only now.

    Where LiteLLM makes a stream's first events itself, as it does where it bridges one API to
    another, it goes on until the provider is asked.
    """

    __slots__ = ("_asked", "_peeks")

    def __init__(self, call: Call, owner: Any, *, peeks: bool = False) -> None:
        super().__init__(call, owner)
        self._peeks = peeks
        self._asked: Any = None
        """The coroutine whose driver is known."""

    def __next__(self) -> Any:
        if self._asked is not self.coro:  # not when it is resumed: a cancel may be on its way
            self._asked = self.coro
            self.call.drive(running_task())
        token = CURRENT.set(self.call)
        try:
            return super().__next__()
        except StopIteration as stop:
            if self._peeks:
                peek(self.call, stop.value)
            raise
        finally:
            put_back(CURRENT, token)
            self._first()

    def throw(self, typ: Any, val: Any = None, tb: TracebackType | None = None) -> Any:
        """Throw into the coroutine, after the call has been told."""
        token = CURRENT.set(self.call)
        try:
            return super().throw(typ, val, tb)
        finally:
            del typ, val, tb
            put_back(CURRENT, token)
            self._first()

    def _first(self) -> None:
        progress, owner = self._progress, self._owner()
        if not progress.chunks or owner is None:
            return
        if progress.first_chunk is None:
            progress.first_chunk = progress.last_chunk
            self.call.forget_taken_back()
        if not self._peeks or self.call.upstream is not None:
            step = (PeekingStep if self._peeks else ChunkStep)(self.call, self._owner)
            progress.source = step
            setattr(owner, STEP, step)
