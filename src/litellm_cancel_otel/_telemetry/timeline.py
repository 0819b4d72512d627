"""What lies between a call's moments: durations for the metrics, wall-clock times for the span."""

from typing import NamedTuple

from .._contract.records import Times

NANOSECONDS = 1_000_000_000


class Clocks(NamedTuple):
    """What both clocks say at one moment: a call's own, and the wall's in nanoseconds."""

    now: float
    now_ns: int


def since_cancel(times: Times, moment: float | None) -> float | None:
    """Return the seconds from the cancel to a moment, at least 0; None where either is unknown.

    A close that the provider's client began before anybody saw the cancel is not a negative time:
    it took none.
    """
    if times.cancelled is None or moment is None:
        return None
    return max(0.0, moment - times.cancelled)


def time_to_cancel(times: Times) -> float:
    """Return the seconds from the call's start to its cancel."""
    came = times.cancelled if times.cancelled is not None else times.end
    return max(0.0, came - times.start)


def wall_clock(moment: float, now: float, now_ns: int) -> int:
    """Return a monotonic clock's moment as nanoseconds since the epoch, given both clocks now."""
    return now_ns - round((now - moment) * NANOSECONDS)
