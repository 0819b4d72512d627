"""The dashboard for one provider, Azure unless another is chosen."""

from collections.abc import Callable
from typing import Final

from .._contract import semconv as sc
from .._contract.prometheus import label
from . import shared, style
from .frame import CALLS, REPLICAS, SHOWN, Board, Row
from .panels import areas, lines, tile, trace_counts, traces
from .parts import About, Line, Panel
from .promql import Source, differs, equal, leading, share

_CHOSEN: Final = f'span.{sc.PROVIDER} = "$provider"'
_DROPPED: Final = f'span.{sc.CANCELLATION_TYPE} =~ ".+_internal"'
_OTHERS: Final = REPLICAS.where(differs(sc.PROVIDER, "$provider"))
_NAME: Final = f"{{{{{shared.PROVIDER}}}}}"


def board() -> Board:
    """Return the dashboard *One provider*."""
    return Board(
        "provider",
        "LiteLLM cancellations: one provider",
        "What this provider cancels by itself, where and when, and how it compares with the "
        "others. Azure first: its internal cancels are the ones that look like the caller's.",
        [
            Row("", 3, [(8, tile) for tile in _tiles()[:3]]),
            Row("", 3, [(8, tile) for tile in _tiles()[3:]]),
            Row("Cancelled by the provider", 8, [(12, _by_model()), (12, _by_address())]),
            Row("", 8, [(8, _phases()), (8, _outcomes()), (8, _sources())]),
            Row("Against the others, on the same axes", 8, [(8, p) for p in _comparison()]),
            Row("Traces", 7, [(24, _latest())]),
            Row("", 7, [(24, _retried())]),
        ],
        one_provider=True,
    )


def _internal(calls: Source) -> Source:
    return calls.where(differs(sc.CANCELLATION_TYPE, sc.EXTERNAL))


def _tiles() -> list[Panel]:
    _, oldest, late, cancelled, internal, wasted = shared.tiles(CALLS)
    hour = _internal(CALLS).over(SHOWN).increase(sc.CANCELLATIONS)
    dropped = tile(
        About(
            "Internal, total",
            "How many calls this provider or the HTTP layer cancelled by itself in the time shown. "
            "Compare with what is usual for it; retries and fallbacks have made up for each.",
            "internal-cancellations",
        ),
        Line(f"{hour} or {REPLICAS.reporting()} * 0", "internal"),
        style.COUNT,
        steps={1: style.ORANGE},
        decimals=0,
    )
    return [dropped, internal, cancelled, late, oldest, wasted]


def _by_model() -> Panel:
    by, shown = sc.REQUEST_MODEL, _internal(CALLS).whole(SHOWN)
    internal = _internal(CALLS).rate(sc.CANCELLATIONS, by)
    return areas(
        About(
            "Internal a second, by model",
            "The eight models with most of them. One alone: its deployment (Azure: quota, content "
            "filter, region). All models at once: the provider, or the network towards it.",
            "internal-cancellations",
        ),
        [Line(leading(internal, shown.rate(sc.CANCELLATIONS, by), by), _model())],
        style.A_SECOND,
        {},
        many=True,
    )


def _by_address() -> Panel:
    chosen = f"{{ {_CHOSEN} && {_DROPPED} }}"
    return trace_counts(
        About(
            "Internal, by server address",
            "Counted from the spans in Tempo, because addresses would be too many for metrics. "
            "One address alone: take that endpoint or region out of the routing. Empty without "
            "Tempo.",
            "internal-cancellations",
        ),
        f"{chosen} | count_over_time() by (span.{sc.SERVER_ADDRESS})",
    )


def _phases() -> Panel:
    return areas(
        About(
            "Internal a second, by phase",
            "`request`: before the first chunk, so a retry costs little. `streaming`: half an "
            "answer is lost, and a retry pays for it twice. `closing`: the answer was complete.",
            "internal-cancellations",
        ),
        [Line(_internal(CALLS).rate(sc.CANCELLATIONS, sc.PHASE), f"{{{{{label(sc.PHASE)}}}}}")],
        style.A_SECOND,
        style.PHASES,
    )


