"""The core's tests on the other Pythons and on the oldest LiteLLM, in environments of their own.

They are run side by side with the rest of the tests, from the session's start on. The environments
are made where they are not there, and used again where they are: ``.venv-python3.12`` and so on
beside the project, or where ``PYTHON_312_ENVIRONMENT`` and ``OLDEST_LITELLM_ENVIRONMENT`` say. An
interpreter is looked for on PATH, in pyenv and in uv; ``PYTHON_312`` names another.
``-m elsewhere`` runs them and skips what cannot be made; with ``REQUIRE_ALL_TESTS=1`` all is run.
"""

import os
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from elsewhere import interpreters
from elsewhere.places import PINNED, PLACES, PYTHONS, ROOT, THIS
from elsewhere.plugin import Reports
from elsewhere.reports import Report
from support import children
from support.telemetry import LITELLM

REQUIRED = os.environ.get("REQUIRE_ALL_TESTS") == "1"


def project() -> dict[str, Any]:
    """Return what pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def oldest() -> str:
    """Return the oldest LiteLLM that the package says it supports."""
    for dependency in project()["project"]["dependencies"]:
        if found := re.fullmatch(r"litellm>=([\d.]+)", dependency):
            return found[1]
    raise LookupError("pyproject.toml has no 'litellm>='")


def pinned(file: str) -> dict[str, str]:
    """Return the packages of a file of requirements with their versions."""
    text = (PINNED / file).read_text()
    return dict(re.findall(r"^([\w.-]+)==([^ ;]+)", text, re.MULTILINE))


not_here = pytest.mark.skipif(
    ".".join(map(str, LITELLM)) == oldest(), reason="this is the oldest LiteLLM"
)
elsewhere = [pytest.mark.elsewhere, pytest.mark.timeout(3_600)]
MARKS = {name: [not_here] if name == "oldest" else [] for name in PLACES}


def came_of(reports: Reports, place: str) -> Report:
    """Return a place's report; without an environment the test is skipped, or fails."""
    report = reports.of(place)
    if report.cannot is not None:
        (pytest.fail if REQUIRED else pytest.skip)(report.cannot)
    return report


class TestElsewhere:
    pytestmark = elsewhere

    @pytest.mark.parametrize(
        ("place", "run"),
        [
            pytest.param(name, run.name, marks=MARKS[name])
            for name, place in PLACES.items()
            for run in place.runs
        ],
    )
    def test_core(self, reports: Reports, place: str, run: str) -> None:
        ended = came_of(reports, place).runs[run]

        assert ended.code == 0, ended.said

    @pytest.mark.parametrize(
        "place", [pytest.param(name, marks=MARKS[name]) for name in PLACES if name == "oldest"]
    )
    def test_is_the_oldest(self, reports: Reports, place: str) -> None:
        assert came_of(reports, place).versions[1] == oldest()

    @pytest.mark.parametrize("place", [name for name in PLACES if name.startswith("python")])
    def test_is_another_python(self, reports: Reports, place: str) -> None:
        python, litellm = came_of(reports, place).versions

        assert f"python{python}".startswith(f"{place}.")
        assert litellm == pinned("dev.txt")["litellm"]


def test_every_supported_python_is_met() -> None:
    said = project()["project"]["classifiers"]
    supported = [one.rpartition(" ")[2] for one in said if re.search(r":: 3\.\d+$", one)]
    assert tuple(supported) == PYTHONS
    assert {THIS, *(place.python for place in PLACES.values())} == {*PYTHONS, THIS}


def test_what_is_pinned_for_pythons_is_what_is_pinned_here() -> None:
    assert pinned("pythons.txt").items() <= pinned("dev.txt").items()


class TestInterpreters:
    def named(self, path: Path, body: str) -> Path:
        """Write a program of that name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    @pytest.fixture
    def bare(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A home without any Python; the version that is looked for is no real one."""
        for name in ("PYENV_ROOT", "XDG_DATA_HOME", "UV_PYTHON_INSTALL_DIR", "PYTHON_399"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
        return tmp_path

    @pytest.mark.parametrize(
        "place",
        [
            "bin/python3.99",
            ".pyenv/versions/3.99.4/bin/python3.99",
            ".local/share/uv/python/cpython-3.99.4-linux-x86_64-gnu/bin/python3.99",
        ],
    )
    def test_is_found_where_it_is_installed(self, bare: Path, place: str) -> None:
        installed = self.named(bare / place, "echo 3.99")
        assert interpreters.find("3.99") == str(installed)

    def test_a_shim_that_has_nothing_is_passed_over(self, bare: Path) -> None:
        self.named(bare / "bin/python3.99", "echo 'command not found' >&2; exit 127")
        installed = self.named(bare / ".pyenv/versions/3.99.4/bin/python3.99", "echo 3.99")
        assert interpreters.find("3.99") == str(installed)

    def test_the_variable_comes_first(self, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.named(bare / "bin/python3.99", "echo 3.99")
        installed = self.named(bare / "elsewhere/python", "echo 3.99")
        monkeypatch.setenv("PYTHON_399", str(installed))
        assert interpreters.find("3.99") == str(installed)

    def test_another_version_is_not_taken(self, bare: Path) -> None:
        self.named(bare / "bin/python3.99", "echo 3.98")
        with pytest.raises(interpreters.NotFoundError, match=r"no Python 3\.99 .*PYTHON_399"):
            interpreters.find("3.99")

    def test_this_one_is_here(self) -> None:
        assert interpreters.find(THIS) == sys.executable


SESSION = """
import sys, threading
from pathlib import Path
from elsewhere.plugin import Reports

Reports(Path(sys.argv[1])).start("oldest")
threading.Event().wait()
"""
HANGS = "#!/bin/sh\nexec 3>{}\necho runs >&3\nexec sleep 600\n"


def test_what_runs_elsewhere_ends_with_a_session_that_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "told"
    os.mkfifo(told)
    python = tmp_path / "bin" / "python"  # of an environment that somebody else has made
    python.parent.mkdir()
    python.write_text(HANGS.format(told))
    python.chmod(0o755)
    environ = {**os.environ, "OLDEST_LITELLM_ENVIRONMENT": str(tmp_path)}
    command = [sys.executable, "-c", SESSION, tmp_path / "reports"]
    with (
        children.started(command, cwd=ROOT / "tests", env=environ) as session,
        told.open() as said,
    ):
        assert said.readline() == "runs\n"
        session.kill()
        assert said.read() == ""  # nobody has it open any more
