"""What stands in the built files: panels, expressions, and the names that expressions read."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import yaml
from grafana_stack import GRAFANA

DASHBOARDS = GRAFANA / "dashboards"
RECORDING = GRAFANA / "prometheus" / "recording-rules.yml"
ALERTS = GRAFANA / "prometheus" / "alert-rules.yml"
RULES = (RECORDING, ALERTS)
MANAGED = GRAFANA / "alerting" / "alert-rules.yml"


class Target(NamedTuple):
    """One query of a panel."""

    board: str
    panel: str
    expr: str
    format: str

    def __str__(self) -> str:
        return f"{self.board}: {self.panel}: {self.expr}"


@cache
def boards() -> dict[str, dict[str, Any]]:
    """Return the dashboards by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every panel that is no heading, with its dashboard's name."""
    for name, board in boards().items():
        for panel in board["panels"]:
            if panel["type"] != "row":
                yield name, panel


def targets(kind: str = "prometheus") -> list[Target]:
    """Return every query of a kind of datasource."""
    return [
        Target(name, panel["title"], target.get("expr", ""), target.get("format", ""))
        for name, panel in panels()
        if panel["datasource"]["type"] == kind
        for target in panel.get("targets", ())
    ]


def recording_rules() -> list[dict[str, Any]]:
    """Return the recording rules."""
    return [rule for group in _groups(RECORDING) for rule in group["rules"]]


def alert_rules() -> list[dict[str, Any]]:
    """Return Prometheus' alerts."""
    return [rule for group in _groups(ALERTS) for rule in group["rules"]]


def managed_rules() -> list[dict[str, Any]]:
    """Return Grafana's alerts."""
    return [rule for group in _groups(MANAGED) for rule in group["rules"]]


def _groups(path: Any) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load(path.read_text())["groups"]
    return groups


CHOICES = {
    "$service": ".*",
    "$instance": ".*",
    "$model": ".*",
    "$provider": ".*",
    "$__rate_interval": "4s",
    "$__range": "10m",
}


def chosen(expr: str, **choices: str) -> str:
    """Return an expression with Grafana's variables filled in."""
    filled = CHOICES | {f"${name}": value for name, value in choices.items()}
    for name in sorted(filled, key=len, reverse=True):
        expr = expr.replace(name, filled[name])
    return expr


_KEYWORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}


def names_read(expr: str) -> set[str]:
    """Return the names of the series that an expression reads."""
    bare = re.sub(r'"[^"]*"', '""', expr)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|offset\s+\S+", " ", bare)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    words = re.findall(r"[A-Za-z_:][\w:]*\b(?!\s*\()", bare)
    return {word for word in words if word not in _KEYWORDS} - {"sum", "max", "group", "count"}
