"""Every file that is built, by its path from the repository's root."""

from collections.abc import Mapping
from typing import Final

from . import overview, provider, stuck, telemetry
from .frame import Board
from .rule_files import alert_file, grafana_file, kubernetes_file, recording_file

BOARDS: Final = tuple(module.board() for module in (overview, provider, stuck, telemetry))


def files() -> Mapping[str, str]:
    """Return the content of each."""
    return {
        **{_path(board): board.json() for board in BOARDS},
        "grafana/prometheus/recording-rules.yml": recording_file(),
        "grafana/prometheus/alert-rules.yml": alert_file(),
        "grafana/alerting/alert-rules.yml": grafana_file(),
        "deploy/kubernetes/prometheus-rule.yaml": kubernetes_file(),
    }


def _path(board: Board) -> str:
    return f"grafana/dashboards/{board.name}.json"
