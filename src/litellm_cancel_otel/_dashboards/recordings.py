"""The recording rules, as data: what Prometheus computes for the alerts and for long ranges.

Grouped by ``job``, the service, and never by instance: a replica that is replaced must not
restart an alert.
"""

from dataclasses import dataclass
from typing import Final

from .._contract import semconv as sc
from .._contract.prometheus import EXPORTED, FAILED, NOT_QUEUED, PROCESSED, REFUSED, family
from . import style
from .promql import JOB, Source, differs, equal, matches, share, total

UPSTREAM_LATE: Final = 1.0
"""Seconds after which a provider's response counts as left open; ten times its objective."""

_INTERNAL: Final = differs(sc.CANCELLATION_TYPE, sc.EXTERNAL)
_BY: Final = (JOB, sc.PROVIDER)


@dataclass(frozen=True, slots=True)
class Recording:
    """A series that Prometheus computes for the alerts and for long ranges."""

    record: str
    expr: str


def _over(window: str) -> Source:
    return Source(window)


def late(window: str) -> str:
    """Return the series of the share of finallys that ran late over a window."""
    return f"job:litellm_cancel_finally_late:ratio_rate{window}"


def ended(window: str) -> str:
    """Return the series of how many finallys ran over a window."""
    return f"job:litellm_cancel_finally:increase{window}"


CANCELLED_SHARE: Final = "job_provider:litellm_cancel_cancelled:ratio_rate5m"
FINALLY_P99: Final = "job_provider:litellm_cancel_disconnect_to_finally_seconds:p99_rate5m"
UPSTREAM_P99: Final = "job_provider:litellm_cancel_disconnect_to_upstream_close_seconds:p99_rate5m"
INTERNAL_COUNT: Final = "job_provider:litellm_cancel_internal:increase15m"
INTERNAL_RATIO: Final = "job_provider:litellm_cancel_internal:ratio_increase15m"
UPSTREAM_RATIO: Final = "job_provider:litellm_cancel_upstream_late:ratio_rate10m"
UPSTREAM_COUNT: Final = "job_provider:litellm_cancel_upstream:increase10m"
UNDELIVERED: Final = "job_provider:litellm_cancel_undelivered:increase10m"
CANCELLED: Final = "job_provider:litellm_cancel_cancellations:increase10m"
STUCK: Final = "job_provider_reason:litellm_cancel_streams_stuck:sum"
SWALLOWED: Final = "job_provider_seam:litellm_cancel_swallowed:increase15m"
FAULTS: Final = "job_seam:litellm_cancel_internal_errors:increase15m"
HEARD: Final = "job:litellm_cancel_heard:timestamp"
STOPPED: Final = "job:litellm_cancel_stopped:timestamp"
LOST: Final = "job:litellm_cancel_spans_lost:increase10m"


def recordings() -> list[Recording]:
    """Return every recording rule, each after those that it reads."""
    five, ten, quarter = _over("5m"), _over("10m"), _over("15m")
    cancelled = five.where(equal(sc.OUTCOME, "cancelled"))
    left_open = ten.where(differs(sc.OUTCOME, "completed"))  # what was read to its end is no leak
    internal = quarter.where(_INTERNAL).increase(sc.CANCELLATIONS, *_BY)
    return [
        Recording(
            CANCELLED_SHARE, share(cancelled.rate(sc.CALLS, *_BY), five.rate(sc.CALLS, *_BY))
        ),
        Recording(FINALLY_P99, five.quantile(0.99, sc.TO_FINALLY, *_BY)),
        Recording(UPSTREAM_P99, five.quantile(0.99, sc.TO_UPSTREAM_CLOSE, *_BY)),
        *(
            Recording(
                late(window),
                _over(window).slower(sc.TO_FINALLY, style.FINALLY_OBJECTIVE, JOB),
            )
            for window in ("5m", "30m", "1h", "6h")
        ),
        *(
            Recording(ended(window), _over(window).increase(sc.TO_FINALLY, JOB))
            for window in ("1h", "6h")
        ),
        Recording(INTERNAL_COUNT, internal),
        Recording(INTERNAL_RATIO, share(internal, quarter.increase(sc.CALLS, *_BY))),
        Recording(UPSTREAM_RATIO, ten.slower(sc.TO_UPSTREAM_CLOSE, UPSTREAM_LATE, *_BY)),
        Recording(UPSTREAM_COUNT, ten.increase(sc.TO_UPSTREAM_CLOSE, *_BY)),
        Recording(UNDELIVERED, left_open.increase(sc.UNDELIVERED, *_BY)),
        Recording(CANCELLED, ten.increase(sc.CANCELLATIONS, *_BY)),
        Recording(STUCK, total(five.now(sc.STREAMS_STUCK), *_BY, sc.REASON)),
        Recording(SWALLOWED, quarter.increase(sc.SWALLOWED, *_BY, sc.SEAM)),
        Recording(FAULTS, quarter.increase(sc.INTERNAL_ERRORS, JOB, sc.SEAM)),
        Recording(HEARD, f"max by ({JOB}) (timestamp({Source('').heartbeat()}))"),
        Recording(STOPPED, f"max by ({JOB}) (timestamp({_goodbye()}))"),
        Recording(LOST, _lost(ten)),
    ]


def _goodbye() -> str:
    return f"{family(sc.INTERNAL_ERRORS)}{{{equal(sc.SEAM, sc.STOPPED)}}}"


def _lost(ten: Source) -> str:
    """Return the spans that the SDK or a Collector gave up, by who gave them up."""
    failed = ten.where(matches(sc.ERROR_TYPE, ".+"))
    counts = [failed.increase(metric, JOB) for metric in (PROCESSED, EXPORTED)]
    counts += [ten.increase(metric, JOB) for metric in (REFUSED, FAILED, NOT_QUEUED)]
    named = (f'label_replace({count}, "lost", "{n}", "", "")' for n, count in enumerate(counts, 1))
    return f"sum by ({JOB}) ({' or '.join(named)})"
