"""What panels are put together from: queries, looks, thresholds, overrides."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, Self, TypeVar

from . import style
from .project import runbook
from .sdk import (
    Builder,
    common,
    dashboard,
    models,
    prometheus,
    timeseries,
)
from .sdk import (
    common_models as cm,
)
from .sdk import (
    prometheus_models as pm,
)

METRICS: Final = cm.DataSourceRef(type_val="prometheus", uid="${datasource}")
TRACES: Final = cm.DataSourceRef(type_val="tempo", uid="${tempo}")

Panel = Builder[models.Panel]


class AnyPanel(Protocol):
    """What the builders of all kinds of panel have in common, which the SDK does not say."""

    def build(self) -> models.Panel: ...
    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: cm.DataSourceRef) -> Self: ...


P = TypeVar("P", bound=AnyPanel)


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
    """One expression as a table's column; from ``warn`` on a cell is amber, from ``bad`` red.

    A column without a width shares with the others what is left of the panel.
    """

    name: str
    expr: str
    unit: str
    warn: float | None = None
    bad: float | None = None
    decimals: int | None = None
    width: int | None = None


def courses(
    about: About,
    targets: Iterable[Line],
    unit: str,
    colours: Mapping[str, str] | None,
    *,
    many: bool = False,
) -> timeseries.Panel:
    """Return a time series panel with its queries."""
    panel = look(timeseries.Panel(), unit, style.PROVIDERS if colours is None else colours)
    if many:
        panel = one_by_one(panel)
    panel = described(panel, about).no_value("no data")
    for i, line in enumerate(targets):
        panel = panel.with_target(asked(line, ref_id(i)))
    return panel


def look(panel: timeseries.Panel, unit: str, colours: Mapping[str, str]) -> timeseries.Panel:
    """Give a time series panel the look of all of them."""
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
        panel = panel.override_by_regexp(_begins(name), [in_colour(colour)])
    return panel


def one_by_one(panel: timeseries.Panel) -> timeseries.Panel:
    """Give a panel whose series can have any name a colour for each, and a list to sort."""
    legend = (
        common.VizLegendOptions()
        .display_mode(cm.LegendDisplayMode.TABLE)
        .placement(cm.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
        .sort_by("Max")
        .sort_desc(True)
    )
    by_place = dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC)
    return panel.legend(legend).color_scheme(by_place)


def _begins(name: str) -> str:
    """Return the pattern of a series' name: by itself or with a note behind it."""
    return f"/^{name.replace('.', '[.]')}( .*)?$/"


def described(panel: P, about: About) -> P:
    """Give a panel what it is about, and the datasource.

    The link is in the text, for an icon of its own takes 38 pixels from the title.
    """
    text = f"{about.description}\n\n[Runbook]({runbook(about.section)})"
    return panel.title(about.title).description(text).datasource(METRICS)


def asked(
    line: Line, ref: str, format_: pm.PromQueryFormat = pm.PromQueryFormat.TIME_SERIES
) -> prometheus.Dataquery:
    """Return a query of Prometheus."""
    query = prometheus.Dataquery().datasource(METRICS).expr(line.expr).ref_id(ref).format(format_)
    query = query.legend_format(line.legend) if line.legend else query
    query = query.exemplar(True) if line.exemplar else query
    return query.range() if format_ is not pm.PromQueryFormat.TABLE else query


def ref_id(index: int) -> str:
    """Return the id of the n-th query."""
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[index]


def thresholds(base: str, steps: Mapping[float, str]) -> dashboard.ThresholdsConfig:
    """Return thresholds, with the colour below the first."""
    found = [models.Threshold(value=None, color=base)]
    found += [models.Threshold(value=value, color=colour) for value, colour in steps.items()]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


def option(name: str, value: object) -> models.DynamicConfigValue:
    """Return an override of one option."""
    return models.DynamicConfigValue(id_val=name, value=value)


def in_colour(colour: str) -> models.DynamicConfigValue:
    """Return an override of the colour."""
    return option("color", {"mode": "fixed", "fixedColor": colour})


def cell(column: Column) -> list[models.DynamicConfigValue]:
    """Return the overrides of a column's cells."""
    cell = [option("unit", column.unit), option("noValue", "-")]
    if column.width is not None:
        cell.append(option("custom.width", column.width))
    if column.decimals is not None:
        cell.append(option("decimals", column.decimals))
    limits = {column.warn: style.AMBER, column.bad: style.RED}
    steps = [{"value": at, "color": colour} for at, colour in limits.items() if at is not None]
    if steps:
        first = {"value": None, "color": "text"}
        cell += [
            option("thresholds", {"mode": "absolute", "steps": [first, *steps]}),
            option("color", {"mode": "thresholds"}),
            option("custom.cellOptions", {"type": "color-text"}),
        ]
    return cell
