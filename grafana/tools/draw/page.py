"""A dashboard as one HTML page of fixed width."""

import re
from html import escape
from typing import Any

from . import chart
from .data import Series, Source
from .look import DIM, GRID, PAGE, PANEL, TEXT, Look
from .units import shown

GAP, CELL, EDGE, HEAD = 8, 30, 16, 92

STYLE = f"""
* {{ box-sizing: border-box }}
body {{ margin: 0; background: {PAGE}; color: {TEXT}; position: relative;
  font: 13px Inter, "DejaVu Sans", "Liberation Sans", Arial, sans-serif }}
h1 {{ font-size: 19px; font-weight: 500; margin: 0; position: absolute; left: {EDGE}px; top: 14px }}
.choices {{ position: absolute; left: {EDGE}px; top: 50px; display: flex; gap: 8px }}
.choices span {{ border: 1px solid {GRID}; border-radius: 2px; padding: 5px 9px;
  background: {PANEL}; white-space: nowrap }}
.choices b {{ color: #6E9FFF; font-weight: 400; padding-right: 8px }}
.time {{ position: absolute; right: {EDGE}px; top: 16px; color: {DIM} }}
.panel {{ position: absolute; background: {PANEL}; border: 1px solid {GRID}; border-radius: 2px;
  overflow: hidden }}
.panel h2 {{ font-size: 14px; font-weight: 500; margin: 0; padding: 8px 10px 0; height: 28px;
  white-space: nowrap; display: flex }}
.panel h2 span {{ overflow: hidden; text-overflow: ellipsis }}
.panel h2 i {{ align-self: flex-start; color: {DIM};
  font: italic 9px serif; border: 1px solid {DIM}; border-radius: 6px;
  padding: 0 3.5px; margin-left: 7px; vertical-align: 2px }}
.row {{ position: absolute; font-size: 15px; padding: 4px 2px; font-weight: 500 }}
.row::before {{ content: "⌄ "; color: {DIM} }}
.tick, .legend {{ font-size: 11px; fill: {DIM} }}
.legend {{ fill: {TEXT} }}
.value {{ position: absolute; left: 0; right: 0; text-align: center; font-weight: 600 }}
.spark {{ position: absolute; left: 0; bottom: 0 }}
.none {{ position: absolute; left: 0; right: 0; top: 50%; text-align: center; color: {DIM} }}
table {{ border-collapse: collapse; width: 100%; table-layout: fixed }}
th {{ text-align: right; color: #6E9FFF; font-weight: 500; padding: 6px 6px; font-size: 14px;
  border-bottom: 1px solid {GRID}; white-space: nowrap; overflow: hidden; text-overflow: ellipsis }}
td {{ text-align: right; padding: 6px 6px; border-bottom: 1px solid {GRID}; white-space: nowrap;
  overflow: hidden; text-overflow: ellipsis }}
th.name, td.name {{ text-align: left }}
.link {{ color: #6E9FFF }}
.alert {{ padding: 7px 10px; border-bottom: 1px solid {GRID}; display: flex;
  justify-content: space-between }}
"""


def page(board: dict[str, Any], source: Source, width: int) -> tuple[str, int]:
    """Return a dashboard's page and its height."""
    column = (width - 2 * EDGE + GAP) / 24
    parts, height = [], 0
    for panel in board["panels"]:
        at = panel["gridPos"]
        x, y = EDGE + at["x"] * column, HEAD + at["y"] * (CELL + GAP)
        w, h = round(at["w"] * column - GAP), at["h"] * (CELL + GAP) - GAP
        height = max(height, y + h + EDGE)
        place = f"left:{x:.0f}px;top:{y}px;width:{w}px;height:{h}px"
        if panel["type"] == "row":
            parts.append(f'<div class="row" style="{place}">{escape(panel["title"])}</div>')
            continue
        # What Grafana has for the title beside padding, menu and the description's icon.
        room = f"max-width:{w - 92}px"
        title = f'<h2><span style="{room}">{escape(panel["title"])}</span><i>i</i></h2>'
        body = _body(panel, source, w - 2, h - 30)
        parts.append(f'<div class="panel" style="{place}">{title}{body}</div>')
    head = f"<h1>{escape(board['title'])}</h1>{_choices(board, source)}"
    html = f'<!doctype html><meta charset="utf-8"><style>{STYLE}</style>'
    return f'{html}<body style="height:{height}px">{head}{"".join(parts)}</body>', height


def _choices(board: dict[str, Any], source: Source) -> str:
    found = []
    for one in board["templating"]["list"]:
        text = source.choices.get(one["name"], "All")
        if one["type"] == "datasource":
            text = {"prometheus": "Prometheus", "tempo": "none"}[one["query"]]
        found.append(f"<span><b>{escape(one['label'])}</b>{escape(text)}</span>")
    minutes = (source.end - source.start) / 60
    return (
        f'<div class="choices">{"".join(found)}</div><div class="time">last {minutes:.0f} min</div>'
    )


