"""The dashboards by themselves: built is what is shipped, and every panel has what it must have."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from grafana_boards import boards, panels, targets
from grafana_sizes import (
    ARROW,
    BORDER,
    CELL,
    GRIDS,
    column_widths,
    difference,
    panel_width,
    text_width,
    title_room,
)
from grafana_stack import ROOT, missing
from test_grafana_rules import RUNBOOK

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.prometheus import series
from litellm_cancel_otel._contract.records import Action, Outcome, Phase, Reason, Source
from litellm_cancel_otel._dashboards import style
from litellm_cancel_otel._dashboards.promql import LEADING
from support.pages import anchors

PANELS = list(panels())
PROMETHEUS = [
    (name, panel) for name, panel in PANELS if panel["datasource"]["type"] == "prometheus"
]
VARIABLES = {"datasource", "tempo", "service", "instance", "provider", "model"}


TABLES = [(name, panel) for name, panel in PANELS if panel["type"] == "table"]
UNBOUNDED = r"gen_ai_request_model|instance|by \(span\.server\.address\)"
TEMPOS_OWN = ["Service", "Trace", "Span", "Start", "Name", "Duration"]


def columns(panel: dict[str, Any]) -> list[str]:
    """Return the names of a table's columns."""
    if panel["datasource"]["type"] == "prometheus":
        (renamed,) = [one["options"]["renameByName"] for one in panel["transformations"][1:]]
        return list(renamed.values())
    (chosen,) = re.findall(r"select\(([^)]*)\)", panel["targets"][0]["query"])
    return [*TEMPOS_OWN, *chosen.split(", ")]


def title(value: Any) -> str | None:
    """Return a panel's title as a test's name."""
    return value["title"] if isinstance(value, dict) else None


@pytest.fixture(scope="module")
def built() -> dict[str, str]:
    """What the builder makes now."""
    try:
        from litellm_cancel_otel._dashboards.files import files
    except ModuleNotFoundError as exc:
        missing(f"{exc.name} is not installed")
    return dict(files())


def test_what_is_built_is_what_is_shipped(built: dict[str, str]) -> None:
    for path, content in built.items():
        assert (ROOT / path).read_text(encoding="utf-8") == content, f"{path} is not up to date"


def test_all_that_is_shipped_is_built(built: dict[str, str]) -> None:
    folders = ("dashboards", "prometheus", "alerting")
    shipped = {path for folder in folders for path in (ROOT / "grafana" / folder).iterdir()}
    in_grafana = {path for path in built if path.startswith("grafana/")}
    assert {str(path.relative_to(ROOT)) for path in shipped} == in_grafana


@pytest.mark.parametrize("name", boards())
def test_it_can_be_imported_by_itself(name: str) -> None:
    board = boards()[name]
    assert board["uid"] == f"litellm-cancel-{name}"
    assert len(board["uid"]) <= 40
    assert board["schemaVersion"] >= 39  # Grafana 11's
    assert "apiVersion" not in board  # that would be the schema of Grafana 12
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert set(variables) == VARIABLES
    for panel in board["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] in {"${datasource}", "${tempo}"}


@pytest.mark.parametrize("name", boards())
def test_it_links_to_the_others_and_to_the_runbook(name: str) -> None:
    links = boards()[name]["links"]
    assert [link["type"] for link in links].count("dashboards") == 1
    assert any((link.get("url") or "").endswith("/docs/runbook.md") for link in links)


@pytest.mark.parametrize("name", boards())
def test_panels_do_not_overlap_and_rows_are_full(name: str) -> None:
    places = [panel["gridPos"] for panel in boards()[name]["panels"]]
    for a, b in combinations(places, 2):
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert apart or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
    for y in {place["y"] for place in places}:
        assert sum(place["w"] for place in places if place["y"] == y) == 24


@pytest.mark.parametrize("name", boards())
def test_panels_have_ids_of_their_own(name: str) -> None:
    ids = [panel["id"] for panel in boards()[name]["panels"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=title)
def test_a_panel_says_what_it_is_and_what_to_do(name: str, panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 60
    (section,) = re.findall(r"\[Runbook\]\(\S+/docs/runbook\.md#([\w-]+)\)$", panel["description"])
    assert section in anchors(RUNBOOK)


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=title)
def test_a_panel_has_a_unit_and_something_to_say_without_data(
    name: str, panel: dict[str, Any]
) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["fieldConfig"]["defaults"]["noValue"]


@pytest.mark.parametrize("target", targets(), ids=lambda target: f"{target.board}-{target.panel}")
def test_a_rate_is_over_grafanas_window_or_the_time_shown(target: Any) -> None:
    windows = re.findall(r"(?:rate|increase)\(\w+(?:\{[^}]*\})?\[([^]]+)\]", target.expr)
    assert set(windows) <= {"$__rate_interval", "$__range", "1d"}
    assert "1d" not in windows or "usual" in target.panel or "side by side" in target.panel


# What was reckoned and what the pictures show of Grafana 12.4 at 1280 and 1920 pixels.


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("name", "panel"), PANELS, ids=title)
def test_a_title_is_shown_whole(name: str, panel: dict[str, Any], grid: int) -> None:
    assert text_width(panel["title"]) <= title_room(panel, grid)


def test_the_titles_that_were_cut_would_be_found() -> None:
    cut = {"title": "Stuck now", "description": "…", "links": ["…"], "gridPos": {"w": 4}}
    assert text_width("Stuck now") > title_room(cut, 930)
    assert text_width("Disconnect to finally, p99, by provider") > title_room(
        {"description": "…", "gridPos": {"w": 8}}, 930
    )


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("name", "panel"), TABLES, ids=title)
def test_a_tables_columns_fit_and_so_do_their_headings(
    name: str, panel: dict[str, Any], grid: int
) -> None:
    names = columns(panel)
    widths = column_widths(panel, names, grid)
    assert sum(widths.values()) <= panel_width(panel["gridPos"]["w"], grid) - BORDER + 0.5
    if panel["datasource"]["type"] != "prometheus":
        return  # Tempo's names for the columns; Grafana shortens them
    sorted_by = [one["displayName"] for one in panel["options"].get("sortBy", ())]
    for one in names:
        needed = text_width(one) + CELL + (ARROW if one in sorted_by else 0)
        assert needed <= widths[one], one


