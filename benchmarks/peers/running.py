"""Runs sides in processes of their own, in their environments."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .environments import ROOT

FOUND = "found: "
"""What stands before the line in which a child tells what it found."""
BACKSTOP = 600


def child_environment() -> dict[str, str]:
    """Return the variables of a child: none of the user's telemetry, this checkout's code."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return ours | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}


def child_command(python: Path, side: str, part: str, *more: str) -> list[str]:
    """Return what runs a side in a process of its own."""
    return [str(python), "-m", "benchmarks.peers.child", side, part, *more]


def found_in(output: str) -> dict[str, Any] | None:
    """Return what a side's process found; None where it does not say."""
    for line in output.splitlines():
        if line.startswith(FOUND):
            told: dict[str, Any] = json.loads(line.removeprefix(FOUND))
            return told
    return None


def found(python: Path, side: str, part: str, *more: str) -> dict[str, Any]:
    """Run a side; return what it found, or raise RuntimeError with its last lines."""
    ended = subprocess.run(
        child_command(python, side, part, *more),
        cwd=ROOT,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=BACKSTOP,
    )
    if (told := found_in(ended.stdout)) is None:
        raise RuntimeError(f"{side} {part} found nothing:\n{ended.stderr[-2_000:]}")
    return told


@contextmanager
def provider() -> Iterator[str]:
    """Run the fake provider in a process of its own; yield its address."""
    command = [sys.executable, "-m", "benchmarks.peers.provider"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=child_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdin is not None and running.stdout is not None
        yield running.stdout.readline().strip()
        running.stdin.close()