def _body(panel: dict[str, Any], source: Source, width: int, height: int) -> str:
    look = Look(panel)
    if panel["type"] == "alertlist":
        return _alerts(source, panel["options"]["alertName"])
    if panel["datasource"]["type"] != "prometheus":
        return _none(look)
    targets = panel["targets"]
    if panel["type"] == "table":
        return _table(look, targets, source, width)
    series = [one for target in targets for one in source.courses(target)]
    if not any(one.points for one in series):
        return _none(look)
    match panel["type"]:
        case "stat":
            return _stat(look, series, width, height)
        case "heatmap":
            return chart.heat(look, series, source, width, height)
        case "timeseries":
            return chart.courses(look, series, source, width, height)
    raise ValueError(f"a panel of type {panel['type']} is not known here")


def _stat(look: Look, series: list[Series], width: int, height: int) -> str:
    points = series[0].points
    value = points[-1][1]
    colour = look.level(value)
    text = shown(value, look.unit, look.defaults.get("decimals"))
    number, unit = re.fullmatch(r"([\d.-]*)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    size = min(40, int(width / (0.42 * len(unit) + 0.68 * len(number))))
    return (
        chart.spark(points, colour, width, height // 2)
        + f'<div class="value" style="color:{colour};font-size:{size}px;top:{height * 0.3:.0f}px">'
        f'{number}<span style="font-size:{size * 0.6:.0f}px">{escape(unit)}</span></div>'
    )


def _table(look: Look, targets: list[dict[str, Any]], source: Source, width: int) -> str:
    names: dict[str, str] = {}
    for change in look.panel["transformations"]:
        names |= change["options"].get("renameByName", {})
    rows: dict[tuple[str, ...], dict[str, float]] = {}
    labels = [name for name in names if not name.startswith("Value")]
    headings = [text for name, text in names.items() if name.startswith("Value")]
    for heading, target in zip(headings, targets, strict=True):
        for one in source.now(target):
            key = tuple(one.labels.get(label, "") for label in labels)
            if one.points:
                rows.setdefault(key, {})[heading] = one.points[0][1]
    if not rows:
        return _none(look)
    sort = look.panel["options"]["sortBy"][0]["displayName"]
    cells = [f'<th class="name">{escape(names[label])}</th>' for label in labels]
    cells += [f"<th>{escape(heading)}</th>" for heading in headings]
    lines = [f"<tr>{''.join(cells)}</tr>"]
    for key, values in sorted(rows.items(), key=lambda row: -row[1].get(sort, 0)):
        cells = [_name(look, names[label], text) for label, text in zip(labels, key, strict=True)]
        cells += [_cell(look, heading, values.get(heading)) for heading in headings]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    columns = [*(names[label] for label in labels), *headings]
    wide = _widths(look, columns, width)
    return f"<table style='width:{sum(wide):.0f}px'>{_group(wide)}{''.join(lines)}</table>"


def _widths(look: Look, columns: list[str], width: int) -> list[float]:
    """Return the columns' widths as Grafana has them: fixed ones, and the rest shared."""
    fixed = [look.of(column).get("custom.width") for column in columns]
    rest = width - sum(one for one in fixed if one) - 16
    shared = max(look.custom("minWidth", 150), rest / max(1, fixed.count(None)))
    return [one or shared for one in fixed]


def _group(widths: list[float]) -> str:
    return "".join(f'<col style="width:{width:.0f}px">' for width in widths)


def _name(look: Look, heading: str, text: str) -> str:
    link = " link" if "links" in look.of(heading) else ""
    return f'<td class="name{link}">{escape(text)}</td>'


def _cell(look: Look, heading: str, value: float | None) -> str:
    own = look.of(heading)
    if value is None:
        return f"<td>{own.get('noValue', '')}</td>"
    colour = look.level(value, own["thresholds"]) if "thresholds" in own else TEXT
    text = shown(value, own.get("unit", look.unit), own.get("decimals"))
    return f'<td style="color:{colour}">{escape(text)}</td>'


def _alerts(source: Source, name: str) -> str:
    colours = {"firing": "#E02F44", "pending": "#E0A50D", "inactive": "#3FA34D"}
    names = {"inactive": "normal"}
    order = list(colours)
    rules = [rule for rule in source.rules() if name in rule["name"]]
    lines = [
        f'<div class="alert"><span>{escape(rule["name"])}</span>'
        f'<span style="color:{colours[rule["state"]]}">{names.get(rule["state"], rule["state"])}'
        "</span></div>"
        for rule in sorted(rules, key=lambda rule: order.index(rule["state"]))
    ]
    return "".join(lines) or '<div class="none">no alerts</div>'


def _none(look: Look) -> str:
    return f'<div class="none">{escape(str(look.defaults.get("noValue", "no data")))}</div>'
