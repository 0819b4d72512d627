"""The dashboard that says whether the other three can be believed."""

from .._contract import semconv as sc
from .._contract.prometheus import EXPORTED, FAILED, NOT_QUEUED, PROCESSED, REFUSED
from . import style
from .frame import CALLS, RATE, REPLICAS, SHOWN, Board, Row
from .panels import areas, grid, lines, tile
from .parts import About, Column, Line, Panel
from .promql import INSTANCE, JOB, Source, differs, equal, leading, matches, share

COLLECTOR = Source("$__rate_interval")


def board() -> Board:
    """Return the dashboard *The telemetry itself*."""
    return Board(
        "telemetry",
        "LiteLLM cancellations: the telemetry itself",
        "Is what the other dashboards show complete and fresh, and what does it take?",
        [
            Row("", 3, [(6, panel) for panel in _tiles()]),
            Row("Complete?", 8, [(8, _errors()), (8, _dropped()), (8, _collector())]),
            Row("Fresh?", 8, [(12, _age()), (12, _reporting())]),
            Row("How much is it?", 8, [(10, _series()), (14, _by_metric())]),
        ],
    )


def _age_of_last() -> str:
    return f"time() - timestamp({REPLICAS.heartbeat()})"


def _tiles() -> list[Panel]:
    instances = f"count (group by ({JOB}, {INSTANCE}) ({REPLICAS.alive()}))"
    errors = REPLICAS.over(SHOWN).increase(sc.INTERNAL_ERRORS)
    other = CALLS.where(equal(sc.REQUEST_MODEL, sc.OTHER)).rate(sc.CALLS)
    return [
        tile(
            About(
                "Replicas",
                "Processes whose telemetry came in during the last two minutes. Fewer than run: "
                "some are not instrumented, or a worker's exporter is not reached.",
                "telemetry-silent",
            ),
            Line(instances, "instances"),
            style.COUNT,
            none="none",
        ),
        tile(
            About(
                "Internal errors",
                "Faults of the telemetry package itself in the time shown. None reached a caller, "
                "but what a fault kept from being measured is missing here. Report them.",
                "internal-errors",
            ),
            Line(errors, "errors"),
            style.COUNT,
            steps={1: style.RED},
            decimals=0,
        ),
        tile(
            About(
                "Oldest sample",
                "Time since the replica that has been silent longest was scraped or exported. "
                "More than two intervals: it hangs, or the way to Prometheus is broken.",
                "telemetry-silent",
            ),
            Line(f"max ({_age_of_last()})", "age"),
            style.SECONDS,
            steps={90: style.AMBER, 180: style.RED},
        ),
        tile(
            About(
                "Models past limit",
                f"Share of the calls whose model is counted as `{sc.OTHER}`. There are two kinds. "
                "Models beyond the first `max_models`: raise that setting to see them apart. "
                "Models of calls that failed before any answer: their names may be made up, and "
                "raising the setting changes nothing.",
                "internal-errors",
            ),
            Line(share(other, CALLS.rate(sc.CALLS)), "other"),
            style.PERCENT,
            steps={0.01: style.AMBER},
            none="no calls",
            decimals=1,
        ),
    ]


def _errors() -> Panel:
    # These two say only that somebody reports, and that nobody does any more.
    faults = REPLICAS.where(differs(sc.SEAM, sc.NO_FAULT), differs(sc.SEAM, sc.STOPPED))
    return lines(
        About(
            "Internal errors, by seam",
            "How many, and where in LiteLLM our own code failed. After an upgrade of LiteLLM: run "
            "`litellm-cancel-otel doctor`, and report the seam.",
            "internal-errors",
        ),
        [Line(faults.increase(sc.INTERNAL_ERRORS, sc.SEAM), f"{{{{{sc.SEAM}}}}}")],
        style.COUNT,
        colours={},
        none="no fault",
    )


