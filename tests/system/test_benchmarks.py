"""The benchmarks run: what they measure is theirs to say, and that they measure it is held here."""

import os
import sys
from pathlib import Path

import pytest

from support import children

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


def test_watchdogs() -> None:
    ended = children.run(
        [
            *(sys.executable, "-W", "ignore", ROOT / "benchmarks" / "watchdog.py"),
            *("--streams", "600", "--ticks", "3"),
        ],
    )

    assert ended.returncode == 0, ended.stderr
    assert "600 streams open" in ended.stdout
    assert "after 61 s: 100 streams stuck" in ended.stdout


@pytest.mark.parametrize("work", ["call", "chunk"])
@pytest.mark.parametrize("side", ["bare", "this package"])
def test_work_whose_instructions_are_counted(side: str, work: str) -> None:
    """Without valgrind, which takes some minutes."""
    ended = children.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "benchmarks.instructions"),
            *("--side", side, "--work", work, "--times", "5"),
        ],
        cwd=ROOT,
    )

    assert ended.returncode == 0, ended.stderr


def test_instructions_without_valgrind(tmp_path: Path) -> None:
    ended = children.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.instructions"],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path)},
    )

    assert ended.returncode == 1
    assert "valgrind is not installed" in ended.stderr
