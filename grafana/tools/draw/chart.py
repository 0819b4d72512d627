"""Courses over time and heatmaps as SVG."""

import math
import time
from collections.abc import Iterable, Iterator
from html import escape

from .data import Series, Source
from .look import GRID, Look
from .units import shown

LEFT, BOTTOM, TOP, ROW = 62, 22, 8, 18
"""Pixels around a plot, and the height of a row of its legend."""


Colours = dict[tuple[str, str], str]
"""The colour of each series, by its name and query."""


class Axis:
    """A value's place on an axis of so many pixels, bottom up."""

    def __init__(self, least: float, most: float, pixels: float, *, logarithmic: bool) -> None:
        self.logarithmic = logarithmic
        if logarithmic:
            self.least = 10 ** math.floor(math.log10(least))
            self.most = 10 ** math.ceil(math.log10(max(most, self.least * 1.001)))
        else:
            self.least, self.most = 0.0, _nice(most)
        self.pixels = pixels

    def place(self, value: float) -> float:
        """Return the distance from the top."""
        if self.logarithmic:
            value = max(value, self.least)
            part = math.log(value / self.least) / math.log(self.most / self.least)
        else:
            part = value / self.most
        return self.pixels * (1 - min(1.0, part))

    def ticks(self) -> list[float]:
        """Return the values that get a line."""
        if not self.logarithmic:
            return [self.most * i / 4 for i in range(5)]
        decades = round(math.log10(self.most / self.least))
        return [self.least * 10**i for i in range(decades + 1)]


def courses(look: Look, series: list[Series], source: Source, width: int, height: int) -> str:
    """Return a panel of lines or stacked areas, with its legend."""
    series = [one for one in series if one.points]
    colours = {
        (one.name, one.ref): look.colour(one.name, one.ref, place)
        for place, one in enumerate(series)
    }
    stacked = (look.custom("stacking") or {}).get("mode") == "normal"
    drawn = list(_stacked(series) if stacked else ((one, one.points, None) for one in series))
    values = [value for _, upper, _ in drawn for _, value in upper]
    if (look.panel["options"].get("legend") or {}).get("displayMode") == "table":
        legend, rows = _legend_table(look, series, colours, width, height)
    else:
        legend, rows = _legend(look, series, colours, width)
    plot_w, plot_h = width - LEFT - 10, height - TOP - BOTTOM - ROW * rows
    logarithmic = (look.custom("scaleDistribution") or {}).get("type") == "log"
    limits = _limits(look)
    positive = [value for value in (*values, *limits) if value > 0]
    least, most = min(positive, default=0.001), max((*values, *limits, 1e-9))
    axis = Axis(least, most, plot_h, logarithmic=logarithmic and bool(positive))
    parts = [_frame(axis, look.unit, source, plot_w, plot_h)]
    for one, upper, lower in reversed(drawn):
        colour = colours[one.name, one.ref]
        parts.append(_course(look, one, colour, upper, lower, axis, source, plot_w))
    for limit in limits:
        y = axis.place(limit)
        parts.append(
            f'<line x1="0" x2="{plot_w}" y1="{y:.1f}" y2="{y:.1f}" stroke="#E02F44" '
            'stroke-dasharray="6 6" stroke-width="1.5"/>'
        )
    return (
        f'<svg width="{width}" height="{height}"><g transform="translate({LEFT},{TOP})">'
        f'{"".join(parts)}</g><g transform="translate(12,{TOP + plot_h + BOTTOM + 14})">'
        f"{legend}</g></svg>"
    )