def _dropped() -> Panel:
    failed = REPLICAS.where(matches(sc.ERROR_TYPE, ".+"))
    return areas(
        About(
            "Spans lost by the SDK",
            "A second: spans that a full queue threw away, or that an exporter could not hand "
            "over. Needs `OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED=true`; see operations. "
            "Dropping: raise `OTEL_BSP_MAX_QUEUE_SIZE`, or look at the Collector.",
            "dropped-spans",
        ),
        [
            Line(failed.rate(PROCESSED, sc.ERROR_TYPE), "dropped: {{error_type}}"),
            Line(failed.rate(EXPORTED, sc.ERROR_TYPE), "not exported: {{error_type}}"),
        ],
        style.A_SECOND,
        {"dropped:": style.RED, "not exported:": style.AMBER},
        none="none, or the SDK does not say",
    )


def _collector() -> Panel:
    return areas(
        About(
            "Spans lost in Collectors",
            "A second: spans that the Collector refused (out of memory, so give it more), had no "
            "place for in its queue, or could not send on (Tempo is down or slow). Empty where "
            "Prometheus does not scrape the Collector.",
            "dropped-spans",
        ),
        [
            Line(COLLECTOR.rate(REFUSED, "receiver"), "refused: {{receiver}}"),
            Line(COLLECTOR.rate(NOT_QUEUED, "exporter"), "no place: {{exporter}}"),
            Line(COLLECTOR.rate(FAILED, "exporter"), "not sent: {{exporter}}"),
        ],
        style.A_SECOND,
        {"refused:": style.RED, "no place:": style.PURPLE, "not sent:": style.AMBER},
        none="none, or no Collector is scraped",
    )


def _age() -> Panel:
    age = f"max by ({JOB}, {INSTANCE}) ({_age_of_last()})"
    longest = f"max_over_time(({_age_of_last()})[{SHOWN}:{RATE}] @ end())"
    return lines(
        About(
            "Age of the last sample",
            "By instance, the eight that were silent longest. A saw-tooth as high as the scrape or "
            "export interval is right. A slope: that replica is silent; where the process lives, "
            "its exporter does not.",
            "telemetry-silent",
        ),
        [Line(leading(age, f"max by ({INSTANCE}) ({longest})", INSTANCE), "{{instance}}")],
        style.AGE,
        colours={},
        many=True,
    )


def _reporting() -> Panel:
    group = f"group by ({JOB}, {INSTANCE}) ({REPLICAS.alive()})"
    return areas(
        About(
            "Replicas that report",
            "Should follow the number of processes: replicas times workers. A step down without a "
            "deployment is telemetry lost.",
            "telemetry-silent",
        ),
        [Line(f"count by ({JOB}) ({group})", "{{job}}")],
        style.COUNT,
        {},
    )


def _series() -> Panel:
    names = matches("__name__", "litellm_cancel_.+")
    selected = f"{{{', '.join((names, *REPLICAS.matchers))}}}"
    series, at_end = (f"count by ({INSTANCE}) ({selected}{at})" for at in ("", " @ end()"))
    return areas(
        About(
            "Active series, by instance",
            "What this telemetry takes in Prometheus, in the eight instances with most. Growing "
            "without end: a value that is not bounded, so report it; high from the start: lower "
            "`max_models`.",
            "internal-errors",
        ),
        [Line(leading(series, at_end, INSTANCE), "{{instance}}")],
        style.COUNT,
        {},
        many=True,
    )


def _by_metric() -> Panel:
    names = matches("__name__", "litellm_cancel_.+")
    selected = f"{{{', '.join((names, *REPLICAS.matchers))}}}"
    return grid(
        About(
            "Active series, by metric",
            "The histograms are the most. `docs/operations.md` has the arithmetic to compare with.",
            "internal-errors",
        ),
        [Column("series", f"count by (__name__) ({selected})", style.COUNT, width=80)],
        {"__name__": "metric"},
        sort="series",
    )
