"""The benchmarks run: what they measure is theirs to say, and that they measure it is held here."""

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