def heat(look: Look, series: list[Series], source: Source, width: int, height: int) -> str:
    """Return a heatmap of a histogram's cumulative buckets."""
    rows = sorted((float(one.labels["le"]), dict(one.points)) for one in series)
    plot_w, plot_h = width - LEFT - 10, height - TOP - BOTTOM - 36
    times = sorted({at for _, points in rows for at in points})
    below = dict.fromkeys(times, 0.0)
    cells: list[tuple[int, float, float]] = []
    for row, (_, points) in enumerate(rows):
        for at in times:
            count = points.get(at, 0.0)
            if count - below[at] > 1e-9:
                cells.append((row, at, count - below[at]))
            below[at] = count
    used = [row for row, _, _ in cells] or [0]
    first, last = min(used), max(used)
    tall = plot_h / (last - first + 1)
    wide = plot_w * source.step / (source.end - source.start) + 0.5
    top = max((count for _, _, count in cells), default=1.0)
    parts = []
    for row, at, count in cells:
        x, y = _x(at, source, plot_w), plot_h - (row - first + 1) * tall
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall - 1:.1f}" '
            f'fill="{_blue(math.sqrt(count / top))}"/>'
        )
    every = max(1, math.ceil((last - first + 1) * 14 / plot_h))
    for row in range(first, last + 1, every):
        bound = rows[row][0] if rows else 0.0
        text = "+Inf" if math.isinf(bound) else shown(bound, look.unit)
        y = plot_h - (row - first + 0.5) * tall + 4
        parts.append(f'<text x="-6" y="{y:.1f}" class="tick" text-anchor="end">{text}</text>')
    parts.append(_times(source, plot_w, plot_h))
    return (
        f'<svg width="{width}" height="{height}"><g transform="translate({LEFT},{TOP})">'
        f'{"".join(parts)}</g><g transform="translate({LEFT},{TOP + plot_h + BOTTOM + 6})">'
        f"{_scale(look, top)}</g></svg>"
    )


def spark(points: Iterable[tuple[float, float]], colour: str, width: int, height: int) -> str:
    """Return the course behind a tile's number."""
    points = list(points)
    if len(points) < 2:
        return ""
    first, last = points[0][0], points[-1][0]
    most = max(value for _, value in points) or 1.0
    xy = [
        ((at - first) / (last - first) * width, height - value / most * (height - 4))
        for at, value in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in xy)
    return (
        f'<svg class="spark" width="{width}" height="{height}">'
        f'<polygon points="0,{height} {line} {width},{height}" fill="{colour}" opacity=".18"/>'
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.2"/></svg>'
    )


def _stacked(
    series: list[Series],
) -> Iterator[tuple[Series, list[tuple[float, float]], dict[float, float]]]:
    below: dict[float, float] = {}
    for one in series:
        lower = {at: below.get(at, 0.0) for at, _ in one.points}
        upper = [(at, value + lower[at]) for at, value in one.points]
        below |= dict(upper)
        yield one, upper, lower


def _course(
    look: Look,
    one: Series,
    colour: str,
    upper: list[tuple[float, float]],
    lower: dict[float, float] | None,
    axis: Axis,
    source: Source,
    width: float,
) -> str:
    own = look.of(one.name, one.ref)
    dash = own.get("custom.lineStyle", {}).get("dash")
    thick = own.get("custom.lineWidth", look.custom("lineWidth", 1))
    style = f'stroke-dasharray="{" ".join(map(str, dash))}"' if dash else ""
    parts = []
    for run in _runs(upper, 3 * source.step):
        xy = [(_x(at, source, width), axis.place(value)) for at, value in run]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in xy)
        if lower is not None:
            back = [(_x(at, source, width), axis.place(lower[at])) for at, _ in reversed(run)]
            area = line + " " + " ".join(f"{x:.1f},{y:.1f}" for x, y in back)
            opacity = look.custom("fillOpacity", 0) / 100
            parts.append(f'<polygon points="{area}" fill="{colour}" opacity="{opacity}"/>')
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{thick}" '
            f'stroke-linejoin="round" {style}/>'
        )
    return "".join(parts)


def _runs(points: list[tuple[float, float]], gap: float) -> Iterator[list[tuple[float, float]]]:
    run: list[tuple[float, float]] = []
    for point in points:
        if run and point[0] - run[-1][0] > gap:
            yield run
            run = []
        run.append(point)
    if run:
        yield run


def _frame(axis: Axis, unit: str, source: Source, width: float, height: float) -> str:
    parts = []
    for value in axis.ticks():
        y = axis.place(value)
        parts.append(f'<line x1="0" x2="{width}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>')
        text = shown(value, unit)
        parts.append(f'<text x="-6" y="{y + 4:.1f}" class="tick" text-anchor="end">{text}</text>')
    return "".join(parts) + _times(source, width, height)


