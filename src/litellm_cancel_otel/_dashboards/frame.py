"""A dashboard's frame: rows of panels on Grafana's grid, the variables, the links."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .._contract import semconv as sc
from .._contract.prometheus import family, label
from .parts import METRICS, Panel
from .project import HOME
from .promql import INSTANCE, JOB, Source, equal, matches
from .sdk import JSONEncoder, dashboard, models

GRID: Final = 24
TAG: Final = "litellm-cancel-otel"

RATE: Final = "$__rate_interval"
SHOWN: Final = "$__range"

REPLICAS: Final = Source(RATE, (matches(JOB, "$service"), matches(INSTANCE, "$instance")))
"""What the chosen service's chosen replicas say."""

CALLS: Final = REPLICAS.where(
    matches(sc.PROVIDER, "$provider"), matches(sc.REQUEST_MODEL, "$model")
)
"""What they say of calls to the chosen providers and models."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels beside each other, each with its width of 24."""

    title: str
    height: int
    panels: Sequence[tuple[int, Panel]]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard: its name as a file and on the command line, and what is on it."""

    name: str
    title: str
    description: str
    rows: Sequence[Row]
    one_provider: bool = False
    time_from: str = "now-1h"

    @property
    def uid(self) -> str:
        """The identifier in links; stays the same for as long as the name does."""
        return f"litellm-cancel-{self.name}"

    def json(self) -> str:
        """Return the dashboard as Grafana imports it."""
        built = self._built().build()
        found: dict[str, Any] = json.loads(json.dumps(built, cls=JSONEncoder))
        found["panels"] = _laid_out(self.rows, found["panels"])
        return json.dumps(found, indent=2, ensure_ascii=False) + "\n"

    def panel_id(self, title: str) -> int:
        """Return the id of the one panel that has this title."""
        (found,) = [one["id"] for one in json.loads(self.json())["panels"] if one["title"] == title]
        return int(found)

    def _built(self) -> dashboard.Dashboard:
        board = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([TAG])
            .timezone("browser")
            .editable()
            .tooltip(models.DashboardCursorSync.CROSSHAIR)
            .time(self.time_from, "now")
            .refresh("30s")
            .variables(list(_variables(self.one_provider)))
            .link(_others())
            .link(_document("Runbook", "runbook"))
            .link(_document("Reading these dashboards", "dashboards"))
        )
        for row in self.rows:
            for _, panel in row.panels:
                board = board.with_panel(panel)
        return board


def _laid_out(rows: Sequence[Row], panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the panels on the grid and a heading above each row that has one."""
    found: list[dict[str, Any]] = []
    waiting = iter(panels)
    y = 0
    for row in rows:
        if sum(width for width, _ in row.panels) != GRID:
            raise ValueError(f"the row {row.title!r} is not {GRID} wide")
        if row.title:
            heading = {"type": "row", "title": row.title, "collapsed": False, "panels": []}
            found.append({**heading, "gridPos": {"x": 0, "y": y, "w": GRID, "h": 1}})
            y += 1
        x = 0
        for width, _ in row.panels:
            place = {"x": x, "y": y, "w": width, "h": row.height}
            found.append({**next(waiting), "gridPos": place})
            x += width
        y += row.height
    return [{**panel, "id": number} for number, panel in enumerate(found, 1)]


def _variables(one_provider: bool) -> Iterable[Any]:
    reports, calls = family(sc.INTERNAL_ERRORS), family(sc.CALLS)
    of_service = f"{{{matches(JOB, '$service')}}}"
    yield _datasource("datasource", "Prometheus", "prometheus")
    yield _datasource("tempo", "Tempo", "tempo")
    yield _values("service", "Service", f"label_values({reports}, {JOB})")
    yield _values("instance", "Instance", f"label_values({reports}{of_service}, {INSTANCE})")
    provider = f"label_values({calls}{of_service}, {label(sc.PROVIDER)})"
    if one_provider:
        azure = sc.provider_name("azure")
        chosen = models.VariableOption(selected=True, text=azure, value=azure)
        yield _query("provider", "Provider", provider).current(chosen)
        of_service = f"{{{matches(JOB, '$service')}, {equal(sc.PROVIDER, '$provider')}}}"
    else:
        yield _values("provider", "Provider", provider)
    yield _values("model", "Model", f"label_values({calls}{of_service}, {label(sc.REQUEST_MODEL)})")


def _datasource(name: str, title: str, kind: str) -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable(name).label(title).type(kind)


def _query(name: str, title: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(title)
        .datasource(METRICS)
        .query({"qryType": 1, "query": query, "refId": f"Variable-{name}"})
        .definition(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )


def _values(name: str, title: str, query: str) -> dashboard.QueryVariable:
    everything = models.VariableOption(selected=True, text=["All"], value=["$__all"])
    chosen = _query(name, title, query).multi(True).include_all(True)
    # Matches series without the label too.
    return chosen.all_value(".*").current(everything)


def _others() -> dashboard.DashboardLink:
    kind = models.DashboardLinkType.DASHBOARDS
    link = dashboard.DashboardLink("LiteLLM cancellations").type(kind).tags([TAG])
    return link.as_dropdown(True).include_vars(True).keep_time(True)


def _document(title: str, name: str) -> dashboard.DashboardLink:
    link = dashboard.DashboardLink(title).type(models.DashboardLinkType.LINK)
    return link.icon("doc").url(f"{HOME}/docs/{name}.md").target_blank(True)
