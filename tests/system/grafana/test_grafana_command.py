"""``litellm-cancel-otel dashboard``: what it gives, and what it refuses."""

import json
from pathlib import Path

import pytest
from grafana_boards import boards

from litellm_cancel_otel._cli import main
from litellm_cancel_otel._dashboards import command, shipped

Capture = pytest.CaptureFixture[str]


def test_without_a_name_it_lists_the_names(capsys: Capture) -> None:
    assert main(["dashboard"]) == 0
    assert capsys.readouterr().out.split() == sorted(boards())


@pytest.mark.parametrize("name", boards())
def test_it_prints_a_dashboard(name: str, capsys: Capture) -> None:
    assert main(["dashboard", name]) == 0
    assert json.loads(capsys.readouterr().out) == boards()[name]


def test_it_writes_a_file(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "board.json"
    assert main(["dashboard", "overview", "--out", str(out)]) == 0
    assert json.loads(out.read_text(encoding="utf-8")) == boards()["overview"]
    assert capsys.readouterr().out == ""


def test_an_unknown_name_lists_the_names_and_the_nearest(capsys: Capture) -> None:
    assert main(["dashboard", "overveiw"]) == 2
    told = capsys.readouterr().err
    assert all(name in told for name in boards())
    assert "did you mean overview?" in told


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "board.json"
    out.write_text("mine", encoding="utf-8")
    assert main(["dashboard", "overview", "--out", str(out)]) == 2
    assert out.read_text(encoding="utf-8") == "mine"
    assert "--force" in capsys.readouterr().err


def test_with_force_it_is_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "board.json"
    out.write_text("mine", encoding="utf-8")
    assert main(["dashboard", "overview", "--out", str(out), "--force"]) == 0
    assert json.loads(out.read_text(encoding="utf-8"))["title"]


def test_a_folder_that_is_not_there_is_said_in_one_line(tmp_path: Path, capsys: Capture) -> None:
    assert main(["dashboard", "overview", "--out", str(tmp_path / "none" / "x.json")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_file_to_write_needs_a_name(tmp_path: Path, capsys: Capture) -> None:
    assert main(["dashboard", "--out", str(tmp_path / "x.json")]) == 2
    assert "overview" in capsys.readouterr().err


def test_it_needs_neither_the_builder_nor_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "shipped" / "grafana" / "dashboards"
    inside.mkdir(parents=True)
    (inside / "one.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(shipped, "files", lambda _: tmp_path)
    assert list(command.dashboards()) == ["one"]