def test_a_provider_is_named_in_full_beside_its_figures() -> None:
    (panel,) = [one for _, one in TABLES if one["title"] == "Providers side by side"]
    width = column_widths(panel, columns(panel), GRIDS[0])["provider"]
    assert text_width(sc.provider_name("azure")) + CELL <= width


def test_the_longest_metric_is_named_in_full_beside_its_number_of_series() -> None:
    (panel,) = [one for _, one in TABLES if one["title"] == "Active series, by metric"]
    longest = max((name for metric in sc.METRICS for name in series(metric)), key=text_width)
    width = column_widths(panel, columns(panel), GRIDS[0])["metric"]
    assert text_width(longest) + CELL <= width


def test_four_providers_are_seen_without_scrolling() -> None:
    (panel,) = [one for _, one in TABLES if one["title"] == "Providers side by side"]
    assert panel["gridPos"]["h"] * 38 - 8 - 40 >= 36 * (1 + 4)  # a heading and four rows


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=title)
def test_a_heatmaps_cells_are_rates_and_its_axis_is_of_seconds(
    name: str, panel: dict[str, Any]
) -> None:
    if panel["type"] == "heatmap":
        assert panel["options"]["cellValues"]["unit"] == style.A_SECOND
        assert panel["options"]["yAxis"]["unit"] == style.SECONDS


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=title)
def test_an_axis_of_seconds_has_no_ticks_of_broken_minutes(
    name: str, panel: dict[str, Any]
) -> None:
    if panel["type"] == "timeseries":
        assert panel["fieldConfig"]["defaults"]["unit"] != style.SECONDS


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=title)
def test_no_two_series_of_a_panel_have_nearly_one_colour(name: str, panel: dict[str, Any]) -> None:
    colours = {
        one["value"]["fixedColor"]
        for override in panel["fieldConfig"].get("overrides", ())
        for one in override["properties"]
        if one["id"] == "color" and "fixedColor" in one["value"]
    }
    for one, other in combinations(sorted(colours), 2):
        assert difference(one, other) >= 20, (one, other)


def test_the_colours_that_were_too_near_would_be_found() -> None:
    assert difference("#3B9AB8", "#17BECF") < 20


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=title)
def test_what_can_be_many_is_bounded_and_listed_in_a_table(
    name: str, panel: dict[str, Any]
) -> None:
    if panel["type"] != "timeseries":
        return
    for target in panel["targets"]:
        if re.search(UNBOUNDED, target.get("legendFormat", "") + target.get("query", "")):
            assert f"topk({LEADING}" in (target.get("expr") or target["query"])
            assert panel["options"]["legend"]["displayMode"] == "table"
            assert panel["fieldConfig"]["defaults"]["color"]["mode"] == "palette-classic"


