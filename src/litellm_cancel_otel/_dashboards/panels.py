"""The kinds of panel that the dashboards are made of, each with one look in all of them."""

from collections.abc import Iterable, Mapping

from . import style
from .parts import (
    TRACES,
    About,
    Column,
    Line,
    Panel,
    asked,
    cell,
    courses,
    described,
    in_colour,
    look,
    one_by_one,
    option,
    ref_id,
    thresholds,
)
from .promql import LEADING
from .sdk import (
    common,
    dashboard,
    heatmap,
    models,
    stat,
    table,
    tempo,
    timeseries,
)
from .sdk import (
    common_models as cm,
)
from .sdk import (
    heatmap_models as hm,
)
from .sdk import (
    prometheus_models as pm,
)
from .sdk import (
    tempo_models as tm,
)

NARROWEST = 80
"""Pixels of a table's column; Grafana would give each 150 and let the table be scrolled."""


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
        .thresholds(thresholds(colour if steps is None else style.GREEN, steps or {}))
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    )
    if decimals is not None:
        panel = panel.decimals(decimals)
    return described(panel, about).with_target(asked(line, "A"))


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
    many: bool = False,
    none: str = "no data",
) -> Panel:
    """Return courses over time; ``dashed`` is a pattern of names, ``faint`` the id of a query."""
    panel = courses(about, targets, unit, colours, many=many)
    panel = panel.line_width(2).fill_opacity(0).no_value(none)
    if objective is not None:
        panel = panel.thresholds(
            thresholds("transparent", {objective: style.RED})
        ).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(cm.GraphThresholdsStyleMode.DASHED)
        )
    if logarithmic:
        panel = panel.scale_distribution(
            common.ScaleDistributionConfig().type(cm.ScaleDistribution.LOG).log(10)
        )
    if dashed is not None:
        dash = {"fill": "dash", "dash": [6, 6]}
        hidden = {"legend": True, "tooltip": False, "viz": False}
        panel = panel.override_by_regexp(
            dashed,
            [
                option("custom.lineStyle", dash),
                option("custom.lineWidth", 1),
                option("custom.hideFrom", hidden),
            ],
        )
    if faint is not None:
        panel = panel.override_by_query(
            faint, [in_colour(style.FAINT), option("custom.lineWidth", 1)]
        )
    return panel


def areas(
    about: About,
    targets: Iterable[Line],
    unit: str,
    colours: Mapping[str, str] | None = None,
    *,
    many: bool = False,
    none: str = "no data",
) -> Panel:
    """Return courses stacked on each other, for parts that sum up to something."""
    return (
        courses(about, targets, unit, colours, many=many)
        .line_width(1)
        .fill_opacity(45)
        .no_value(none)
        .stacking(common.StackingConfig().mode(cm.StackingMode.NORMAL).group("A"))
    )


def heat(about: About, expr: str, unit: str) -> Panel:
    """Return a histogram's buckets over time; the axis has the unit, each cell is a rate."""
    line = Line(expr, "{{le}}", exemplar=True)
    return described(
        heatmap.Panel()
        .unit(unit)
        .no_value("no data")
        .calculate(False)
        .cell_values(heatmap.CellValues().unit(style.A_SECOND))
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
    ).with_target(asked(line, "A", pm.PromQueryFormat.HEATMAP))


def grid(
    about: About,
    columns: Iterable[Column],
    names: Mapping[str, str],
    *,
    sort: str | None = None,
    none: str = "no data",
    links: Mapping[str, str] | None = None,
    widths: Mapping[str, int] | None = None,
) -> Panel:
    """Return a table with a row for each set of labels; ``names`` are the labels' headings.

    ``widths`` are of the labels' columns, in pixels; those without one share what is left.
    """
    columns = list(columns)
    # Grafana numbers the columns of values only where there is more than one.
    values = (
        ["Value"] if len(columns) == 1 else [f"Value #{ref_id(i)}" for i in range(len(columns))]
    )
    headings = {**names, **{value: c.name for value, c in zip(values, columns, strict=True)}}
    panel = (
        table.Panel()
        .unit(style.COUNT)
        .no_value(none)
        .min_width(NARROWEST)
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
        panel = panel.override_by_name(column.name, cell(column))
    for heading, width in (widths or {}).items():
        panel = panel.override_by_name(heading, [option("custom.width", width)])
    for heading, url in (links or {}).items():
        link = {"title": "Look closer", "url": url}
        panel = panel.override_by_name(heading, [option("links", [link])])
    if sort is not None:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
    for i, column in enumerate(columns):
        query = asked(Line(column.expr, ""), ref_id(i), pm.PromQueryFormat.TABLE).instant()
        panel = panel.with_target(query)
    return described(panel, about)


def traces(about: About, traceql: str) -> Panel:
    """Return the latest spans that a TraceQL query finds, each a link to its trace.

    Without the hint Tempo returns the first spans that it comes upon.
    """
    query = (
        tempo.Dataquery()
        .query_type("traceql")
        .query(f"{traceql} with (most_recent=true)")
        .table_type(tm.SearchTableType.SPANS)
        .limit(20)
        .ref_id("A")
        .filters([])
    )
    panel = table.Panel().unit(style.COUNT).no_value("no traces, or no Tempo")
    panel = panel.cell_height(cm.TableCellHeight.SM).min_width(NARROWEST)
    return described(panel, about).datasource(TRACES).with_target(query)


def trace_counts(about: About, traceql: str) -> Panel:
    """Return the courses of what a TraceQL metrics query counts."""
    query = (
        tempo.Dataquery()
        .query_type("traceql")
        .query(f"{traceql} | topk({LEADING})")
        .metrics_query_type(tm.MetricsQueryType.RANGE)
        .ref_id("A")
        .filters([])
    )
    panel = one_by_one(look(timeseries.Panel(), style.COUNT, {}))
    panel = panel.no_value("no traces, or no Tempo")
    return described(panel, about).datasource(TRACES).with_target(query)


def alerts(about: About, names: str) -> Panel:
    """Return the state of every alert whose name contains the given text."""
    panel = dashboard.Panel().type("alertlist").unit(style.COUNT).no_value("no alerts")
    states = dict.fromkeys(("firing", "pending", "noData", "error", "normal"), True)
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
    return described(panel.options(options), about)
