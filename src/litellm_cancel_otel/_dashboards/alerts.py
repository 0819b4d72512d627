"""The alerts, as data.

An alert reads recorded series by their bare names only, so that Grafana can be given the same
alert with the recorded expression in their place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from .._contract import semconv as sc
from .._contract.prometheus import UPTIME, family, label
from . import style
from .promql import INSTANCE, JOB, Source
from .recordings import (
    CANCELLED,
    FAULTS,
    HEARD,
    INTERNAL_COUNT,
    INTERNAL_RATIO,
    LOST,
    STOPPED,
    STUCK,
    SWALLOWED,
    UNDELIVERED,
    UPSTREAM_COUNT,
    UPSTREAM_LATE,
    UPSTREAM_RATIO,
    ended,
    late,
)

PROVIDER: Final = label(sc.PROVIDER)


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert: when, for how long, how bad, what it says, where it shows and where to read on.

    ``panel`` is a dashboard's name and the title of a panel on it, ``section`` the runbook's.
    """

    name: str
    expr: str
    for_: str
    severity: str
    panel: tuple[str, str]
    section: str
    summary: str
    description: str
    labels: Mapping[str, str] = field(default_factory=dict)


BUDGET: Final = 0.01
"""One of 100 cancelled calls may run its finally later than the objective says."""
FAST, SLOW = 14.4 * BUDGET, 6 * BUDGET
"""A month's budget gone in two days, and in five."""
ENOUGH: Final = 20
"""Fewer cancels than these in the window say nothing of a p99."""

UPSTREAM_SHARE: Final = 0.05
CHUNKS_A_CANCEL: Final = 10
CHUNKS_AT_LEAST: Final = 100

INTERNAL_TIMES: Final = 3
INTERNAL_SHARE: Final = 0.01
INTERNAL_AT_LEAST: Final = 5
USUAL_STEP: Final = "5m"
USUAL_AT_LEAST: Final = 12
"""Steps of the last day that must be known before there is a usual: an hour."""

SILENT_AFTER: Final = "5m"
MISSED_FOR: Final = "6h"
LAST_WORD_SECONDS: Final = 30
"""Who stopped on purpose says so with the last that is heard, or at most so long before it."""


def alerts() -> list[Alert]:
    """Return every alert."""
    return [
        _stuck(),
        *_finally_late(),
        _upstream(),
        _internal(),
        _swallowed(),
        _silent(),
        _spans_lost(),
        _collector_away(),
        _faults(),
    ]


def _stuck() -> Alert:
    return Alert(
        "LitellmCancelStreamsStuck",
        f"{STUCK} > 0",
        "3m",  # longer than what a replica that died said last is taken for fresh
        "warning",
        ("stuck", "Where they are"),
        "stuck-streams",
        f"{{{{ $value }}}} streams of {{{{ $labels.job }}}} stuck at {{{{ $labels.{PROVIDER} }}}} "
        f"({{{{ $labels.{sc.REASON} }}}})",
        f"{{{{ $value }}}} streams of {{{{ $labels.job }}}} to {{{{ $labels.{PROVIDER} }}}} should "
        "have ended or moved by now and have not. Each holds a connection and memory, and the "
        "provider may still be generating. The dashboard *Stuck streams* names the replicas.",
    )


def _finally_late() -> list[Alert]:
    objective = f"{style.FINALLY_OBJECTIVE * 1e3:g} ms"

    def burn(name: str, long: str, short: str, limit: float, for_: str, severity: str) -> Alert:
        return Alert(
            name,
            f"{late(long)} > {limit:g}\n"
            f"and {late(short)} > {limit:g}\n"
            f"and {ended(long)} >= {ENOUGH}",
            for_,
            severity,
            ("overview", "Finally p99, by provider"),
            "finally-is-late",
            "{{ $value | humanizePercentage }} of the cancelled calls of "
            "{{ $labels.job }} are cleaned up late",
            f"Over {long} and still over the last {short}, {{{{ $value | humanizePercentage }}}} "
            f"of the cancelled calls ran their finally more than {objective} after the disconnect; "
            f"the objective allows {BUDGET:.0%}. Connections, memory and the provider's tokens are "
            "held for people who are gone.",
        )

    return [
        burn("LitellmCancelFinallyLateFastBurn", "1h", "5m", FAST, "2m", "critical"),
        burn("LitellmCancelFinallyLateSlowBurn", "6h", "30m", SLOW, "15m", "warning"),
    ]


def _upstream() -> Alert:
    return Alert(
        "LitellmCancelUpstreamLeftOpen",
        f"({UPSTREAM_RATIO} > {UPSTREAM_SHARE:g} and {UPSTREAM_COUNT} >= {ENOUGH})\n"
        f"or ({UNDELIVERED} > {CHUNKS_A_CANCEL} * ({CANCELLED} or {UNDELIVERED} * 0)\n"
        f"and {UNDELIVERED} >= {CHUNKS_AT_LEAST})",
        "10m",
        "warning",
        ("overview", "Upstream close, p99"),
        "upstream-left-open",
        f"{{{{ $labels.{PROVIDER} }}}} goes on answering clients of {{{{ $labels.job }}}} that are "
        "gone",
        f"More than {UPSTREAM_SHARE:.0%} of the responses of {{{{ $labels.{PROVIDER} }}}} stay "
        f"open longer than {UPSTREAM_LATE:g} s after the disconnect, or more than "
        f"{CHUNKS_A_CANCEL} chunks come in for each cancelled call. What the provider generates "
        "for nobody is billed all the same.",
    )


