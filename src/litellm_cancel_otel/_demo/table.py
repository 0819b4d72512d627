"""The demo's table and summary, for a person to read in a minute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from .._contract import semconv as sc
from .._contract.records import Outcome
from .leaving import Left
from .records import Got, Pair, Record
from .runner import WINDOW
from .telemetry import Totals

NOTHING = "-"
WIDE = 99
"""From this many columns on, names are whole and there is room for LiteLLM's callbacks."""

_LEGEND = (
    "Times are in ms, of the slowest provider in the line. closed: from the cancel until the "
    f"provider saw its connection close, on both sides; open: still open after {WINDOW:g} s. "
    "{} finally: from the disconnect until nothing of the caller is suspended on the call any "
    "more, as the span has it."
)
LEGEND_OF_CLIENTS = (
    "A StreamingResponse's generator, behind one middleware (in the backlog behind none), from the "
    f"client's close. late, open: not within {WINDOW:g} s."
)
_CALLBACKS = {"success": "ok", "failure": "fail"}


class _Same(NamedTuple):
    """What the providers of one line have in common."""

    got: str
    is_open: bool
    callbacks: str
    got_with: str
    kind: str


def legend(width: int) -> str:
    """Return what the table's words mean."""
    if width >= WIDE:
        return _LEGEND.format("callback: which of LiteLLM's own fired.")
    return _LEGEND.format(
        f"got: an exception's name without Error; in {WIDE} columns it is whole, and which of "
        "LiteLLM's callbacks fired is there too."
    )


def table(pairs: Sequence[Pair], width: int = WIDE) -> Table:
    """Return the table: a line for each way, or for each provider where they differ.

    Where it is not wide enough, words are left out, shortened or folded, and no number is cut.
    """
    wide = width >= WIDE
    got = "caller got" if wide else "got"
    result = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    result.add_column("way of ending\n(all providers)")
    result.add_column(f"WITHOUT\n{got}", style="yellow")
    _add_times(result, "closed", style="yellow")
    if wide:
        result.add_column("call-\nback", style="yellow", no_wrap=True)
    result.add_column(f"WITH\n{got}", style="green")
    result.add_column("cancellation_type:\nsource" if wide else "source, or\ntype", style="green")
    _add_times(result, "finally", style="green")
    _add_times(result, "closed", style="green")
    for _, of_way in groupby(pairs, key=lambda pair: pair.with_.way.name):
        _add_way(result, list(of_way), wide)
    return result


def _add_times(result: Table, name: str, style: str) -> None:
    result.add_column(f"{name}\nms", justify="right", style=style, no_wrap=True)


def clients_table(clients: Iterable[tuple[Left, Left]]) -> Table:
    """Return the table of the clients of a real server that went away."""
    result = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    result.add_column("a client leaves in\n(uvicorn, azure)")
    for side, style in (("WITHOUT", "yellow"), ("WITH", "green")):
        result.add_column(f"{side}\ngenerator got", style=style)
        _add_times(result, "finally", style)
        _add_times(result, "closed", style)
    for without, with_ in clients:
        wrong = "bold red" if with_.problems() else ""
        result.add_row(
            Text(with_.leaving.title, style="bold"), *_left(without), *_left(with_, wrong)
        )
    return result


def _left(left: Left, style: str = "") -> Iterator[Text]:
    yield Text(left.got or "nothing", style="" if left.got else "bold red")
    for seconds, late in ((left.finally_after, "late"), (left.closed_after, "open")):
        yield Text(late, style="bold red") if seconds is None else Text(_worst([seconds]), style)


