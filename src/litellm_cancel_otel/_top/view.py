"""One frame of ``top``: what was read, laid out for a terminal of any size; no I/O."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from .._contract.records import StreamState
from .lines import Line, Style, clean, cut, folded, joined, table
from .readings import Metrics, Model, Process, Streams
from .stuck_block import Block, block_of, name_of, short

WIDE: Final = 72
"""From this many columns on, there is room for what can be done without."""

_MOST: Final = 3
"""The part of the screen that streams that are not stuck have in any case: one of so many."""

Open = tuple[Process, StreamState]


def frame(reading: Streams | Metrics, width: int, height: int, *, live: bool = False) -> list[Line]:
    """Return the frame; where the streams are more than fit, they are summed up."""
    if isinstance(reading, Metrics):
        return list(_metrics(reading, width, live))[:height]
    return _streams(reading, width, height, live)[:height]


def listing(reading: Streams, width: int) -> list[Line]:
    """Return the processes, for one to be chosen; those with stuck streams first."""
    rows = sorted(
        (-sum(one.stuck is not None for one in process.streams), process.pid, process)
        for process in reading.processes
    )
    lines = table(
        ("service", ">pid", ">open", ">stuck"),
        [
            (clean(process.service or "-"), str(pid), str(len(process.streams)), str(-stuck))
            for stuck, pid, process in rows
        ],
        min(width, WIDE),
    )
    styles = [Style.DIM, *(Style.ALARM if stuck else Style.PLAIN for stuck, *_ in rows)]
    return [Line(*both) for both in zip(lines, styles, strict=True)]


def notice(message: str, width: int) -> list[Line]:
    """Return the frame that stands in where nothing can be read."""
    return [Line(line, Style.YELLOW) for line in folded(clean(message), width, "")]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "es" if what.endswith("s") else "s")


def _title(opened: int, stuck: int, where: str, width: int, live: bool) -> Line:
    parts = [f"{opened} open", f"{stuck} stuck", where]
    if live and width >= WIDE:
        parts.append("q leaves")
    return Line(cut(" · ".join(parts), width), Style.ALARM if stuck else Style.BOLD)


# Streams


def _streams(reading: Streams, width: int, height: int, live: bool) -> list[Line]:
    every = [(process, state) for process in reading.processes for state in process.streams]
    stuck = [one for one in every if one[1].stuck is not None]
    others = [one for one in every if one[1].stuck is None]
    processes = _count(len(reading.processes), "process")
    lines = [_title(len(every), len(stuck), processes, width, live)]
    if reading.silent:
        silent = f"{len(reading.silent)} silent · {clean(reading.silent[0])}"
        lines.append(Line(cut(silent, width), Style.DIM))
    stuck.sort(key=lambda one: one[1].stuck_for, reverse=True)
    room = height - len(lines)
    listed = _listed(others, width) if others else []
    kept = min(len(listed), room // _MOST)
    lines += _explained([block_of(*one, width) for one in stuck], width, room - kept)
    if not others:
        return lines
    room = height - len(lines)
    return lines + (listed if len(listed) <= room else _summed_up(others, width, room))


def _explained(blocks: Sequence[Block], width: int, room: int) -> Iterator[Line]:
    """Yield the blocks in as much room; as many as fit with the least that each needs.

    The first of them, stuck the longest, have what is left.
    """
    fits = _fitting(blocks, room)
    if fits < len(blocks):
        fits, room = max(1, _fitting(blocks, room - 1)), room - 1
    spare = room - sum(block.least for block in blocks[:fits])
    for block in blocks[:fits]:
        lines = block.lines[: block.least + max(0, spare)]
        spare -= len(lines) - block.least
        yield from lines
    if fits < len(blocks):
        more = f"and {len(blocks) - fits} more that are stuck"
        yield Line(cut(more, width), Style.ALARM)


def _fitting(blocks: Sequence[Block], room: int) -> int:
    fits = 0
    for block in blocks:
        room -= block.least
        if room < 0:
            break
        fits += 1
    return fits


def _listed(streams: Iterable[Open], width: int) -> list[Line]:
    by_model = sorted(streams, key=lambda one: (_model(one[1]), -one[1].age))
    return _rows(by_model, width)


def _rows(streams: Sequence[Open], width: int) -> list[Line]:
    wide = width >= WIDE
    head = ["provider/model", "phase", ">age", ">last", *([">chunks", "process"] if wide else [])]
    rows = []
    for process, state in streams:
        times = short(state.age), short(state.since_chunk)
        more = (str(state.chunks), name_of(process)) if wide else ()
        rows.append((_model(state), str(state.phase), *times, *more))
    # A client that has gone is on its way to being stuck.
    gone = [state.since_disconnect is not None for _, state in streams]
    styles = [Style.DIM, *(Style.YELLOW if one else Style.PLAIN for one in gone)]
    return [Line(*both) for both in zip(table(head, rows, width), styles, strict=True)]


def _summed_up(streams: Sequence[Open], width: int, room: int) -> list[Line]:
    """Return the streams by model and phase and, in the room that is left, the oldest of them."""
    groups: dict[tuple[str, str], list[StreamState]] = {}
    for _, state in streams:
        groups.setdefault((_model(state), str(state.phase)), []).append(state)
    rows: list[tuple[str, ...]] = []
    for (model, phase), states in sorted(groups.items(), key=lambda group: -len(group[1])):
        silent = max(
            (one.since_chunk for one in states if one.since_chunk is not None), default=None
        )
        oldest = short(max(state.age for state in states))
        rows.append((model, phase, str(len(states)), oldest, short(silent)))
    if len(rows) > room - 1:
        left_out = len(rows) - max(0, room - 2)
        rows[-left_out:] = [(f"and {left_out} more", *[""] * 4)]
    head, *lines = table(("provider/model", "phase", ">open", ">age", ">last"), rows, width)
    found = [Line(head, Style.DIM), *map(Line, lines)]
    left = room - len(found) - 1
    if left > 1:
        oldest_first = sorted(streams, key=lambda one: -one[1].age)[: left - 1]
        found += [Line("the oldest:", Style.DIM), *_rows(oldest_first, width)]
    return found


def _model(state: StreamState) -> str:
    return clean(f"{state.provider}/{state.model}")


# Metrics


def _metrics(reading: Metrics, width: int, live: bool) -> Iterator[Line]:
    models = {clean("/".join(whose)): model for whose, model in reading.models.items()}
    opened = sum(model.open for model in models.values())
    stuck = sum(sum(model.stuck.values()) for model in models.values())
    yield _title(opened, stuck, clean(reading.source.partition("://")[2]), width, live)
    for name, model in sorted(models.items()):
        for reason, number in model.stuck.items():
            if number:
                (line,) = joined([f"{number} {reason} · {name}"], width, "")
                yield Line(line, Style.ALARM)
    kinds = (">external", ">internal") if width >= WIDE else (">ext", ">int")
    rows = [(name, *_cells_of(model)) for name, model in sorted(models.items())]
    head, *lines = table(("provider/model", ">open", ">oldest", *kinds), rows, width)
    yield Line(head, Style.DIM)
    for line, (_, model) in zip(lines, sorted(models.items()), strict=True):
        yield Line(line, Style.ALARM if any(model.stuck.values()) else Style.PLAIN)


def _cells_of(model: Model) -> tuple[str, str, str, str]:
    external = model.cancelled.get("external", 0)
    internal = sum(model.cancelled.values()) - external
    oldest = model.oldest_after_disconnect
    return str(model.open), short(oldest) if oldest else "-", str(external), str(internal)
