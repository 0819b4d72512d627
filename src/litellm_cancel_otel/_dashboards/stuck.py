"""The dashboard for streams that are stuck while they are stuck."""

from .._contract import semconv as sc
from .._contract.prometheus import label
from .._contract.records import Reason
from . import shared, style
from .frame import CALLS, REPLICAS, SHOWN, Board, Row
from .panels import alerts, areas, grid, heat, lines, tile, traces
from .parts import About, Column, Line, Panel
from .promql import INSTANCE, equal, leading, most, total, zero_where

ALERTS = "LitellmCancel"


def board() -> Board:
    """Return the dashboard *Stuck streams*."""
    open_and_stuck = (_open(), shared.stuck_by_reason(CALLS), _oldest())
    return Board(
        "stuck",
        "LiteLLM cancellations: stuck streams",
        "Which streams are stuck now, why, since when and in which replica, and whether the event "
        "loop is to blame.",
        [
            Row("", 3, [(8, panel) for panel in _tiles()[:3]]),
            Row("", 3, [(8, panel) for panel in _tiles()[3:]]),
            Row("Stuck now", 8, [(16, _where()), (8, alerts(*_alerts()))]),
            Row("Open and stuck", 8, [(8, panel) for panel in open_and_stuck]),
            Row("Is it the event loop?", 8, [(12, _lag()), (12, _lag_heat())]),
            Row(
                "Cleaned up and not", 7, [(12, shared.swallowed(CALLS)), (12, shared.guard(CALLS))]
            ),
            Row("", 7, [(12, panel) for panel in _undelivered()]),
            Row("Traces", 7, [(24, _latest())]),
        ],
    )


def _tiles() -> list[Panel]:
    return [
        tile(
            About(
                "Open",
                "Streams that have not ended, well or not. Rising for hours without more calls: "
                "something keeps them; see *by reason*.",
                "stuck-streams",
            ),
            Line(zero_where(REPLICAS.reporting(), total(CALLS.now(sc.STREAMS_OPEN))), "open"),
            style.COUNT,
        ),
        *(_reason(reason, title, text) for reason, title, text in _REASONS),
        shared.oldest_tile(CALLS),
        tile(
            About(
                "Event loop lag, p99",
                "How late the loop runs what is due. Above 50 ms every cancel is late too, "
                "whatever the provider: look for blocking code.",
                "event-loop-lag",
            ),
            Line(REPLICAS.quantile(0.99, sc.LOOP_LAG), "p99"),
            style.SECONDS,
            steps={0.05: style.AMBER, 0.5: style.RED},
        ),
    ]


_REASONS = (
    (
        Reason.AFTER_DISCONNECT,
        "Client gone",
        "Stuck `after_disconnect`: the client has left and the call still runs. Look at the "
        "traces below for what holds it.",
    ),
    (
        Reason.ORPHANED,
        "Orphaned",
        "Stuck as `orphaned`: the task that read the stream is done, so nobody will ever end it. "
        "Find the `break` without `aclose()`.",
    ),
    (
        Reason.NO_CHUNK,
        "No chunk",
        "Stuck with `no_chunk`: the provider has sent nothing for too long. Right for a model "
        "that thinks for minutes: give it its own limit in `stuck_limits`.",
    ),
)


def _reason(reason: Reason, title: str, text: str) -> Panel:
    stuck = CALLS.where(equal(sc.REASON, reason)).now(sc.STREAMS_STUCK)
    return tile(
        About(title, text, "stuck-streams"),
        Line(zero_where(REPLICAS.reporting(), total(stuck)), reason),
        style.COUNT,
        steps={1: style.RED},
    )


def _where() -> Panel:
    by = (INSTANCE, sc.PROVIDER, sc.REQUEST_MODEL)
    stuck = total(CALLS.now(sc.STREAMS_STUCK), *by, sc.REASON)
    return grid(
        About(
            "Where they are",
            "One row a replica, provider, model and reason. All in one replica: restart that one "
            "after a look at `litellm-cancel-otel top` there. All of one provider: the provider.",
            "stuck-streams",
        ),
        [Column("stuck", f"{stuck} > 0", style.COUNT, bad=1, width=70)],
        {
            label(sc.REASON): "reason",
            shared.PROVIDER: "provider",
            label(sc.REQUEST_MODEL): "model",
            INSTANCE: "instance",
        },
        sort="stuck",
        widths={"reason": 126, "provider": 124},
        none="no stream is stuck",
    )


