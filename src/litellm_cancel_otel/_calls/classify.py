"""External or internal, and the rest of the verdict: evidence in, verdict out, nothing else.

``task.cancelled()`` is no evidence (it is always False inside the running task), and neither is
a high ``cancelling()``, which an earlier, swallowed cancel may have left behind: only its *rise*
since the driver began to drive the call is.
"""

from .._contract.records import EndedBy, Evidence, Exit, Outcome, Phase, Signal, Source, Verdict


def classify(seen: Evidence) -> Verdict:
    """Return what a call's end means.

    The rules, first match first:

    1. the stream was closed or dropped by its consumer, or the driver's ``cancelling()`` rose and a
       CancelledError came out: external; but after the provider's ``finish_reason`` the answer was
       whole, and the call is completed;
    2. a CancelledError came out, or hides in the chain of the exception that did: internal;
    3. anything else ended by itself; where the caller's cancel was thrown in all the same, it
       was swallowed on the way.
    """
    told_to_stop = seen.cancelling_rise > 0
    left = seen.exit in (Exit.CLOSED, Exit.DROPPED)
    if left or (seen.exit is Exit.CANCELLED and told_to_stop):
        return Verdict(Outcome.COMPLETED) if seen.whole else _external(seen)
    if not told_to_stop and (seen.cancelled_within or seen.exit is Exit.CANCELLED):
        return Verdict(
            Outcome.CANCELLED,
            source=Source.PROVIDER,
            phase=Phase.STREAMING if seen.chunks else Phase.REQUEST,
            signal=Signal.CANCEL,
            ended_by=EndedBy.EXCEPTION,
        )
    outcome = Outcome.COMPLETED if seen.exit is Exit.RETURNED else Outcome.ERROR
    return Verdict(outcome, swallowed=told_to_stop and seen.delivered)


def _external(seen: Evidence) -> Verdict:
    return Verdict(
        Outcome.CANCELLED,
        external=True,
        source=_source(seen),
        phase=_phase(seen),
        signal=_signal(seen),
        ended_by=_ended_by(seen),
    )


def _source(seen: Evidence) -> Source:
    if seen.disconnect is not None:
        return Source.CLIENT_DISCONNECT
    if _told_to_stop(seen):
        if seen.shutdown:
            return Source.SHUTDOWN
        return Source.DEADLINE if seen.deadline else Source.TASK_CANCEL
    # The guard's close stands in for the consumer's, which never came.
    if seen.exit is Exit.DROPPED or seen.by_guard:
        return Source.ABANDONED
    return Source.ACLOSE


def _told_to_stop(seen: Evidence) -> bool:
    """Return whether a cancel of its driver's is why the call ended.

    It may have reached the driver in an await of its own, between two chunks: then the stream is
    closed or dropped as the driver unwinds.
    """
    if seen.exit is Exit.CANCELLED:
        return True
    return seen.cancelling_rise > 0 and not seen.driver_done and not seen.by_guard


def _phase(seen: Evidence) -> Phase:
    if seen.closing and seen.exit is Exit.CANCELLED:
        return Phase.CLOSING
    if seen.chunks:
        return Phase.STREAMING
    return Phase.BACKOFF if seen.backoff else Phase.REQUEST


def _signal(seen: Evidence) -> Signal:
    if seen.disconnect is not None:
        return seen.disconnect
    if _told_to_stop(seen):
        return Signal.CANCEL
    if seen.driver_done:
        return Signal.TASK_DONE
    return Signal.GC if seen.exit is Exit.DROPPED else Signal.ACLOSE


def _ended_by(seen: Evidence) -> EndedBy:
    if seen.by_guard:
        return EndedBy.GUARD
    if seen.exit is Exit.CANCELLED or (seen.exit is Exit.DROPPED and _told_to_stop(seen)):
        return EndedBy.EXCEPTION
    return EndedBy.GC if seen.exit is Exit.DROPPED else EndedBy.ACLOSE
