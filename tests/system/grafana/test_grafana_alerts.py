"""Each alert from end to end: a replica, Prometheus, Alertmanager, and what a webhook is told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from grafana_boards import RULES, alert_rules
from grafana_load import Replica
from grafana_stack import Alertmanager, Prometheus, Webhook, impatient, wait_until

ALERTS = {rule["alert"]: rule for rule in alert_rules()}

CAUSES = {
    "LitellmCancelStreamsStuck": {"after_disconnect", "orphaned", "no_chunk"},
    "LitellmCancelFinallyLateFastBurn": {"late_finally"},
    "LitellmCancelFinallyLateSlowBurn": {"late_finally"},
    "LitellmCancelUpstreamLeftOpen": {"upstream_left_open"},
    "LitellmCancelInternalAboveUsual": {"internal"},
    "LitellmCancelSwallowed": {"swallowed"},
    "LitellmCancelSpansLost": {"spans_lost"},
    "LitellmCancelTelemetryFaults": {"faults"},
}
"""The fault of a replica that each is for."""

GONE = {"LitellmCancelTelemetrySilent", "LitellmCancelCollectorAway"}
"""Those for a service, and a Collector, that die."""

USUAL = (
    'job_provider:litellm_cancel_internal:ratio_increase15m{job="chat",'
    'gen_ai_provider_name="azure.ai.openai"}'
)


class Course(NamedTuple):
    """What became known of a service in which everything goes wrong."""

    before: set[str]
    """The alerts that were pending or firing while all was well."""
    told: dict[str, dict[str, Any]]
    """What the webhook was told, by the alert's name."""


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    """A service that is well, then has every fault, then dies."""
    home = tmp_path_factory.mktemp("alerts")
    with (
        Webhook() as webhook,
        Alertmanager(home / "alertmanager", webhook.url) as alertmanager,
        Replica("a", seed=1) as replica,
        Prometheus(
            home,
            {replica.name: replica.port},
            rules=impatient(RULES, home / "rules"),
            alertmanager=alertmanager,
            past={USUAL: 0},
        ) as prometheus,
    ):
        enough = "job:litellm_cancel_finally:increase1h > 30"
        wait_until("cancels", lambda: prometheus.query(enough))
        before = set(prometheus.alerts())
        replica.faults.update({"collector"}, *CAUSES.values())
        wait_until("alerts but silence", lambda: CAUSES.keys() <= webhook.told.keys())
        replica.close()
        wait_until("silence", lambda: ALERTS.keys() <= webhook.told.keys())
        yield Course(before, webhook.told)


def test_every_alert_has_its_cause() -> None:
    assert ALERTS.keys() == CAUSES.keys() | GONE


@pytest.mark.long
def test_no_alert_fires_while_all_is_well(course: Course) -> None:
    assert course.before == set()


@pytest.mark.parametrize("name", ALERTS)
@pytest.mark.long
def test_it_reaches_whoever_is_on_call(name: str, course: Course) -> None:
    alert = course.told[name]
    assert alert["labels"]["severity"] == ALERTS[name]["labels"]["severity"]
    assert alert["labels"]["job"] == "chat"
    assert alert["annotations"]["runbook_url"] == ALERTS[name]["annotations"]["runbook_url"]
    assert "?var-service=chat&viewPanel=" in alert["annotations"]["dashboard_url"]
    assert "chat" in alert["annotations"]["summary"]


@pytest.mark.parametrize("name", ALERTS)
@pytest.mark.long
def test_its_texts_are_filled_in(name: str, course: Course) -> None:
    texts = course.told[name]["annotations"]
    assert not [text for text in texts.values() if "{{" in text or "<no value>" in text]


def test_what_is_fired_here_is_what_is_shipped(tmp_path: Path) -> None:
    for shipped, copy in zip(RULES, impatient(RULES, tmp_path), strict=True):
        assert _without_patience(copy) == _without_patience(shipped)


def _without_patience(path: Path) -> list[dict[str, Any]]:
    rules = [
        rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]
    ]
    return [{key: value for key, value in rule.items() if key != "for"} for rule in rules]
