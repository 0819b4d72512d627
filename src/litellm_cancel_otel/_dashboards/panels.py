"""The kinds of panel that the dashboards are made of, each with the look that is the same in all."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from . import style
from .project import runbook
from .sdk import (
    Builder,
    common,
    common_models as cm,
    dashboard,
    heatmap,
    heatmap_models as hm,
    models,
    prometheus,
    prometheus_models as pm,
    stat,
    table,
    tempo,
    tempo_models as tm,
    timeseries,
)

METRICS: Final = cm.DataSourceRef(type_val="prometheus", uid="${datasource}")
TRACES: Final = cm.DataSourceRef(type_val="tempo", uid="${tempo}")

Panel = Builder[models.Panel]


@dataclass(frozen=True, slots=True)
class About:
    """What every panel has: a title, what it means and what to do, and the runbook's section."""

    title: str
    description: str
    section: str


@dataclass(frozen=True, slots=True)
class Line:
    """One expression, the name of its series, and whether its exemplars lead to traces."""

    expr: str
    legend: str
    exemplar: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One expression as a column of a table; from ``warn`` on the cell is amber, from ``bad`` red."""

    name: str
    expr: str
    unit: str
    warn: float | None = None
    bad: float | None = None
    decimals: int | None = None


def tile(
    about: About,
    line: Line,
    unit: str,
    *,
    steps: Mapping[float, str] | None = None,
    colour: str = style.NEUTRAL,
    none: str = "no data",
    decimals: int | None = None,
) -> Panel:
    """Return one number with its course behind it; ``steps`` colour it from each value on."""
    panel = (
        stat.Panel()
        .unit(unit)
        .no_value(none)
        .color_mode(cm.BigValueColorMode.VALUE)
        .graph_mode(cm.BigValueGraphMode.AREA)
        .text_mode(cm.BigValueTextMode.VALUE)
        .justify_mode(cm.BigValueJustifyMode.CENTER)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_steps(colour if steps is None else style.GREEN, steps or {}))
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    )
    if decimals is not None:
        panel = panel.decimals(decimals)
    return _described(panel, about).with_target(_query(line, "A"))


def lines(
    about: About,
    targets: Iterable[Line],
    unit: str,
    *,
    colours: Mapping[str, str] | None = None,
    objective: float | None = None,
    logarithmic: bool = False,
    dashed: str | None = None,
    faint: str | None = None,
    highest: float | None = None,
) -> Panel:
    """Return courses over time; ``dashed`` is a pattern of names, ``faint`` the id of a query."""
    panel = _courses(about, targets, unit, colours).line_width(2).fill_opacity(0)
    if objective is not None:
        panel = panel.thresholds(_steps("transparent", {objective: style.RED})).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(cm.GraphThresholdsStyleMode.DASHED)
        )
    if logarithmic:
        panel = panel.scale_distribution(
            common.ScaleDistributionConfig().type(cm.ScaleDistribution.LOG).log(10)
        )
    if highest is not None:
        panel = panel.axis_soft_max(highest)
    if dashed is not None:
        dash = {"fill": "dash", "dash": [6, 6]}
        panel = panel.override_by_regexp(
            dashed, [_set("custom.lineStyle", dash), _set("custom.lineWidth", 1)]
        )
    if faint is not None:
        panel = panel.override_by_query(
            faint, [_colour(style.FAINT), _set("custom.lineWidth", 1)]
        )
    return panel


def areas(
    about: About, targets: Iterable[Line], unit: str, colours: Mapping[str, str] | None = None
) -> Panel:
    """Return courses stacked on each other, for parts that sum up to something."""
    return (
        _courses(about, targets, unit, colours)
        .line_width(1)
        .fill_opacity(45)
        .stacking(common.StackingConfig().mode(cm.StackingMode.NORMAL).group("A"))
    )


def heat(about: About, expr: str, unit: str) -> Panel:
    """Return a histogram's buckets over time."""
    line = Line(expr, "{{le}}", exemplar=True)
    return _described(
        heatmap.Panel()
        .unit(unit)
        .no_value("no data")
        .calculate(False)
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(cm.AxisPlacement.LEFT))
        .color(
            heatmap.HeatmapColorOptions()
            .mode(hm.HeatmapColorMode.SCHEME)
            .scheme("Blues")
            .scale(hm.HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
            .steps(64)
            .reverse(False)
        )
        .cell_gap(1)
        .exemplars_color(style.ORANGE)
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .rows_frame(heatmap.RowsHeatmapOptions().layout(cm.HeatmapCellLayout.AUTO))
        .tooltip(heatmap.HeatmapTooltip().mode(cm.TooltipDisplayMode.SINGLE).y_histogram(True))
        .show_legend(),
        about,
    ).with_target(_query(line, "A", pm.PromQueryFormat.HEATMAP))


def grid(
    about: About,
    columns: Iterable[Column],
    names: Mapping[str, str],
    *,
    sort: str | None = None,
    none: str = "no data",
    links: Mapping[str, str] | None = None,
) -> Panel:
    """Return a table with a row for each set of labels; ``names`` are the labels' headings."""
    columns = list(columns)
    headings = {**names, **{f"Value #{_ref(i)}": c.name for i, c in enumerate(columns)}}
    panel = (
        table.Panel()
        .unit(style.COUNT)
        .no_value(none)
        .cell_height(cm.TableCellHeight.SM)
        .with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            models.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True},
                    "indexByName": {name: i for i, name in enumerate(headings)},
                    "renameByName": headings,
                },
            )
        )
    )
    for column in columns:
        panel = panel.override_by_name(column.name, _cell(column))
    for heading, url in (links or {}).items():
        link = {"title": "Look closer", "url": url}
        panel = panel.override_by_name(heading, [_set("links", [link])])
    if sort is not None:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
    for i, column in enumerate(columns):
        query = _query(Line(column.expr, ""), _ref(i), pm.PromQueryFormat.TABLE).instant()
        panel = panel.with_target(query)
    return _described(panel, about)