def _open() -> Panel:
    return areas(
        About(
            "Open streams, by provider",
            "What is being streamed at this moment. It should follow the traffic; a floor that "
            "rises and never falls is streams that nobody ends.",
            "stuck-streams",
        ),
        [Line(total(CALLS.now(sc.STREAMS_OPEN), sc.PROVIDER), f"{{{{{shared.PROVIDER}}}}}")],
        style.COUNT,
        style.PROVIDERS,
    )


def _oldest() -> Panel:
    oldest = most(CALLS.now(sc.OLDEST_AFTER_DISCONNECT), INSTANCE)
    ranking = CALLS.whole(SHOWN).peak(sc.OLDEST_AFTER_DISCONNECT, INSTANCE)
    return lines(
        About(
            "Oldest, by instance",
            "Age of the oldest stream whose client is gone, in the eight instances with the "
            "oldest. A slope of one second a second is one stream that stays; it ends where that "
            "is cleaned up. The dashed line is where the watchdog calls it stuck.",
            "stuck-streams",
        ),
        [Line(leading(oldest, ranking, INSTANCE), "{{instance}}")],
        style.AGE,
        colours={},
        many=True,
        objective=5,
    )


def _lag() -> Panel:
    late = REPLICAS.quantile(0.99, sc.LOOP_LAG, INSTANCE)
    ranking = REPLICAS.whole(SHOWN).quantile(0.99, sc.LOOP_LAG, INSTANCE)
    return lines(
        About(
            "Event loop lag, p99, by instance",
            "The eight latest. One instance alone: something blocks there. All of them: code that "
            "blocks in every request, or too little CPU. The dashed line is the objective of "
            "*finally*.",
            "event-loop-lag",
        ),
        [Line(leading(late, ranking, INSTANCE), "{{instance}}", exemplar=True)],
        style.DECADES,
        colours={},
        many=True,
        objective=style.FINALLY_OBJECTIVE,
        logarithmic=True,
    )


def _lag_heat() -> Panel:
    return heat(
        About(
            "Event loop lag",
            "How often the loop was how late. A second band high up is one piece of code that "
            "blocks now and then.",
            "event-loop-lag",
        ),
        REPLICAS.buckets(sc.LOOP_LAG),
        style.SECONDS,
    )


def _undelivered() -> list[Panel]:
    shown = CALLS.whole(SHOWN)
    by, name = sc.REQUEST_MODEL, f"{{{{{label(sc.REQUEST_MODEL)}}}}}"
    chunks = About(
        "Chunks for nobody a second",
        "The eight models with most of them. What providers still send after the disconnect, by "
        "model. It goes on while a stream is stuck `after_disconnect`, and costs what it costs.",
        "upstream-left-open",
    )
    tokens = About(
        "Tokens for nobody a second",
        "The same in output tokens, where LiteLLM knows them: mostly of answers that came to their "
        "end for a client that had gone.",
        "upstream-left-open",
    )
    return [
        lines(
            about,
            [Line(leading(CALLS.rate(metric, by), shown.rate(metric, by), by), name)],
            style.A_SECOND,
            colours={},
            many=True,
            none="none known",
        )
        for about, metric in ((chunks, sc.UNDELIVERED), (tokens, sc.UNDELIVERED_TOKENS))
    ]


def _latest() -> Panel:
    why = (sc.STUCK_REASON, sc.STUCK_AGE, sc.ENDED_BY, sc.DISCONNECT_TO_FINALLY)
    fields = (sc.PROVIDER, *why)
    chosen = ", ".join(f"span.{name}" for name in fields)
    late = f"span.{sc.DISCONNECT_TO_FINALLY} > 1"
    return traces(
        About(
            "Latest traces, stuck or late",
            "A stream that is stuck has its first span out while it is. Open one: its events say "
            "what came when, and where the stream waits. Empty without Tempo.",
            "stuck-streams",
        ),
        f'{{ (event:name = "{sc.EVENT_STUCK}" || {late}) }} | select({chosen})',
    )


def _alerts() -> tuple[About, str]:
    return (
        About(
            "Alerts",
            "The state of this package's alerts. One that fires links to its part of the runbook.",
            "alerts",
        ),
        ALERTS,
    )
