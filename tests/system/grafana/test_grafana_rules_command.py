"""``litellm-cancel-otel rules``: what it gives in each format, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_boards import ALERTS, MANAGED, RECORDING
from grafana_stack import program

from litellm_cancel_otel._cli import main
from litellm_cancel_otel._dashboards.rules_command import FORMATS
from support import children

Capture = pytest.CaptureFixture[str]
PROMETHEUS = [
    group for path in (RECORDING, ALERTS) for group in yaml.safe_load(path.read_text())["groups"]
]
GROUPS = {
    "prometheus": PROMETHEUS,
    "kubernetes": PROMETHEUS,
    "grafana": yaml.safe_load(MANAGED.read_text())["groups"],
}


def groups(content: str) -> Any:
    """Return the groups of rules in a file of any format."""
    loaded = yaml.safe_load(content)
    return loaded.get("spec", loaded)["groups"]


def test_each_format_is_looked_at() -> None:
    assert set(GROUPS) == set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_it_prints_every_group_of_rules(name: str, capsys: Capture) -> None:
    assert main(["rules", "--format", name]) == 0
    assert groups(capsys.readouterr().out) == GROUPS[name]


def test_without_a_format_it_is_a_rule_file_that_prometheus_takes(tmp_path: Path) -> None:
    out = tmp_path / "rules.yml"
    assert main(["rules", "--out", str(out)]) == 0
    assert groups(out.read_text()) == PROMETHEUS
    ended = children.run([program("promtool", "prometheus"), "check", "rules", str(out)])
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_file_that_is_there_stays_as_it_is_without_force(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "rules.yml"
    out.write_text("mine", encoding="utf-8")
    assert main(["rules", "--out", str(out)]) == 2
    assert out.read_text(encoding="utf-8") == "mine"
    told = capsys.readouterr().err
    assert told.startswith("litellm-cancel-otel rules: ")
    assert "--force" in told
    assert main(["rules", "--out", str(out), "--force"]) == 0
    assert groups(out.read_text()) == PROMETHEUS


def test_an_unknown_format_names_those_that_there_are(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["rules", "--format", "helm"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert all(name in told for name in FORMATS)