def traces(about: About, traceql: str) -> Panel:
    """Return the latest spans that a TraceQL query finds, each a link to its trace."""
    query = (
        tempo.Dataquery()
        .query_type("traceql")
        .query(traceql)
        .table_type(tm.SearchTableType.SPANS)
        .limit(20)
        .ref_id("A")
        .filters([])
    )
    panel = table.Panel().unit(style.COUNT).no_value("no traces, or no Tempo")
    panel = panel.cell_height(cm.TableCellHeight.SM)
    return _described(panel, about).datasource(TRACES).with_target(query)


def trace_counts(about: About, traceql: str) -> Panel:
    """Return the courses of what a TraceQL metrics query counts."""
    query = (
        tempo.Dataquery()
        .query_type("traceql")
        .query(traceql)
        .metrics_query_type(tm.MetricsQueryType.RANGE)
        .ref_id("A")
        .filters([])
    )
    panel = _look(timeseries.Panel(), style.COUNT, {}).no_value("no traces, or no Tempo")
    return _described(panel, about).datasource(TRACES).with_target(query)


def alerts(about: About, names: str) -> Panel:
    """Return the state of every alert whose name contains the given text."""
    panel = dashboard.Panel().type("alertlist").unit(style.COUNT).no_value("no alerts")
    states = {state: True for state in ("firing", "pending", "noData", "error", "normal")}
    options = {
        "alertName": names,
        "viewMode": "list",
        "groupMode": "default",
        "maxItems": 20,
        "sortOrder": 3,
        "dashboardAlerts": False,
        "alertInstanceLabelFilter": "",
        "stateFilter": states,
    }
    return _described(panel.options(options), about)


def _courses(
    about: About, targets: Iterable[Line], unit: str, colours: Mapping[str, str] | None
) -> Any:
    panel = _look(timeseries.Panel(), unit, style.PROVIDERS if colours is None else colours)
    panel = _described(panel, about).no_value("no data")
    for i, line in enumerate(targets):
        panel = panel.with_target(_query(line, _ref(i)))
    return panel


def _look(panel: timeseries.Panel, unit: str, colours: Mapping[str, str]) -> timeseries.Panel:
    panel = (
        panel.unit(unit)
        .min(0)
        .show_points(cm.VisibilityMode.NEVER)
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .tooltip(
            common.VizTooltipOptions()
            .mode(cm.TooltipDisplayMode.MULTI)
            .sort(cm.SortOrder.DESCENDING)
        )
        .legend(
            common.VizLegendOptions()
            .display_mode(cm.LegendDisplayMode.LIST)
            .placement(cm.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
    )
    for name, colour in colours.items():
        panel = panel.override_by_regexp(_begins(name), [_colour(colour)])
    return panel


def _begins(name: str) -> str:
    """Return the pattern of a series' name: by itself or with a note behind it."""
    return f"/^{name.replace('.', '[.]')}( .*)?$/"


def _described(panel: Any, about: About) -> Any:
    link = dashboard.DashboardLink(f"Runbook: {about.section}")
    link = link.type(models.DashboardLinkType.LINK).url(runbook(about.section)).target_blank(True)
    described = panel.title(about.title).description(about.description).links([link])
    return described.datasource(METRICS)


def _query(
    line: Line, ref: str, format_: pm.PromQueryFormat = pm.PromQueryFormat.TIME_SERIES
) -> prometheus.Dataquery:
    query = prometheus.Dataquery().datasource(METRICS).expr(line.expr).ref_id(ref).format(format_)
    query = query.legend_format(line.legend) if line.legend else query
    query = query.exemplar(True) if line.exemplar else query
    return query.range() if format_ is not pm.PromQueryFormat.TABLE else query


def _ref(index: int) -> str:
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[index]


def _steps(base: str, steps: Mapping[float, str]) -> dashboard.ThresholdsConfig:
    found = [models.Threshold(value=None, color=base)]
    found += [models.Threshold(value=value, color=colour) for value, colour in steps.items()]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


def _set(name: str, value: object) -> models.DynamicConfigValue:
    return models.DynamicConfigValue(id_val=name, value=value)


def _colour(colour: str) -> models.DynamicConfigValue:
    return _set("color", {"mode": "fixed", "fixedColor": colour})


def _cell(column: Column) -> list[models.DynamicConfigValue]:
    cell = [_set("unit", column.unit), _set("noValue", "–")]
    if column.decimals is not None:
        cell.append(_set("decimals", column.decimals))
    limits = {column.warn: style.AMBER, column.bad: style.RED}
    steps = [{"value": at, "color": colour} for at, colour in limits.items() if at is not None]
    if steps:
        first = {"value": None, "color": "text"}
        cell += [
            _set("thresholds", {"mode": "absolute", "steps": [first, *steps]}),
            _set("color", {"mode": "thresholds"}),
            _set("custom.cellOptions", {"type": "color-text"}),
        ]
    return cell
