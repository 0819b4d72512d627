"""One frame of ``top``: what was read, laid out for a terminal of any width; no I/O."""

from collections.abc import Iterable, Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .._contract.records import Place, StreamState
from .readings import Metrics, Model, Process, Streams

WIDE: Final = 72
"""From this many columns on, there is room for what can be done without."""

_OUTER: Final = 3
_INNER: Final = 6
"""Frames of a long await chain that are shown: who waits, and where."""

Open = tuple[Process, StreamState]


def frame(reading: Streams | Metrics, width: int, height: int) -> Group:
    """Return the frame; where the streams are more than fit, they are summed up."""
    if isinstance(reading, Metrics):
        return Group(*_metrics(reading, width))
    return Group(*_streams(reading, width, height))


def notice(message: str) -> Text:
    """Return the frame that stands in where nothing can be read."""
    return Text(clean(message), style="yellow")


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


def clean(text: str) -> str:
    """Return a text without what a terminal would obey: a model's name may be a client's."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _line(*parts: str, style: str = "") -> Text:
    return Text(" · ".join(parts), style=style, no_wrap=True, overflow="ellipsis")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "es" if what.endswith("s") else "s")


def _title(opened: int, stuck: int, where: str, width: int) -> Text:
    parts = [f"{opened} open", f"{stuck} stuck", where, *(["q leaves"] if width >= WIDE else [])]
    line = _line(*parts, style="bold")
    if stuck:
        line.highlight_words([parts[1]], style="red")
    return line


# Streams


def _streams(reading: Streams, width: int, height: int) -> Iterator[RenderableType]:
    every = [(process, state) for process in reading.processes for state in process.streams]
    stuck = [one for one in every if one[1].stuck is not None]
    others = [one for one in every if one[1].stuck is None]
    processes = _count(len(reading.processes), "process")
    lines = [_title(len(every), len(stuck), processes, width)]
    if reading.silent:
        lines.append(_line(f"{len(reading.silent)} silent", clean(reading.silent[0]), style="dim"))
    stuck.sort(key=lambda one: one[1].stuck_for, reverse=True)
    lines += _explained(stuck, width, room=max(4, (height - len(lines)) * 2 // 3))
    yield from lines
    if others:
        fits = len(others) < height - len(lines)
        yield _listed(others, width) if fits else _summed_up(others)


def _explained(stuck: list[Open], width: int, room: int) -> Iterator[Text]:
    """Yield what is known of the stuck streams, as many as there is room for, at least of one."""
    for index, (process, state) in enumerate(stuck):
        block = _stuck(process, state, width)
        if index and len(block) > room:
            yield _line(f"and {len(stuck) - index} more that are stuck", style="red")
            return
        if len(block) > room:
            block[room - 1 : -1] = []  # what it waits for, the last line, stays
        yield from block
        room -= len(block)


def _stuck(process: Process, state: StreamState, width: int) -> list[Text]:
    facts = [str(state.phase), f"age {short(state.age)}", f"last chunk {short(state.since_chunk)}"]
    if state.since_disconnect is not None:
        facts.append(f"client gone {short(state.since_disconnect)}")
    if state.since_driver_done is not None:
        facts.append(f"driver done {short(state.since_driver_done)}")
    facts.append(_name(process))
    what = f"{state.stuck} {short(state.stuck_for)}"
    return [
        _line(what, _model(state), style="bold red"),
        *_indented(facts, width),
        *_chain(state.chain, width),
    ]


def _indented(facts: list[str], width: int) -> Iterator[Text]:
    """Yield the facts, as many on a line as fit."""
    line = _line("  " + facts[0])
    for fact in facts[1:]:
        longer = _line(line.plain, fact)
        if longer.cell_len > width:
            yield line
            longer = _line("  " + fact)
        line = longer
    yield line


def _chain(chain: tuple[Place, ...], width: int) -> Iterator[Text]:
    left_out = len(chain) - _OUTER - _INNER
    for index, place in enumerate(chain):
        if left_out > 1 and _OUTER <= index < _OUTER + left_out:
            if index == _OUTER:
                yield _line(f"    … {left_out} more", style="dim")
            continue
        function, where = _names(place, width)
        if index == len(chain) - 1:
            yield _line(f"  → {function} {where}")
        else:
            yield _line(f"    {function} {where}", style="dim")


def _names(place: Place, width: int) -> tuple[str, str]:
    function, path = clean(place.function), clean(place.file).split("/")
    if width < WIDE:
        function, path = function.rpartition(".")[2], path[-1:]
    return function, f"{'/'.join(path[-3:])}:{place.line}"


def _listed(streams: Iterable[Open], width: int) -> Table:
    table = _table("phase", ">age", ">last", *([">chunks", "process"] if width >= WIDE else []))
    for process, state in sorted(streams, key=lambda one: (_model(one[1]), -one[1].age)):
        more = [str(state.chunks), _name(process)] if width >= WIDE else []
        times = short(state.age), short(state.since_chunk)
        # A client that has gone is on its way to being stuck.
        style = "" if state.since_disconnect is None else "yellow"
        _row(table, _model(state), str(state.phase), *times, *more, style=style)
    return table


def _summed_up(streams: Iterable[Open]) -> Table:
    groups: dict[tuple[str, str], list[StreamState]] = {}
    for _, state in streams:
        groups.setdefault((_model(state), str(state.phase)), []).append(state)
    table = _table("phase", ">open", ">age", ">last")
    for (model, phase), states in sorted(groups.items()):
        oldest = max(state.age for state in states)
        silent = max(
            (one.since_chunk for one in states if one.since_chunk is not None), default=None
        )
        _row(table, model, phase, str(len(states)), short(oldest), short(silent))
    return table


def _model(state: StreamState) -> str:
    return clean(f"{state.provider}/{state.model}")


def _name(process: Process) -> str:
    return f"pid {process.pid}" + (f" {clean(process.service)}" if process.service else "")


# Metrics


def _metrics(reading: Metrics, width: int) -> Iterator[RenderableType]:
    models = {clean("/".join(whose)): model for whose, model in reading.models.items()}
    opened = sum(model.open for model in models.values())
    stuck = sum(sum(model.stuck.values()) for model in models.values())
    yield _title(opened, stuck, clean(reading.source.partition("://")[2]), width)
    for name, model in sorted(models.items()):
        yield from _stuck_here(name, model)
    table = _table(">open", ">oldest", *_kinds(width))
    for name, model in sorted(models.items()):
        external = model.cancelled.get("external", 0)
        internal = sum(model.cancelled.values()) - external
        oldest = model.oldest_after_disconnect
        cells = str(model.open), short(oldest) if oldest else "-", str(external), str(internal)
        _row(table, name, *cells, style="red" if any(model.stuck.values()) else "")
    yield table


def _kinds(width: int) -> tuple[str, str]:
    return (">external", ">internal") if width >= WIDE else (">ext", ">int")


def _stuck_here(name: str, model: Model) -> Iterator[Text]:
    for reason, number in model.stuck.items():
        if number:
            yield _line(f"{number} {reason}", name, style="bold red")


def _table(*columns: str) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("provider/model", ratio=1, no_wrap=True, overflow="ellipsis")
    for name in columns:
        right = name.startswith(">")
        table.add_column(name.lstrip(">"), justify="right" if right else "left", no_wrap=True)
    return table


def _row(table: Table, *cells: str, style: str = "") -> None:
    # Text, not str: no markup is read from a model's name.
    table.add_row(*(Text(cell) for cell in cells), style=style)
