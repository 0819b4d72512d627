"""Every expression of every panel and rule, run against a real Prometheus that has the data."""

import pytest
from grafana_boards import (
    Target,
    alert_rules,
    chosen,
    managed_rules,
    names_read,
    recording_rules,
    targets,
)
from grafana_load import Loaded
from grafana_stack import wait_until

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.prometheus import FOREIGN, family, series
from litellm_cancel_otel._dashboards.recordings import LOST, STOPPED

pytestmark = pytest.mark.long

FOREIGN_NAMES = {name for metric in FOREIGN for name in series(metric)}
"""Of the SDK and the Collector, neither of which is here to say them; all others must exist."""

UNRECORDED = {STOPPED, LOST}
"""Of services that stop, and of lost spans: neither is here, and promtool's cases have both."""


def _names_there(loaded: Loaded) -> set[str]:
    names: list[str] = loaded.prometheus.get("/api/v1/label/__name__/values")["data"]
    return set(names)


def _dead(exprs: list[str], there: set[str]) -> set[str]:
    return (
        {name for expr in exprs for name in names_read(expr)} - there - FOREIGN_NAMES - UNRECORDED
    )


@pytest.mark.parametrize("target", targets(), ids=lambda target: f"{target.board}-{target.panel}")
def test_every_panel_has_data_where_the_load_makes_some(target: Target, loaded: Loaded) -> None:
    provider = "openai" if '!="$provider' in target.expr else ".*"
    if names_read(target.expr) & FOREIGN_NAMES:
        return
    expr = chosen(target.expr, provider=provider)
    wait_until(target.panel, lambda: loaded.prometheus.query(expr))  # a scrape may have failed


@pytest.mark.parametrize("rule", recording_rules(), ids=lambda rule: rule["record"])
def test_every_recording_rule_records(rule: dict[str, str], loaded: Loaded) -> None:
    if rule["record"] in UNRECORDED:
        return  # promtool's cases have these
    for expr in (rule["expr"], rule["record"]):
        wait_until(expr, lambda expr=expr: loaded.prometheus.query(expr))  # type: ignore[misc]


@pytest.mark.parametrize("rule", alert_rules(), ids=lambda rule: rule["alert"])
def test_every_alerts_expression_parses(rule: dict[str, str], loaded: Loaded) -> None:
    loaded.prometheus.query(rule["expr"])


@pytest.mark.parametrize("rule", managed_rules(), ids=lambda rule: rule["title"])
def test_grafanas_alerts_say_what_prometheus_says(
    rule: dict[str, list[dict[str, dict[str, str]]]], loaded: Loaded
) -> None:
    (alert,) = [one for one in alert_rules() if one["alert"] == rule["title"]]

    def labels(expr: str) -> list[dict[str, str]]:
        found = loaded.prometheus.query(expr)
        bare = [{k: v for k, v in one["metric"].items() if k != "__name__"} for one in found]
        return sorted(bare, key=repr)

    # Ours read what a recording rule said a moment ago, theirs what is there now.
    managed = rule["data"][0]["model"]["expr"]
    wait_until("one word of both", lambda: labels(managed) == labels(alert["expr"]))


def test_every_queried_metric_exists(loaded: Loaded) -> None:
    exprs = [target.expr for target in targets()]
    exprs += [rule["expr"] for rule in (*recording_rules(), *alert_rules())]
    exprs += [rule["data"][0]["model"]["expr"] for rule in managed_rules()]
    assert _dead(exprs, _names_there(loaded)) == set()


def test_a_name_that_nobody_says_is_found_out(loaded: Loaded) -> None:
    planted = 'sum by (job) (rate(litellm_cancel_renamed_total{job=~"$service"}[5m])) or vector(0)'
    assert _dead([planted], _names_there(loaded)) == {"litellm_cancel_renamed_total"}


def test_the_exporter_says_the_names_that_the_dashboards_expect(loaded: Loaded) -> None:
    expected = {name for metric in sc.METRICS for name in series(metric)}
    found = {name for name in _names_there(loaded) if name.startswith("litellm_cancel_")}
    assert {name for name in found if ":" not in name} == expected


@pytest.mark.parametrize("metric", sc.METRICS, ids=lambda metric: metric.name)
def test_every_metric_has_a_panel(metric: sc.Metric) -> None:
    read = {name for target in targets() for name in names_read(target.expr)}
    assert any(name in read for name in series(metric)), family(metric)
