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


def found(python: Path, side: str, part: str, *more: str) -> dict[str, Any]:
    """Return what a side's process found; RuntimeError with its last lines where it failed."""
    command = [python, "-m", "benchmarks.peers.child", side, part, *more]
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=BACKSTOP,
    )
    for line in ended.stdout.splitlines():
        if line.startswith(FOUND):
            told: dict[str, Any] = json.loads(line.removeprefix(FOUND))
            return told
    raise RuntimeError(f"{side} {part} found nothing:\n{ended.stderr[-2_000:]}")


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
