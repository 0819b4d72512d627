"""The tree is as its linter, its formatter and the type checker want it."""

import sys
from pathlib import Path

import pytest

from support import children

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "words",
    [
        ("ruff", "check"),
        ("ruff", "format", "--check"),
        pytest.param(("mypy",), marks=pytest.mark.long),
    ],
    ids=["ruff check", "ruff format", "mypy"],
)
def test_has_nothing_to_say(words: tuple[str, ...]) -> None:
    ended = children.run([sys.executable, "-m", *words], cwd=ROOT, timeout=600)

    assert ended.returncode == 0, ended.stdout + ended.stderr
