"""What is said of one stuck stream: the application's frame before everything that can be cut."""

from collections.abc import Iterator
from typing import NamedTuple

from .._contract.records import StreamState
from .._contract.whereabouts import Whereabouts, shown, whereabouts
from .lines import Line, Style, clean, cut, folded, joined
from .readings import Process


class Block(NamedTuple):
    """The lines of one stream, the most important first."""

    lines: list[Line]
    least: int
    """How many of them are shown in any case."""


def block_of(process: Process, state: StreamState, width: int) -> Block:
    """Return what is known of a stuck stream."""
    found = whereabouts(state.chain)
    what = f"{state.stuck} {short(state.stuck_for)}", f"{state.provider}/{state.model}"
    lines = [
        Line(cut(clean(" · ".join((*what, name_of(process)))), width), Style.ALARM),
        *(Line(line, Style.BOLD) for line in _own(found, width)),
    ]
    least = len(lines)
    lines += map(Line, joined(_facts(state), width, "    "))
    lines += map(Line, _within(found, width))
    for place in found.own[1:]:
        lines += map(Line, folded(clean(f"called at {shown(place)}"), width, "    "))
    if found.around:
        around = clean(f"under {' > '.join(found.around)}")
        lines += [Line(line, Style.DIM) for line in folded(around, width, "    ")]
    return Block(lines, least)


def name_of(process: Process) -> str:
    """Return what a process is called."""
    return f"pid {process.pid}" + (f" {clean(process.service)}" if process.service else "")


def short(seconds: float | None) -> str:
    """Return a duration in at most five characters."""
    if seconds is None:
        return "-"
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f}s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 100:
        return f"{minutes}m{rest:02}"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}" if hours < 100 else f"{hours // 24}d"


def _own(found: Whereabouts, width: int) -> Iterator[str]:
    """Yield the application's innermost frame, whole, on as many lines as that takes."""
    place = clean(shown(found.own[0])) if found.own else "a place that is not known"
    yield from folded(f"→ {place}", width, "  ")


def _facts(state: StreamState) -> list[str]:
    facts = [str(state.phase), f"age {short(state.age)}", f"last chunk {short(state.since_chunk)}"]
    if state.since_disconnect is not None:
        facts.append(f"client gone {short(state.since_disconnect)}")
    if state.since_driver_done is not None:
        facts.append(f"driver done {short(state.since_driver_done)}")
    return facts


def _within(found: Whereabouts, width: int) -> Iterator[str]:
    if found.innermost is not None:
        libraries = " > ".join(found.within)
        text = f"waits in {libraries} at {shown(found.innermost)}"
        yield from folded(clean(text), width, "    ")
