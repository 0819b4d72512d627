"""The dashboard that a person on call opens first."""

from typing import Final

from .._contract import semconv as sc
from . import money, shared, style
from .frame import CALLS, SHOWN, Board, Row
from .panels import areas, grid, heat, lines
from .parts import About, Column, Line, Panel
from .promql import differs, equal, share, total

_CANCELLED: Final = CALLS.where(equal(sc.OUTCOME, "cancelled"))
_EXTERNAL: Final = CALLS.where(equal(sc.CANCELLATION_TYPE, sc.EXTERNAL))
_INTERNAL: Final = CALLS.where(differs(sc.CANCELLATION_TYPE, sc.EXTERNAL))
_NAME: Final = f"{{{{{shared.PROVIDER}}}}}"


def board() -> Board:
    """Return the dashboard *Cancellation overview*."""
    return Board(
        "overview",
        "LiteLLM cancellations: overview",
        "Are cancelled calls cleaned up, which provider is the odd one out, which streams are "
        "stuck now, and what does it cost?",
        [
            *(Row("", 3, [(8, tile) for tile in three]) for three in shared.by_three(CALLS)),
            Row("Which provider is the odd one out?", 7, [(24, _providers())]),
            Row("Who cancels", 8, [(10, _share()), (7, _sides()), (7, _sources())]),
            Row("Clean-up after a disconnect", 7, [(8, panel) for panel in _finally()]),
            Row("", 8, [(8, _heat()), (8, _upstream()), (8, shared.stuck_by_reason(CALLS))]),
            Row("What it costs", 8, [(8, _wasted()), (8, _patience()), (8, shared.guard(CALLS))]),
            money.row(),
        ],
    )


def _providers() -> Panel:
    shown, by = CALLS.over(SHOWN), sc.PROVIDER
    cancelled, internal = _CANCELLED.over(SHOWN), _INTERNAL.over(SHOWN)
    calls, usual = shown.rate(sc.CALLS, by), CALLS.over("1d")
    was = share(_CANCELLED.over("1d").rate(sc.CALLS, by), usual.rate(sc.CALLS, by))
    stuck = f"{total(CALLS.now(sc.STREAMS_STUCK), by)} or {calls} * 0"
    wasted = share(cancelled.rate(sc.UNDELIVERED, by), cancelled.rate(sc.CALLS, by))
    one = "/d/litellm-cancel-provider?var-provider=${__value.raw}&${service:queryparam}"
    one += "&${__url_time_range}"
    return grid(
        About(
            "Providers side by side",
            "One row a provider: a coloured cell is the odd one out. Compare *cancelled* with "
            "*usual* (the last day): more external cancels mean impatient people, so look at time "
            "to cancel; internal ones mean the provider drops calls. Late *finally* or *close*, "
            "and chunks *wasted* on each cancelled call, mean that clients who are gone still "
            "cost. *Stuck* is now, all else over the time shown. "
            "Click a provider to look closer.",
            "which-provider",
        ),
        [
            Column("calls/s", calls, style.COUNT, decimals=2, width=80),
            Column(
                "cancelled", share(cancelled.rate(sc.CALLS, by), calls), style.PERCENT, width=80
            ),
            Column("usual", was, style.PERCENT, width=60),
            Column(
                "internal",
                share(internal.rate(sc.CANCELLATIONS, by), calls),
                style.PERCENT,
                warn=0.005,
                bad=0.02,
                width=66,
            ),
            *(
                Column(f"finally p{p}", shown.quantile(p / 100, sc.TO_FINALLY, by), style.SECONDS)
                for p in (50, 95)
            ),
            Column(
                "finally p99",
                shown.quantile(0.99, sc.TO_FINALLY, by),
                style.SECONDS,
                warn=style.FINALLY_OBJECTIVE,
                bad=style.FINALLY_OBJECTIVE * 10,
            ),
            Column(
                "close p99",
                shown.quantile(0.99, sc.TO_UPSTREAM_CLOSE, by),
                style.SECONDS,
                warn=style.UPSTREAM_OBJECTIVE,
                bad=style.UPSTREAM_OBJECTIVE * 10,
            ),
            Column("wasted", wasted, style.COUNT, warn=5, bad=10, decimals=1, width=64),
            Column("stuck", stuck, style.COUNT, bad=1, width=54),
        ],
        {shared.PROVIDER: "provider"},
        widths={"provider": 124},
        sort="calls/s",
        links={"provider": one},
    )


