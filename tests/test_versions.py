"""The core's tests under the oldest LiteLLM that is supported, in a virtual environment of its own.

``OLDEST_LITELLM_ENVIRONMENT`` names the environment's folder (default: ``.venv-oldest`` beside
the project); it is made where it is not there, and used again where it is. Where it cannot be made
these tests are skipped, unless ``REQUIRE_ALL_TESTS=1``.
"""

import hashlib
import os
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Any

import pytest

from telemetry import LITELLM

ROOT = Path(__file__).parent.parent
REQUIRED = os.environ.get("REQUIRE_ALL_TESTS") == "1"
CORE = (
    *("calls", "streams", "endings", "azure", "await_points", "operations", "lifecycle"),
    *("faults", "upstream", "provider", "handling", "fakes", "waste"),
)
"""The tests that meet LiteLLM; each is a file."""


def project() -> dict[str, Any]:
    """Return what pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def oldest() -> str:
    """Return the oldest LiteLLM that the package says it supports."""
    for dependency in project()["project"]["dependencies"]:
        if found := re.fullmatch(r"litellm>=([\d.]+)", dependency):
            return found[1]
    raise LookupError("pyproject.toml has no 'litellm>='")


pytestmark = [
    pytest.mark.oldest,
    pytest.mark.timeout(1_200),
    pytest.mark.skipif(
        ".".join(map(str, LITELLM)) == oldest(), reason="this is the oldest LiteLLM"
    ),
]


PINNED = ROOT / "requirements" / "oldest.txt"


def installs() -> list[list[str]]:
    """Return what pip is to install, one run after the other."""
    # As constraints too: before pip 23.3 the pin of `pydantic` is none of `pydantic[email]`.
    pinned = ["--require-hashes", "-r", str(PINNED), "-c", str(PINNED)]
    return [pinned, ["--no-deps", "-e", str(ROOT)]]


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of an environment that has the oldest LiteLLM."""
    folder = Path(os.environ.get("OLDEST_LITELLM_ENVIRONMENT", ROOT / ".venv-oldest"))
    interpreter = folder / "bin" / "python"
    stamp = folder / "requirements.sha256"
    wanted = hashlib.sha256(sys.version.encode() + PINNED.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return interpreter
    if interpreter.exists() and not stamp.exists():
        return interpreter  # made by somebody else: theirs to keep
    venv.create(folder, clear=True, with_pip=True)
    for wanted_now in installs():
        install = [str(interpreter), "-m", "pip", "install", "--quiet", *wanted_now]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if not done.returncode:
            continue
        message = f"pip could not make the environment:\n{done.stderr[-2_000:]}"
        if REQUIRED:
            pytest.fail(message)
        pytest.skip(message)
    stamp.write_text(wanted)
    return interpreter


def test_is_the_oldest(python: Path) -> None:
    code = "from importlib.metadata import version; print(version('litellm'))"
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == oldest()


def test_core(python: Path) -> None:
    files = [f"tests/test_{name}.py" for name in CORE]
    ended = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout[-8_000:] + ended.stderr[-2_000:]