def _internal() -> Alert:
    day = f"{INTERNAL_RATIO}[1d:{USUAL_STEP}] offset 15m"
    return Alert(
        "LitellmCancelInternalAboveUsual",
        f"{INTERNAL_RATIO} > {INTERNAL_TIMES} * avg_over_time({day})\n"
        f"and count_over_time({day}) >= {USUAL_AT_LEAST}\n"
        f"and {INTERNAL_RATIO} > {INTERNAL_SHARE:g}\n"
        f"and {INTERNAL_COUNT} >= {INTERNAL_AT_LEAST}",
        "5m",
        "warning",
        ("provider", "Internal share"),
        "internal-cancellations",
        f"{{{{ $labels.{PROVIDER} }}}} cancels {{{{ $value | humanizePercentage }}}} of the calls "
        "of {{ $labels.job }} by itself",
        f"That is more than {INTERNAL_TIMES} times its usual of the last day. Nobody on the "
        "caller's side asked for it. On Azure (azure.ai.openai) the caller sees "
        "AzureCancellationError, so LiteLLM retries and falls back; each retry costs time and "
        "tokens.",
    )


def _swallowed() -> Alert:
    return Alert(
        "LitellmCancelSwallowed",
        f"{SWALLOWED} > 0",
        "0m",
        "warning",
        ("stuck", "Swallowed cancels"),
        "swallowed-cancels",
        f"A cancel was swallowed in {{{{ $labels.job }}}} (seam {{{{ $labels.{sc.SEAM} }}}})",
        "A call returned as if nothing had happened although its task had been told to stop. "
        "Whoever waits for that task, a shutdown or a timeout, waits on. Some code around the call "
        "catches CancelledError and does not raise it again.",
    )


def _silent() -> Alert:
    heartbeat = Source("").heartbeat()
    fresh = f"{heartbeat} and present_over_time({heartbeat}[{SILENT_AFTER}])"
    missed, in_steps = f"[{MISSED_FOR}]", f"[{MISSED_FOR}:1m]"
    return Alert(
        "LitellmCancelTelemetrySilent",
        f"group by ({JOB}) (last_over_time({heartbeat}{missed}))\n"
        f"unless group by ({JOB}) ({fresh})\n"
        f"unless max_over_time({STOPPED}{in_steps})"
        f" >= max_over_time({HEARD}{in_steps}) - {LAST_WORD_SECONDS}\n"
        # What is scraped and is no target any more was taken away.
        f"unless (group by ({JOB}) (last_over_time(up{missed})) unless group by ({JOB}) (up))",
        "5m",
        "critical",
        ("telemetry", "Age of the last sample"),
        "telemetry-silent",
        "No cancellation telemetry from {{ $labels.job }}",
        "Not one replica of {{ $labels.job }} has reported for more than five minutes, and some "
        f"had within the last {MISSED_FOR}; none said that it stops. Every other alert of this "
        f"group is blind until it is "
        "back.",
    )


def _spans_lost() -> Alert:
    return Alert(
        "LitellmCancelSpansLost",
        f"{LOST} > 0",
        "0m",
        "warning",
        ("telemetry", "Spans lost by the SDK"),
        "dropped-spans",
        "{{ $value | humanize }} spans lost by {{ $labels.job }}",
        "In the last ten minutes {{ $labels.job }} gave up {{ $value | humanize }} spans: its "
        "queue was full, or nobody took them. The metrics are right; tables of traces and "
        "exemplars have a hole.",
    )


def _collector_away() -> Alert:
    uptime = family(UPTIME)
    return Alert(
        "LitellmCancelCollectorAway",
        f"(min_over_time(up[5m]) < 1\nand on ({JOB}, {INSTANCE}) last_over_time({uptime}[1h]))\n"
        f"or resets({uptime}[5m]) > 0",
        "0m",
        "warning",
        ("telemetry", "Spans lost in Collectors"),
        "collector-away",
        "The Collector {{ $labels.instance }} of {{ $labels.job }} was away",
        "In the last five minutes it did not answer, or began anew. The traces that waited in its "
        "memory for their decision are lost, and applications may have given up spans that they "
        "could not send. Metrics make up for it with their next export.",
    )


def _faults() -> Alert:
    return Alert(
        "LitellmCancelTelemetryFaults",
        f"{FAULTS} > 0",
        "0m",
        "info",
        ("telemetry", "Internal errors, by seam"),
        "internal-errors",
        f"Faults in the cancellation telemetry of {{{{ $labels.job }}}} "
        f"(seam {{{{ $labels.{sc.SEAM} }}}})",
        "The telemetry package failed at this seam {{ $value }} times in 15 minutes. No call was "
        "harmed, but what the fault kept from being measured is missing on the dashboards.",
    )