def _times(source: Source, width: float, height: float) -> str:
    ticks = max(2, round(width / 110))
    parts = []
    for i in range(ticks):
        at = source.start + (source.end - source.start) * (i + 0.5) / ticks
        short = source.end - source.start < 1800
        text = time.strftime("%H:%M:%S" if short else "%H:%M", time.gmtime(at))
        x = _x(at, source, width)
        parts.append(
            f'<text x="{x:.1f}" y="{height + 16:.1f}" class="tick" text-anchor="middle">'
            f"{text}</text>"
        )
    return "".join(parts)


def _legend(look: Look, series: list[Series], colours: Colours, width: int) -> tuple[str, int]:
    """Return the legend and how many rows it has."""
    parts, x, y = [], 0.0, 0
    for one in series:
        if look.of(one.name, one.ref).get("custom.hideFrom", {}).get("legend"):
            continue
        wide = 26 + 6.6 * len(one.name)
        if x and x + wide > width - 24:
            x, y = 0.0, y + ROW
        colour = colours[one.name, one.ref]
        parts.append(
            f'<line x1="{x:.0f}" x2="{x + 13:.0f}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" '
            'stroke-width="3"/>'
            f'<text x="{x + 18:.0f}" y="{y}" class="legend">{escape(one.name)}</text>'
        )
        x += wide
    return "".join(parts), y // ROW + 1


def _legend_table(
    look: Look, series: list[Series], colours: Colours, width: int, height: int
) -> tuple[str, int]:
    """Return the legend with its figures; what does not fit Grafana lets one scroll to."""
    rows = [("Name", "Last *", "Max", "")]
    for one in sorted(series, key=lambda one: -max(value for _, value in one.points)):
        values = [value for _, value in one.points]
        figures = (shown(values[-1], look.unit), shown(max(values), look.unit))
        rows.append((one.name, *figures, colours[one.name, one.ref]))
    rows = rows[: max(2, int(0.35 * height / ROW))]
    parts = []
    for number, (name, last, most, colour) in enumerate(rows):
        y = number * ROW
        if colour:
            parts.append(
                f'<line x1="0" x2="13" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" '
                'stroke-width="3"/>'
            )
        for x, text, anchor in ((18, name, "start"), (width - 110, last, "end")):
            parts.append(f'<text x="{x}" y="{y}" class="legend" text-anchor="{anchor}">')
            parts.append(f"{escape(text)}</text>")
        parts.append(f'<text x="{width - 34}" y="{y}" class="legend" text-anchor="end">')
        parts.append(f"{escape(most)}</text>")
    return "".join(parts), len(rows)


def _scale(look: Look, top: float) -> str:
    """Return a heatmap's legend: what the darkest and the brightest cell stand for."""
    unit = str(look.panel["options"]["cellValues"]["unit"])
    steps = "".join(
        f'<rect x="{i * 5}" y="0" width="5" height="8" fill="{_blue(i / 23)}"/>' for i in range(24)
    )
    least, most = shown(0.0, unit), shown(top, unit)
    return (
        f'{steps}<text x="0" y="20" class="tick">{least}</text>'
        f'<text x="120" y="20" class="tick" text-anchor="end">{most}</text>'
    )


def _limits(look: Look) -> list[float]:
    if (look.custom("thresholdsStyle") or {}).get("mode") != "dashed":
        return []
    return [step["value"] for step in look.defaults["thresholds"]["steps"] if step["value"]]


def _x(at: float, source: Source, width: float) -> float:
    return (at - source.start) / (source.end - source.start) * width


def _nice(most: float) -> float:
    if most <= 1e-9:
        return 1.0
    size = 10 ** math.floor(math.log10(most))
    return float(next(size * n for n in (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10) if size * n >= most))


def _blue(part: float) -> str:
    dark, bright = (27, 40, 62), (148, 197, 255)
    mixed = (round(a + (b - a) * part) for a, b in zip(dark, bright, strict=True))
    return f"rgb({','.join(map(str, mixed))})"
