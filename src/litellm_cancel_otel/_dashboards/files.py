"""Every file that is built, by its path from the repository's root."""

from collections.abc import Mapping

from .boards import BOARDS
from .frame import Board
from .rule_files import alert_file, grafana_file, kubernetes_file, recording_file


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
