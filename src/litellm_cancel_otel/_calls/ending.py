"""What the end of a call is made of: its parts are read, once, and nothing is changed."""

import asyncio
import sys
from collections.abc import Callable
from typing import Protocol, TypeVar

from .._asyncio.cancels import cancelled_within, shutting_down
from .._asyncio.deadlines import deadline_expired, scope_expired
from .._asyncio.tasks import running_task
from .._contract.records import CallFacts, Ending, Evidence, Exit, Outcome, Times, Verdict
from .classify import classify
from .description import Description
from .driving import Driving
from .observer import Observer
from .progress import Progress
from .signs import Signs
from .state import State
from .upstream import Upstream


class Record(Protocol):
    """The parts of a call that its ending is made of."""

    clock: Callable[[], float]
    start: float
    description: Description
    driving: Driving
    progress: Progress
    signs: Signs
    upstream: Upstream | None
    may_retry: bool

    def facts(self) -> CallFacts:
        """Return what the call is, as far as it is known by now."""


C = TypeVar("C", bound=Record)


def ending_of(
    call: C, observer: Observer[C], state: State, exit_: Exit, exc: BaseException | None
) -> Ending:
    """Return the end of a call that was in ``state``: what was seen, and what it means."""
    signs, progress, upstream = call.signs, call.progress, call.upstream
    disconnect, drop, thrown = signs.disconnect, signs.drop, signs.thrown
    if exit_ is Exit.DROPPED and drop is not None:
        now, rise, shutdown = drop.at, drop.rise, drop.in_shutdown
    else:
        now, rise = call.clock(), call.driving.rise()
        shutdown = rise > 0 and shutting_down(sys._getframe(1))
    driver_done = call.driving.done_at
    if driver_done is not None and driver_done > now:
        driver_done = None
    facts = call.facts()
    verdict = classify(
        Evidence(
            exit=exit_,
            cancelling_rise=rise,
            delivered=signs.told_to_stop,
            cancelled_within=cancelled_within(exc) is not None,
            chunks=progress.chunks,
            closing=signs.closing_since is not None,
            deadline=_deadline_expired(call),
            shutdown=signs.shutdown or shutdown,
            disconnect=None if disconnect is None else disconnect.signal,
            driver_done=driver_done is not None,
            by_guard=signs.by_guard,
            whole=progress.whole or facts.whole,
            backoff=state is State.FAILING and call.may_retry,
        )
    )
    cancelled = exit_ in (Exit.CANCELLED, Exit.RAISED)
    delivered = thrown.at if cancelled and thrown is not None else None
    gone = None if disconnect is None else disconnect.at
    moments = (gone, delivered, driver_done, signs.closing_since)
    came = next((moment for moment in moments if moment is not None), now)
    undelivered = 0 if disconnect is None else progress.chunks - disconnect.chunks
    if state is State.STREAMING or state is State.CLOSING:
        wasted = undelivered / progress.chunks if progress.chunks else 0.0
    else:  # whole, or nothing
        wasted = float(disconnect is not None and exit_ is Exit.RETURNED)
    # Asked before its time is read: the asking notes a close by the transport itself.
    upstream_open = upstream is not None and upstream.is_open(now) and exit_ is not Exit.RETURNED
    return Ending(
        facts=facts,
        verdict=verdict,
        times=Times(
            start=call.start,
            end=now,
            first_chunk=progress.first_chunk,
            cancelled=came,
            cancel_delivered=delivered,
            upstream_closed=None if upstream is None else upstream.closed_at,
        ),
        chunks=progress.chunks,
        error_type=_error_type(exc, verdict),
        upstream_open=upstream_open,
        unstoppable=upstream_open and upstream is not None and upstream.in_thread,
        undelivered=undelivered,
        wasted=wasted,
        output_price=call.description.output_price() if wasted else None,
        actions=signs.actions,
        stuck=observer.times_stuck(call),
        loop_lag=observer.blocked(call, came, now),
        swallowed_in="call" if thrown is None else thrown.into,
        cancel_message=thrown.message if thrown is not None and observer.cancel_messages else None,
    )


def _deadline_expired(call: Record) -> bool:
    """Return whether a deadline of the call's driver, or of the running task, has expired."""
    thrown, driver, running = call.signs.thrown, call.driving.task, running_task()
    return (
        deadline_expired(driver, since=call.start)
        or (running is not driver and deadline_expired(running, since=call.start))
        or (thrown is not None and scope_expired(thrown.message))
    )


def _error_type(exc: BaseException | None, verdict: Verdict) -> str | None:
    """Return the exception's name; for an internal cancel that of what happened.

    What the HTTP client and LiteLLM make of the cancel depends on the transport and the version.
    """
    if verdict.outcome is Outcome.CANCELLED and not verdict.external:
        return asyncio.CancelledError.__name__
    return None if exc is None else type(exc).__qualname__