@pytest.mark.parametrize(("name", "panel"), TABLES, ids=title)
def test_a_table_of_traces_has_the_latest_and_each_leads_to_tempo(
    name: str, panel: dict[str, Any]
) -> None:
    for target in panel["targets"]:
        if panel["datasource"]["type"] == "tempo":
            assert target["query"].endswith(" with (most_recent=true)")
            # Grafana makes a link to the trace of the span's id in such a table.
            assert target["tableType"] == "spans"


@pytest.mark.parametrize("target", targets(), ids=lambda target: f"{target.board}-{target.panel}")
def test_no_exact_bucket_boundary_is_matched(target: Any) -> None:
    assert 'le="' not in target.expr


@pytest.mark.parametrize(("name", "panel"), PROMETHEUS, ids=title)
def test_a_histograms_courses_carry_exemplars(name: str, panel: dict[str, Any]) -> None:
    if panel["type"] not in {"timeseries", "heatmap"}:
        return
    asked = panel["targets"]
    spread = [one for one in asked if "0.99" in one["expr"] or one["format"] == "heatmap"]
    if spread and "Against" not in panel["description"] and "grey:" not in panel["description"]:
        assert any(one.get("exemplar") for one in spread)


def test_one_meaning_has_one_colour_and_one_colour_one_meaning() -> None:
    colours: dict[str, set[str]] = {}
    for _, panel in PANELS:
        for override in panel["fieldConfig"].get("overrides", ()):
            if override["matcher"]["id"] != "byRegexp":
                continue
            for one in override["properties"]:
                if one["id"] == "color":
                    meaning = override["matcher"]["options"]
                    colours.setdefault(meaning, set()).add(one["value"]["fixedColor"])
    assert {meaning: found for meaning, found in colours.items() if len(found) > 1} == {}


@pytest.mark.parametrize("kind", [Outcome, Phase, Source, Action, Reason])
def test_every_word_of_the_contract_has_a_colour(kind: Any) -> None:
    patterns = {
        override["matcher"]["options"].strip("/")
        for _, panel in PANELS
        for override in panel["fieldConfig"].get("overrides", ())
        if override["matcher"]["id"] == "byRegexp"
    }
    for word in kind:
        assert any(re.search(pattern, word) for pattern in patterns), word


@pytest.mark.parametrize("name", boards())
def test_no_variable_is_used_that_is_not_there(name: str) -> None:
    text = json.dumps(boards()[name])
    used = set(re.findall(r"\$\{?(?:__)?(\w+)", text))
    grafanas = {"rate_interval", "range", "value", "url_time_range", "all"}
    assert used <= VARIABLES | grafanas | {match for match in used if match.startswith("__")}


def test_traces_are_asked_for_by_the_contracts_attributes() -> None:
    contract = {value for value in vars(sc).values() if isinstance(value, str)}
    for _, panel in PANELS:
        for target in panel.get("targets", ()):
            for name in re.findall(r"span\.([\w.]+)", target.get("query", "")):
                assert name in contract


def test_the_names_on_disk_are_the_names_in_links() -> None:
    uids = {board["uid"] for board in boards().values()}
    linked = set(re.findall(r"/d/([\w-]+)", json.dumps(list(boards().values()))))
    assert linked
    assert linked <= uids


def test_pictures_of_each_are_in_the_documents() -> None:
    text = (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")
    for name in boards():
        for path in re.findall(rf"\((images/dashboard-{name}-\d+\.png)\)", text):
            assert (Path(ROOT) / "docs" / path).exists()
        assert f"images/dashboard-{name}-" in text


@pytest.mark.parametrize(("name", "panel"), PROMETHEUS, ids=title)
def test_a_tables_columns_are_renamed_from_what_grafana_calls_them(
    name: str, panel: dict[str, Any]
) -> None:
    if panel["type"] != "table":
        return
    (renamed,) = [one["options"]["renameByName"] for one in panel["transformations"][1:]]
    refs = [target["refId"] for target in panel["targets"]]
    values = ["Value"] if len(refs) == 1 else [f"Value #{ref}" for ref in refs]
    assert [column for column in renamed if column.startswith("Value")] == values


@pytest.mark.parametrize("name", ["runbook", "operations", "dashboards"])
def test_a_link_to_a_section_leads_to_one(name: str) -> None:
    docs = ROOT / "docs"
    text = (docs / f"{name}.md").read_text(encoding="utf-8")
    for page, section in re.findall(r"\]\(([\w.-]*)#([\w-]+)\)", text):
        assert section in anchors(docs / (page or f"{name}.md"))


def test_share_of_other_models_names_both_kinds_of_them() -> None:
    (told,) = [panel["description"] for _, panel in PANELS if panel["title"] == "Models past limit"]
    assert f"`{sc.OTHER}`" in told
    assert "`max_models`" in told
    assert "failed before any answer" in told