def _share() -> Panel:
    by, day = sc.PROVIDER, CALLS.over("1d")
    now = share(_CANCELLED.rate(sc.CALLS, by), CALLS.rate(sc.CALLS, by))
    was = share(_CANCELLED.over("1d").rate(sc.CALLS, by), day.rate(sc.CALLS, by))
    return lines(
        About(
            "Cancelled share and its usual",
            "How many of the calls that ended were cancelled; the dashed line is the same over the "
            "last day. Well above its own dashed line: find out who cancels (beside this) and when "
            "(time to cancel, below).",
            "which-provider",
        ),
        [Line(now, _NAME), Line(was, f"{_NAME} usual")],
        style.PERCENT,
        dashed="/ usual$/",
    )


def _sides() -> Panel:
    return areas(
        About(
            "External and internal",
            "Blue: the caller's side told the call to stop; no fault. Orange: the provider or the "
            "HTTP layer cancelled a call that nobody had given up; look at the provider.",
            "internal-cancellations",
        ),
        [
            Line(_EXTERNAL.rate(sc.CANCELLATIONS), sc.EXTERNAL),
            Line(_INTERNAL.rate(sc.CANCELLATIONS), style.INTERNAL),
        ],
        style.A_SECOND,
        style.CALLS,
    )


def _sources() -> Panel:
    return areas(
        About(
            "Sources, a second",
            "Who cancelled. `client_disconnect`: people leave. `deadline`: a timeout of the "
            "application, maybe too short. `abandoned`: code that breaks off a stream without "
            "`aclose()`; fix it. `shutdown`: a deployment. `provider`: not the caller at all.",
            "sources",
        ),
        [Line(CALLS.rate(sc.CANCELLATIONS, sc.SOURCE), "{{litellm_cancel_source}}")],
        style.A_SECOND,
        style.SOURCES,
    )


def _finally() -> list[Panel]:
    return [
        lines(
            About(
                f"Finally p{p}, by provider",
                f"{p} of 100 cancelled calls were unwound within this time of the disconnect. The "
                f"dashed line is the objective for p99, {style.FINALLY_OBJECTIVE * 1e3:g} ms. Late "
                "for all providers: the event loop or a middleware; for one: its client library.",
                "finally-is-late",
            ),
            [Line(CALLS.quantile(p / 100, sc.TO_FINALLY, sc.PROVIDER), _NAME, exemplar=p == 99)],
            style.DECADES,
            objective=style.FINALLY_OBJECTIVE,
            logarithmic=True,
        )
        for p in (50, 95, 99)
    ]


def _heat() -> Panel:
    return heat(
        About(
            "Finally, all cancelled calls",
            "Each cell is how many calls took so long. A second band above the first is one way "
            "of cancelling that is not cleaned up: click an exemplar in it to open its trace.",
            "finally-is-late",
        ),
        CALLS.buckets(sc.TO_FINALLY),
        style.SECONDS,
    )


def _upstream() -> Panel:
    return lines(
        About(
            "Upstream close, p99",
            "Until the provider's HTTP response is closed it goes on generating, and billing. The "
            f"dashed line is the objective, {style.UPSTREAM_OBJECTIVE * 1e3:g} ms. Above it while "
            "*finally* is on time: something keeps the response, so look at the traces.",
            "upstream-left-open",
        ),
        [Line(CALLS.quantile(0.99, sc.TO_UPSTREAM_CLOSE, sc.PROVIDER), _NAME, exemplar=True)],
        style.DECADES,
        objective=style.UPSTREAM_OBJECTIVE,
        logarithmic=True,
    )


def _wasted() -> Panel:
    return lines(
        About(
            "Wasted chunks a second",
            "Chunks that came from the provider after the client had gone: paid for, and thrown "
            "away. Steadily above zero: the upstream is left open, or is read on for billing.",
            "upstream-left-open",
        ),
        [Line(CALLS.rate(sc.UNDELIVERED, sc.PROVIDER), _NAME)],
        style.A_SECOND,
    )


def _patience() -> Panel:
    people = CALLS.where(equal(sc.SOURCE, "client_disconnect"))
    return lines(
        About(
            "Time to cancel",
            "How long people wait before they leave: from the call's start to the client's end. "
            "Many leave early: they see the first words and think again. Many leave late: the "
            "model is slow or too talkative.",
            "time-to-cancel",
        ),
        [
            Line(people.quantile(p / 100, sc.TIME_TO_CANCEL), f"p{p}", exemplar=p == 99)
            for p in (50, 95, 99)
        ],
        style.DECADES,
        colours=style.QUANTILES,
        logarithmic=True,
    )
