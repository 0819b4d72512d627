"""The rules as files: for Prometheus, for its operator, and for Grafana's own alerting."""

import re
from typing import Any, Final

import yaml

from .alerts import Alert, alerts
from .boards import place
from .project import GRAFANA, runbook
from .recordings import Recording, recordings

GROUP: Final = "litellm-cancel-otel"
DATASOURCE: Final = "prometheus"
"""The uid of the Prometheus datasource that ``grafana/provisioning`` sets up."""

_HEAD: Final = "# Built by python -m litellm_cancel_otel._dashboards; change that, not this.\n"


def recording_file() -> str:
    """Return Prometheus' recording rules."""
    return _yaml({"groups": [_recording_group()]})


def alert_file() -> str:
    """Return Prometheus' alerts."""
    return _yaml({"groups": [_alert_group()]})


def kubernetes_file() -> str:
    """Return both as a resource of the Prometheus operator."""
    return _yaml(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": GROUP},
            "spec": {"groups": [_recording_group(), _alert_group()]},
        }
    )


def grafana_file() -> str:
    """Return the same alerts for Grafana, which needs none of the recording rules for them."""
    group = {
        "orgId": 1,
        "name": GROUP,
        "folder": "LiteLLM cancellations",
        "interval": "1m",
        "rules": [_managed(alert) for alert in alerts()],
    }
    return _yaml({"apiVersion": 1, "groups": [group]})


def expanded(expr: str, recorded: list[Recording]) -> str:
    """Return an expression with every recorded series' own expression in its place."""
    exprs = {rule.record: rule.expr for rule in recorded}
    return re.sub(r"\b[a-z]\w*(?::\w+)+", lambda found: f"({exprs[found[0]]})", expr)


def _recording_group() -> dict[str, Any]:
    rules = [{"record": rule.record, "expr": rule.expr} for rule in recordings()]
    return {"name": f"{GROUP}-recording", "interval": "30s", "rules": rules}


def _alert_group() -> dict[str, Any]:
    rules = [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.for_,
            "labels": {"severity": alert.severity, **alert.labels},
            "annotations": _annotations(alert),
        }
        for alert in alerts()
    ]
    return {"name": GROUP, "interval": "30s", "rules": rules}


def _annotations(alert: Alert) -> dict[str, str]:
    """Return the texts, and the links: Grafana knows the two with underscores by their names."""
    uid, panel = place(*alert.panel)
    service = "var-service={{ $labels.job | urlquery }}"
    return {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": runbook(alert.section),
        "dashboard_url": f"{GRAFANA}/d/{uid}?{service}&viewPanel={panel}",
        "__dashboardUid__": uid,
        "__panelId__": str(panel),
    }


def _managed(alert: Alert) -> dict[str, Any]:
    """Return a Grafana-managed alert that fires for each series that the expression returns.

    The three steps are those of Grafana's own import of Prometheus rules: the query, one where it
    returned any number at all, and the condition on that.
    """
    query = {
        "refId": "query",
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": DATASOURCE,
        "model": {
            "refId": "query",
            "datasource": {"type": "prometheus", "uid": DATASOURCE},
            "expr": expanded(alert.expr, recordings()),
            "instant": True,
            "range": False,
        },
    }
    number = "is_number($query) || is_nan($query) || is_inf($query)"
    above = {"evaluator": {"type": "gt", "params": [0]}}
    texts = {
        # Where Prometheus has one value, Grafana has one for each step.
        name: text.replace("$value", "$values.query.Value")
        for name, text in _annotations(alert).items()
    }
    return {
        "uid": re.sub(r"(?<!^)(?=[A-Z])", "-", alert.name).lower(),
        "title": alert.name,
        "condition": "threshold",
        "data": [
            query,
            _expression("found", {"type": "math", "expression": number}),
            _expression(
                "threshold", {"type": "threshold", "expression": "found", "conditions": [above]}
            ),
        ],
        "noDataState": "OK",
        "execErrState": "Error",
        "for": alert.for_,
        "labels": {"severity": alert.severity, **alert.labels},
        "annotations": texts,
        "isPaused": False,
    }


def _expression(ref: str, model: dict[str, Any]) -> dict[str, Any]:
    source = {"type": "__expr__", "uid": "__expr__"}
    return {
        "refId": ref,
        "datasourceUid": "__expr__",
        "model": {"refId": ref, "datasource": source, **model},
    }


class _Dumper(yaml.SafeDumper):
    """Writes what has more than one line as it reads."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _yaml(content: object) -> str:
    return _HEAD + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=100, indent=2)
