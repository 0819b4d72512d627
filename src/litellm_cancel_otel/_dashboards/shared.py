"""Panels that stand on more than one dashboard."""

from typing import Final

from .._contract import semconv as sc
from .._contract.prometheus import label
from . import style
from .frame import REPLICAS
from .panels import areas, lines, tile
from .parts import About, Line, Panel
from .promql import Source, differs, equal, most, share, total, zero_where

PROVIDER: Final = label(sc.PROVIDER)


def tiles(calls: Source) -> list[Panel]:
    """Return the six numbers that say in ten seconds whether something is wrong."""
    ended = calls.rate(sc.CALLS)
    ended_early = calls.where(equal(sc.OUTCOME, "cancelled"))
    cancelled = ended_early.rate(sc.CALLS)
    internal = calls.where(differs(sc.CANCELLATION_TYPE, sc.EXTERNAL)).rate(sc.CANCELLATIONS)
    wasted = share(ended_early.rate(sc.UNDELIVERED), cancelled)
    return [
        stuck_tile(calls),
        oldest_tile(calls),
        tile(
            About(
                "Finally, p99",
                "99 of 100 cancelled calls are unwound within this time of the disconnect; the "
                f"objective is {style.FINALLY_OBJECTIVE * 1e3:g} ms. Red: see *Clean-up*.",
                "finally-is-late",
            ),
            Line(calls.quantile(0.99, sc.TO_FINALLY), "p99"),
            style.SECONDS,
            steps={style.FINALLY_OBJECTIVE: style.AMBER, style.FINALLY_OBJECTIVE * 10: style.RED},
            none="no cancels",
        ),
        tile(
            About(
                "Cancelled",
                "Share of the calls that ended in a cancel, whoever cancelled. What is usual "
                "differs by application: compare it by provider, below.",
                "which-provider",
            ),
            Line(share(cancelled, ended), "cancelled"),
            style.PERCENT,
            colour=style.BLUE,
            none="no calls",
            decimals=1,
        ),
        tile(
            About(
                "Internal",
                "Share of the calls that the provider or the HTTP layer cancelled while nobody "
                "wanted them to stop. Should be none; above 2 % look at the provider.",
                "internal-cancellations",
            ),
            Line(share(internal, ended), "internal"),
            style.PERCENT,
            steps={0.005: style.ORANGE, 0.02: style.RED},
            none="no calls",
            decimals=1,
        ),
        tile(
            About(
                "Wasted on each cancel",
                "Chunks that came in after their client had gone, for each cancelled call; they "
                "are paid for. A few are on their way when the client leaves; ten or more are an "
                "upstream left open.",
                "upstream-left-open",
            ),
            Line(wasted, "wasted"),
            "suffix: chunks",
            steps={5: style.AMBER, 10: style.RED},
            none="no cancels",
            decimals=1,
        ),
    ]


def by_three(calls: Source) -> tuple[list[Panel], list[Panel]]:
    """Return the six in two rows: six in one are too narrow for their titles."""
    six = tiles(calls)
    return six[:3], six[3:]


def stuck_tile(calls: Source) -> Panel:
    """Return how many streams are stuck."""
    return tile(
        About(
            "Stuck now",
            "Streams that should have ended or moved by now and have not. Any: open *Stuck "
            "streams* to see of which kind, provider and replica.",
            "stuck-streams",
        ),
        Line(zero_where(REPLICAS.reporting(), total(calls.now(sc.STREAMS_STUCK))), "stuck"),
        style.COUNT,
        steps={1: style.RED},
    )


def oldest_tile(calls: Source) -> Panel:
    """Return the age of the oldest stream whose client is gone."""
    oldest = most(calls.now(sc.OLDEST_AFTER_DISCONNECT))
    return tile(
        About(
            "Oldest after disconnect",
            "How long ago the client of the oldest stream left whose finally has not run yet. "
            "Seconds are slow, minutes are a stream that nobody will clean up.",
            "stuck-streams",
        ),
        Line(zero_where(REPLICAS.reporting(), oldest), "oldest"),
        style.SECONDS,
        steps={1: style.AMBER, 5: style.RED},
    )


def stuck_by_reason(calls: Source) -> Panel:
    """Return the streams that are stuck, by reason."""
    return areas(
        About(
            "Stuck streams, by reason",
            "`after_disconnect`: the client is gone and the call still runs. `orphaned`: nobody "
            "will ever resume the stream. `no_chunk`: the provider has gone silent. Each has its "
            "own part in the runbook.",
            "stuck-streams",
        ),
        [Line(total(calls.now(sc.STREAMS_STUCK), sc.REASON), f"{{{{{sc.REASON}}}}}")],
        style.COUNT,
        style.REASONS,
        none="none, or nothing reports",
    )


def guard(calls: Source) -> Panel:
    """Return what the guard had to do."""
    return areas(
        About(
            "Guard actions a second",
            "What was closed because the application did not close it. `closed_orphan`: a "
            "`break` without `aclose()` somewhere; `closed_on_disconnect`: a server that was not "
            "listening; `closed_upstream`: a response that its owner left open; `checkpoint`: a "
            "backlog that would have held the event loop.",
            "guard-actions",
        ),
        [Line(calls.rate(sc.GUARD_ACTIONS, sc.ACTION), f"{{{{{sc.ACTION}}}}}")],
        style.A_SECOND,
        style.ACTIONS,
        none="the guard had nothing to do",
    )


def swallowed(calls: Source) -> Panel:
    """Return the cancels that did not come out of their call."""
    return lines(
        About(
            "Swallowed cancels",
            "By seam: calls that returned as if nothing had happened although their task "
            "had been told to stop: whoever waits for that task waits on. Any at all is a fault of "
            "the code at that seam.",
            "swallowed-cancels",
        ),
        [Line(calls.increase(sc.SWALLOWED, sc.SEAM), f"{{{{{sc.SEAM}}}}}")],
        style.COUNT,
        colours={},
        none="none was swallowed",
    )
