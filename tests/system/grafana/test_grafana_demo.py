"""The demo's own load, scraped by a real Prometheus: what the code says is what the panels ask."""

import sys
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from grafana_boards import RULES, Target, chosen, names_read, targets
from grafana_stack import Prometheus, free_port, impatient, missing, wait_until

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.prometheus import FOREIGN, series
from support import children

pytestmark = pytest.mark.long

NEVER = {sc.SWALLOWED, sc.STREAMS_STUCK}
"""What does not happen in the demo, which cleans up at once."""
UNSAID = {name for metric in (*NEVER, *FOREIGN) for name in series(metric)}
QUIET = {"Internal errors, by seam"}
"""Panels that are empty while all is well, although what they ask for is there."""

SEEN = (
    'litellm_cancel_cancellations_total{cancellation_type="azure_internal"}',
    'litellm_cancel_cancellations_total{litellm_cancel_source="client_disconnect"}',
    'litellm_cancel_cancellations_total{litellm_cancel_source="abandoned"}',
    "litellm_cancel_guard_actions_total",
    "count_over_time(litellm_cancel_cost_undelivered_USD_total[1m]) >= 2",
    "count_over_time(litellm_cancel_internal_errors_total[1m]) >= 16",
)
"""What must have happened twice, so that there is a rate, before the panels are asked."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the demo under load."""
    if find_spec("prometheus_client") is None:
        missing("prometheus_client is not installed")
    home, port = tmp_path_factory.mktemp("demo"), free_port()
    command = [sys.executable, "-m", "litellm_cancel_otel", "demo", "--load", "600"]
    command += ["--rate", "10", "--prometheus", str(port), "--for", "1"]
    with (home / "demo.log").open("wb") as log, children.started(command, stdout=log, stderr=log):
        rules = impatient(RULES, home / "rules")
        with Prometheus(home, {"demo": port}, job="demo", rules=rules) as prometheus:
            for expr in SEEN:
                wait_until(expr, lambda expr=expr: prometheus.query(expr))  # type: ignore[misc]
            yield prometheus


def test_the_code_says_every_metric_of_the_contract(demo: Prometheus) -> None:
    there = set(demo.get("/api/v1/label/__name__/values")["data"])
    expected = {name for metric in sc.METRICS if metric not in NEVER for name in series(metric)}
    assert expected - there == set()


@pytest.mark.parametrize("target", targets(), ids=lambda target: f"{target.board}-{target.panel}")
def test_every_panel_shows_what_the_demo_does(target: Target, demo: Prometheus) -> None:
    provider = "openai" if '!="$provider' in target.expr else ".*"
    if names_read(target.expr) & UNSAID or target.panel in QUIET:
        return
    expr = chosen(target.expr, provider=provider, __rate_interval="10s")
    wait_until(target.panel, lambda: demo.query(expr))  # what is rare is not in every window


def test_no_alert_fires_while_the_demo_runs_as_it_should(demo: Prometheus) -> None:
    # A scrape that fails on a busy machine is a silence of half a second, and here one is enough.
    wait_until("moment without an alert", lambda: not demo.alerts())
