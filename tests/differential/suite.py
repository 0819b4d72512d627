"""Runs patterns on both sides, by one warm process for each interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .observation import Observation, differences
from .pattern import Loop, Pattern, Transport

ROOT = Path(__file__).parents[2]
AT_ONCE = 3
"""Children at a time: each waits more than it works."""


class Case(NamedTuple):
    """A pattern over one transport on one kind of loop."""

    pattern: str
    transport: Transport
    loop: Loop

    def __str__(self) -> str:
        return f"{self.pattern} [{self.transport}, {self.loop}]"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the two runs of a case saw, and in what they differ."""

    case: Case
    without: Observation
    with_: Observation
    differences: tuple[str, ...]

    @property
    def pending(self) -> str:
        """Why the case could not be tried; empty where it was."""
        return self.with_.end if self.with_.end.startswith("pending: ") else ""


def cases(
    patterns: Iterable[Pattern], transports: Sequence[Transport], loops: Sequence[Loop]
) -> list[Case]:
    """Return the cases of these patterns that their transports and loops allow."""
    return [
        Case(pattern.name, transport, loop)
        for pattern in patterns
        for transport in transports
        for loop in loops
        if transport in pattern.transports and loop in pattern.loops
    ]


def compare(
    chosen: Sequence[Case],
    python: str = sys.executable,
    *,
    planted: bool = False,
    control: bool = False,
    hangs_after: float = 30,
) -> Iterator[Outcome]:
    """Run each case without the package and with it, and yield what they saw.

    ``control`` runs both without it: a case that differs from itself proves nothing.
    """
    seen: dict[Case, dict[bool, Observation]] = {case: {} for case in chosen}
    rounds = (False, not control)
    jobs = [{**case._asdict(), "package": package} for package in rounds for case in chosen]
    for job, observed in _run(jobs, python, planted, hangs_after):
        case = Case(job["pattern"], job["transport"], job["loop"])
        of_case = seen[case]
        side = job["package"] or (control and False in of_case)
        of_case[side] = Observation(**observed)
        if len(of_case) == len(rounds):
            found = tuple(differences(of_case[False], of_case[True]))
            yield Outcome(case, of_case[False], of_case[True], found)


def _run(
    jobs: list[dict[str, Any]], python: str, planted: bool, hangs_after: float
) -> Iterator[tuple[Any, Any]]:
    command = [python, "-m", "tests.differential.nursery"]
    # This checkout's package, whichever is installed.
    path = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join(path),
        "DIFFERENTIAL_HANGS_AFTER": str(hangs_after),
    }
    nursery = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    try:
        with nursery.stdin:
            json.dump({"jobs": jobs, "planted": planted, "at_once": AT_ONCE}, nursery.stdin)
        for line in nursery.stdout:
            said = json.loads(line)
            yield said["job"], said["seen"]
    finally:
        nursery.stdout.close()
        nursery.terminate()
        nursery.wait()
    # It ended by our word, or had ended before: a nursery that failed has left cases without one.