def _add_way(result: Table, pairs: list[Pair], wide: bool) -> None:
    groups: dict[_Same, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(_same(pair), []).append(pair)
    title = Text(pairs[0].with_.way.title, style="bold")
    if len(groups) == 1:
        result.add_row(title, *_cells(pairs, wide))
        return
    result.add_row(title)
    for group in groups.values():
        result.add_row(" " + _names(group, len(pairs)), *_cells(group, wide))


def _names(group: list[Pair], of: int) -> str:
    names = [pair.with_.provider for pair in group]
    return "the others" if len(names) > 2 and len(names) == of - 1 else ", ".join(names)


def _same(pair: Pair) -> _Same:
    without, with_ = pair.without, pair.with_
    return _Same(
        _got(without.got),
        without.seen.was_open(WINDOW),
        ", ".join(_CALLBACKS[name] for name in without.callbacks) or "none",
        _got(with_.got),
        _kind(with_),
    )


def _cells(pairs: list[Pair], wide: bool) -> Iterator[Text]:
    same = _same(pairs[0])
    cancelled = pairs[0].with_.way.expected.outcome is Outcome.CANCELLED
    wrong = any(pair.with_.problems() for pair in pairs)
    yield Text(_named(same.got, wide), style="bold red" if same.got != same.got_with else "")
    if same.is_open:
        yield Text("open", style="bold red")
    else:
        yield Text(_worst(pair.without.seen.closed_after for pair in pairs))
    if wide:
        silent = cancelled and same.callbacks == "none"
        yield Text(same.callbacks, style="bold red" if silent else "")
    style = "bold red" if wrong else ("bold" if same.got != same.got_with else "")
    yield Text(_named(same.got_with, wide), style=style)
    kind = same.kind if wide else same.kind.removeprefix(f"{sc.EXTERNAL}: ")
    yield Text(kind, style="bold red" if wrong else "")
    yield Text(_worst(pair.with_.seconds(sc.DISCONNECT_TO_FINALLY) for pair in pairs))
    # As the provider saw it, like the one without: the span's own starts and stops elsewhere.
    yield Text(_worst(pair.with_.seen.closed_after for pair in pairs))


def _got(got: Got) -> str:
    return got.name if got.status is None else f"error {got.status}"


def _named(got: str, wide: bool) -> str:
    return got if wide else got.removesuffix("Error").replace("ExceptionGroup", "Group")


def _kind(record: Record) -> str:
    kind = record.attributes.get(sc.CANCELLATION_TYPE)
    if kind is None:
        return NOTHING if record.outcome is None else str(record.outcome)
    return f"{kind}: {record.attributes.get(sc.SOURCE)}" if kind == sc.EXTERNAL else str(kind)


def _worst(seconds: Iterable[float | None]) -> str:
    known = [one * 1_000 for one in seconds if one is not None]
    if not known:
        return NOTHING
    worst = max(known)
    return f"{worst:.2f}" if worst < 10 else f"{worst:.0f}"


def summary(pairs: Sequence[Pair], totals: Totals) -> Iterator[str]:
    """Yield what to read from the table, in a few lines."""
    cancelled = [pair for pair in pairs if pair.with_.way.expected.outcome is Outcome.CANCELLED]
    if not cancelled:
        return
    silent = sum(not pair.without.callbacks for pair in cancelled)
    left_open = sum(pair.without.seen.was_open(WINDOW) for pair in pairs)
    changed = sum(pair.without.got.name != pair.with_.got.name for pair in pairs)
    yield (
        f"WITHOUT the package LiteLLM's callbacks fired for {len(cancelled) - silent} of "
        f"{len(cancelled)} cancelled calls, and {left_open} provider connections were still open "
        f"{WINDOW:g} s after the caller had gone."
    )
    yield (
        f"WITH it {totals.cancellations} of {len(cancelled)} were counted, "
        f"{totals.streams_open} streams are open and {totals.internal_errors} faults were its own."
    )
    if changed:
        yield (
            f"{changed} callers got something else: an internal cancel is an error 500, which "
            "LiteLLM's retries and fallbacks act on; the caller's own comes out as it went in."
        )
    finally_, close = (
        max(pair.with_.seconds(name) or 0.0 for pair in cancelled) * 1_000
        for name in (sc.DISCONNECT_TO_FINALLY, sc.DISCONNECT_TO_UPSTREAM_CLOSE)
    )
    yield (
        f"By the spans the slowest took {finally_:.1f} ms from the disconnect to its finally, and "
        f"{close:.1f} ms to the upstream's close."
    )


def lost(totals: Totals) -> str:
    """Return what a load's answers for nobody cost, as far as that is known."""
    usd = totals.cost_undelivered
    return f"sent for nobody: ${usd:.6f} of output tokens, where LiteLLM knows tokens and price"
