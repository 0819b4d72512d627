"""Panels can be read without traffic, with one provider, one replica and a hundred models."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_boards import chosen, panels, targets
from grafana_load import Replica
from grafana_stack import Prometheus, wait_until

from litellm_cancel_otel._dashboards.promql import LEADING

HUNDRED = [f"model-{number:03}" for number in range(100)]
WINDOW = "16s"
CROWD = [f"replica-{number:02}" for number in range(12)]
TILES = [
    (name, panel)
    for name, panel in panels()
    if panel["type"] == "stat" and panel["datasource"]["type"] == "prometheus"
]
LEADERS = [target for target in targets() if "topk(" in target.expr]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A replica without a call, one with one model, one with a hundred that all go wrong."""
    home = tmp_path_factory.mktemp("readable")
    with (
        Replica("idle", seed=1, calls_a_second=0) as idle,
        Replica("one", seed=2, models={"azure": ("gpt-4o",)}) as one,
        Replica("many", seed=3, calls_a_second=60, models={"azure": HUNDRED}) as many,
    ):
        many.faults.update({"internal", "undelivered", "after_disconnect"})
        ports = {replica.name: replica.port for replica in (idle, one, many)}
        ports |= dict.fromkeys(CROWD, one.port)  # a dozen replicas, as far as Prometheus knows
        with Prometheus(home, ports, interval="4s") as prometheus:
            models = "count(count by (gen_ai_request_model) (litellm_cancel_calls_total))"
            rising = 'rate(litellm_cancel_cancellations_total{instance="many"}[16s]) > 0'
            enough = f"{models} > 100 and count({rising}) > 50"
            idle_twice = 'rate(litellm_cancel_internal_errors_total{instance="idle"}[16s])'
            wait_until("every model", lambda: prometheus.query(enough), 90)
            wait_until("two scrapes", lambda: prometheus.query(idle_twice))
            yield prometheus


@pytest.mark.parametrize("instance", ["idle", "one", "many"])
@pytest.mark.parametrize(
    ("name", "panel"), TILES, ids=lambda value: value["title"] if isinstance(value, dict) else value
)
@pytest.mark.long
def test_a_tile_is_one_number_or_says_why_not(
    name: str, panel: dict[str, Any], instance: str, prometheus: Prometheus
) -> None:
    (target,) = panel["targets"]
    found = prometheus.query(chosen(target["expr"], instance=instance, __rate_interval=WINDOW))
    assert len(found) <= 1
    for one in found:
        assert math.isfinite(float(one["value"][1]))
    if not found:
        assert panel["fieldConfig"]["defaults"]["noValue"] in {"no calls", "no cancels"}


@pytest.mark.long
def test_no_call_is_said_and_is_no_share_of_zero(prometheus: Prometheus) -> None:
    (share,) = [
        panel for name, panel in TILES if (name, panel["title"]) == ("overview", "Cancelled")
    ]
    assert (
        prometheus.query(
            chosen(share["targets"][0]["expr"], instance="idle", __rate_interval=WINDOW)
        )
        == []
    )


@pytest.mark.parametrize("target", LEADERS, ids=lambda target: f"{target.board}-{target.panel}")
@pytest.mark.long
def test_a_panel_shows_the_leading_few_of_many(target: Any, prometheus: Prometheus) -> None:
    expr = chosen(target.expr, __rate_interval=WINDOW)
    wait_until(f"{LEADING} series", lambda: len(prometheus.query(expr)) == LEADING)


@pytest.mark.parametrize(("instance", "rows"), [("idle", 0), ("one", 1), ("many", 1)])
@pytest.mark.long
def test_the_providers_table_has_a_row_for_each_provider_that_is_called(
    instance: str, rows: int, prometheus: Prometheus
) -> None:
    (calls, *_) = [one for one in targets() if one.panel == "Providers side by side"]
    assert len(prometheus.query(chosen(calls.expr, instance=instance))) == rows
