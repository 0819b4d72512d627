"""The rules by themselves: promtool's checks, and that the built and the shipped are the same."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from grafana_boards import (
    RULES,
    alert_rules,
    boards,
    managed_rules,
    names_read,
    recording_rules,
)
from grafana_stack import ROOT, program

from support import children
from support.pages import anchors

CASES = sorted((Path(__file__).parent / "rules").glob("*.yml"))
RUNBOOK = ROOT / "docs" / "runbook.md"


def promtool(*arguments: object) -> None:
    """Run promtool; what it complains of is the failure's text."""
    command = [program("promtool", "prometheus"), *map(str, arguments)]
    ended = children.run(command)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_promtool_takes_the_rules() -> None:
    promtool("check", "rules", *RULES)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
@pytest.mark.long
def test_promtool_passes(path: Path) -> None:
    promtool("test", "rules", path)


def test_promtool_fails_a_wrong_case(tmp_path: Path) -> None:
    wrong = yaml.safe_load(CASES[0].read_text())
    wrong["rule_files"] = [str(path) for path in RULES]
    asked = [one for test in wrong["tests"] for one in test["promql_expr_test"]]
    next(one for one in asked if "exp_samples" in one).pop("exp_samples")
    case = tmp_path / "wrong.yml"
    case.write_text(yaml.safe_dump(wrong))
    with pytest.raises(AssertionError, match="FAILED"):
        promtool("test", "rules", case)


@pytest.mark.parametrize("rule", alert_rules(), ids=lambda rule: rule["alert"])
def test_each_alert_has_cases_for_firing_not_firing_and_no_data(rule: dict[str, Any]) -> None:
    content = (CASES[0].parent / f"{rule['alert']}.yml").read_text()
    names = {case["name"] for case in yaml.safe_load(content)["tests"]}
    for kind in ("firing", "not firing", "no data"):
        assert any(name.startswith(kind) for name in names), kind
    asked = set(re.findall(r'alertname="(\w+)"', content))
    assert asked == {rule["alert"]}


@pytest.mark.parametrize("rule", alert_rules(), ids=lambda rule: rule["alert"])
def test_each_alert_says_how_bad_what_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    section = rule["annotations"]["runbook_url"].partition("/docs/runbook.md#")[2]
    assert section in anchors(RUNBOOK)


@pytest.mark.parametrize("rule", alert_rules(), ids=lambda rule: rule["alert"])
def test_each_alert_names_the_service_in_its_summary(rule: dict[str, Any]) -> None:
    assert "{{ $labels.job }}" in rule["annotations"]["summary"]


@pytest.mark.parametrize("rule", alert_rules(), ids=lambda rule: rule["alert"])
def test_each_alert_leads_to_a_panel_that_is_there(rule: dict[str, Any]) -> None:
    texts = rule["annotations"]
    uid, number = texts["__dashboardUid__"], texts["__panelId__"]
    (board,) = [board for board in boards().values() if board["uid"] == uid]
    (panel,) = [panel for panel in board["panels"] if str(panel["id"]) == number]
    assert panel["type"] != "row"
    link = urlsplit(texts["dashboard_url"])
    assert link.path == f"/d/{uid}"
    assert f"&viewPanel={number}" in texts["dashboard_url"]
    assert (
        str(link.port)
        in yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"][
            "ports"
        ][0]
    )


@pytest.mark.parametrize("rule", alert_rules(), ids=lambda rule: rule["alert"])
def test_the_panel_of_an_alert_shows_what_the_alert_is_about(rule: dict[str, Any]) -> None:
    uid, number = (rule["annotations"][name] for name in ("__dashboardUid__", "__panelId__"))
    recorded = {one["record"]: one["expr"] for one in recording_rules()}
    about: set[str] = set()
    for name in names_read(rule["expr"]):
        about |= names_read(recorded[name]) if name in recorded else {name}
    shown = {
        name
        for board in boards().values()
        for panel in board["panels"]
        if board["uid"] == uid and str(panel["id"]) == number
        for target in panel["targets"]
        for name in names_read(target["expr"])
    }
    assert about & shown or rule["alert"] == "LitellmCancelCollectorAway"


def test_grafana_has_the_same_alerts() -> None:
    def told(name: str, rule: dict[str, Any]) -> tuple[Any, ...]:
        texts = {k: v.replace("$values.query.Value", "$value") for k, v in _annotations(rule)}
        return rule[name], rule["for"], rule["labels"], texts

    managed = [told("title", rule) for rule in managed_rules()]
    assert managed == [told("alert", rule) for rule in alert_rules()]


def test_grafanas_alerts_need_no_recording_rules() -> None:
    recorded = [rule["record"] for rule in recording_rules()]
    exprs = [rule["data"][0]["model"]["expr"] for rule in managed_rules()]
    assert not [expr for expr in exprs if any(name in expr for name in recorded)]


@pytest.mark.parametrize("rule", managed_rules(), ids=lambda rule: rule["title"])
def test_grafanas_alert_is_a_query_and_a_condition_on_it(rule: dict[str, Any]) -> None:
    query, found, threshold = rule["data"]
    assert rule["condition"] == threshold["refId"]
    assert threshold["model"]["expression"] == found["refId"]
    assert f"${query['refId']}" in found["model"]["expression"]
    assert re.fullmatch(r"[a-z-]{1,40}", rule["uid"])
    assert rule["noDataState"] == "OK"


def test_no_expression_matches_an_exact_bucket_boundary() -> None:
    for path in RULES:
        assert 'le="' not in path.read_text()


def _annotations(rule: dict[str, Any]) -> list[tuple[str, str]]:
    return list(rule["annotations"].items())
