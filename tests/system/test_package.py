"""The package as an index would get it: built without a network, checked, used with its types."""

import os
import re
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from litellm_cancel_otel._dashboards.project import REPOSITORY
from litellm_cancel_otel._dashboards.rules_command import FORMATS
from support import children
from support.children import Ended

ROOT = Path(__file__).parents[2]
CONSUMER = Path(__file__).parent / "consumer"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SHIPPED = "litellm_cancel_otel/_dashboards/shipped/"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("build", "hatchling", "twine"))
        and os.environ.get("REQUIRE_ALL_TESTS") != "1",
        reason="build, hatchling or twine is not installed",
    ),
]


class Built(NamedTuple):
    """The two files of a release."""

    wheel: Path
    sdist: Path


def run(*arguments: str | Path, **options: Any) -> Ended[str]:
    """Run a module of this Python; what it complains of is the failure's text."""
    ended = children.run([sys.executable, "-m", *arguments], **options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build the sdist, and the wheel from it."""
    out = tmp_path_factory.mktemp("dist")
    run("build", "--no-isolation", "--outdir", out, ROOT)
    (wheel,) = out.glob("*.whl")
    (sdist,) = out.glob("*.tar.gz")
    return Built(wheel, sdist)


def names(wheel: Path) -> set[str]:
    """Return the files of a wheel."""
    with zipfile.ZipFile(wheel) as content:
        return set(content.namelist())


def test_twine_finds_nothing_to_complain_of(built: Built) -> None:
    run("twine", "check", "--strict", *built)


def test_the_wheel_has_the_package_with_its_types_and_what_its_commands_hand_out(
    built: Built,
) -> None:
    found = names(built.wheel)
    source = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path)
    }
    boards = {path.relative_to(ROOT) for path in (ROOT / "grafana" / "dashboards").glob("*.json")}
    rules = {path for paths in FORMATS.values() for path in paths}
    assert "litellm_cancel_otel/py.typed" in source
    assert boards
    assert source <= found
    shipped = {f"{SHIPPED}{path}" for path in boards | rules}
    assert {name for name in found if name.startswith(SHIPPED)} == shipped
    others = found - source - shipped
    assert all(name.partition("/")[0].endswith(".dist-info") for name in others), others


def test_the_sdist_has_all_that_the_documents_name(built: Built) -> None:
    with tarfile.open(built.sdist) as content:
        found = {name.partition("/")[2] for name in content.getnames()}
    assert {"LICENSE", "SECURITY.md", "CONTRIBUTING.md", "docs/README.md", "Dockerfile"} <= found
    assert "deploy/kubernetes/kustomization.yaml" in found
    assert "tests/system/test_package.py" in found


def test_every_address_of_the_project_begins_with_the_one_constant(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as content:
        (path,) = (name for name in content.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(content.read(path))
    urls = [line.partition(", ")[2] for line in metadata.get_all("Project-URL", [])]
    assert urls == list(PROJECT["urls"].values())
    for url in urls:
        assert re.match(re.escape(REPOSITORY) + r"(/|$)", url), url
        _, is_a_file, path = url.partition("/blob/main/")
        assert not is_a_file or (ROOT / path).is_file(), url


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("CHANGELOG.md", r"^## (\d\S*)$"),
        ("docker-compose.yml", r"image: litellm-cancel-otel-demo:(\S+)"),
        ("deploy/proxy/Dockerfile", r"litellm_cancel_otel-(\S+?)-py3"),
        ("deploy/kubernetes/proxy/kustomization.yaml", r"newTag: [\d.]+-(\S+)"),
        ("docs/deployment.md", r"litellm-proxy-cancel-otel:[\d.]+-(\S+)"),
        ("docs/releasing.md", r"git push origin v(\S+)"),
    ],
)
def test_the_version_that_a_file_names_first_is_the_packages(path: str, named: str) -> None:
    found = re.search(named, (ROOT / path).read_text(), re.MULTILINE)
    assert found
    assert found[1] == PROJECT["version"]


@pytest.fixture
def python(built: Built, tmp_path: Path) -> Iterator[Path]:
    """An environment with the wheel, which borrows what the wheel needs from this one."""
    run("venv", "--without-pip", tmp_path)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = tmp_path / "lib" / version / "site-packages"
    with zipfile.ZipFile(built.wheel) as content:
        content.extractall(site)
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))
    yield tmp_path / "bin" / "python"


def test_a_consumer_is_checked_against_the_packages_types(python: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--python-executable", python]
    command += ["--cache-dir", tmp_path / "cache", "--no-error-summary", "right.py", "wrong.py"]
    ended = children.run(command, cwd=CONSUMER, env={"PATH": ""})
    said = ended.stdout.splitlines()
    assert len(said) == 1, ended.stdout + ended.stderr
    assert said[0].startswith('wrong.py:5: error: Argument "settings"')


def test_the_command_of_the_wheel_hands_out_what_it_ships(python: Path, tmp_path: Path) -> None:
    def told(*arguments: str) -> str:
        command = [python, "-P", "-m", "litellm_cancel_otel", *arguments]
        ended = children.run(command, cwd=tmp_path, env={"PATH": ""})
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    for name, paths in FORMATS.items():
        assert (ROOT / paths[0]).read_text() in told("rules", "--format", name)
    assert told("dashboard", "overview") == (ROOT / "grafana/dashboards/overview.json").read_text()