def _outcomes() -> Panel:
    return areas(
        About(
            "Outcomes a second",
            "Grey completed, amber failed, blue cancelled. An internal cancel that was retried is "
            "one cancelled and one more call of whatever outcome: when amber follows orange, the "
            "retries fail too.",
            "internal-cancellations",
        ),
        [Line(CALLS.rate(sc.CALLS, sc.OUTCOME), f"{{{{{sc.OUTCOME}}}}}")],
        style.A_SECOND,
        style.CALLS,
    )


def _sources() -> Panel:
    return areas(
        About(
            "Sources, a second",
            "Who cancelled the calls to this provider: the blues are the caller's side, orange is "
            "the provider. `deadline` growing beside orange: timeouts hide a slow provider.",
            "sources",
        ),
        [Line(CALLS.rate(sc.CANCELLATIONS, sc.SOURCE), f"{{{{{label(sc.SOURCE)}}}}}")],
        style.A_SECOND,
        style.SOURCES,
    )


def _comparison() -> list[Panel]:
    return [
        _against(
            "Internal share",
            "Share of the calls cancelled by the provider's side. This provider alone above the "
            "grey lines of the others: route away from it until it recovers.",
            "internal-cancellations",
            style.PERCENT,
            lambda calls: share(
                _internal(calls).rate(sc.CANCELLATIONS, sc.PROVIDER),
                calls.rate(sc.CALLS, sc.PROVIDER),
            ),
        ),
        _against(
            "Cancelled share",
            "Share of the calls cancelled by anybody. Above the others with a normal internal "
            "share: people do not wait for this provider.",
            "which-provider",
            style.PERCENT,
            lambda calls: share(
                calls.where(equal(sc.OUTCOME, "cancelled")).rate(sc.CALLS, sc.PROVIDER),
                calls.rate(sc.CALLS, sc.PROVIDER),
            ),
        ),
        _against(
            "Upstream close, p99",
            "How long this provider's responses outlive their clients. Above the others: its "
            "client library or a proxy between keeps the connection.",
            "upstream-left-open",
            style.DECADES,
            lambda calls: calls.quantile(0.99, sc.TO_UPSTREAM_CLOSE, sc.PROVIDER),
        ),
    ]


def _latest() -> Panel:
    fields = (sc.SERVER_ADDRESS, sc.REQUEST_MODEL, sc.PHASE, sc.ERROR_TYPE)
    chosen = ", ".join(f"span.{name}" for name in fields)
    return traces(
        About(
            "Latest internal cancellations",
            "Open one: the events on its span say what came when, and what the retry did beside "
            "it. Empty without Tempo.",
            "internal-cancellations",
        ),
        f"{{ {_CHOSEN} && {_DROPPED} }} | select({chosen})",
    )


def _retried() -> Panel:
    return traces(
        About(
            "Retried, and cancelled again",
            "Traces with more than one internal cancel: LiteLLM retried or fell back, and that "
            "call was cancelled too. Many of them: retries on this provider do not help, let "
            "them fall back to another. Empty without Tempo.",
            "internal-cancellations",
        ),
        f"{{ {_DROPPED} }} | count() > 1 | select(span.{sc.PROVIDER}, "
        f"span.{sc.REQUEST_MODEL}, span.{sc.SERVER_ADDRESS})",
    )


def _against(title: str, text: str, section: str, unit: str, of: Callable[[Source], str]) -> Panel:
    return lines(
        About(title, f"{text} Coloured: this provider; grey: each of the others.", section),
        [Line(of(CALLS), _NAME), Line(of(_OTHERS), _NAME)],
        unit,
        faint="B",
        logarithmic=unit == style.DECADES,
    )


def _model() -> str:
    return f"{{{{{label(sc.REQUEST_MODEL)}}}}}"
