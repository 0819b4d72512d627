"""Runs mutmut and prints its score by file: ``python -m tests.mutation --help``."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOUND = ("killed", "timeout", "caught by type check", "segfault")
"""What mutmut says of a fault that the tests, or their end, have shown."""


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("mutants", nargs="*", help="names or patterns of mutants; default: all")
    parser.add_argument("--at-once", type=int, default=os.cpu_count(), help="mutants side by side")
    parser.add_argument("--sample", type=int, help="try so many, drawn from all by --seed")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--score", action="store_true", help="only print what the last run found")
    return parser.parse_args()


def mutmut(*words: str) -> subprocess.CompletedProcess[str]:
    """Run mutmut in the project's folder; what it prints goes where this program's goes."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, "-m", "mutmut", *words]
    return subprocess.run(command, cwd=ROOT, env=environ, text=True, check=False)


def statuses() -> dict[str, str]:
    """Return each mutant's name with what became of it."""
    command = [sys.executable, "-m", "mutmut", "results", "--all", "true"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = (line.strip().partition(": ") for line in done.stdout.splitlines())
    return {name: status for name, colon, status in lines if colon}


def drawn(count: int, seed: int) -> list[str]:
    """Return the names of some mutants: the same ones for the same seed and source."""
    if not (ROOT / "mutants").exists():
        mutmut("run", "--max-children", "1", "*classify.x__exit*")  # which makes all of them
    names = sorted(statuses())
    return random.Random(seed).sample(names, min(count, len(names)))


def score(found: dict[str, str]) -> list[str]:
    """Return a line for each module: how many of its faults the tests have found."""
    modules: dict[str, Counter[str]] = {}
    for name, status in found.items():
        module = name.partition(".x")[0]
        modules.setdefault(module, Counter())[status] += 1
    total: Counter[str] = Counter()
    lines = ["| module | faults | found | score | the rest |", "|---|---|---|---|---|"]
    for module, counted in [*sorted(modules.items()), ("all", total)]:
        if counted is not total:
            total += counted
        shown = sum(counted[one] for one in FOUND)
        tried = counted.total() - counted["not checked"]
        rest = ", ".join(f"{n} {one}" for one, n in sorted(counted.items()) if one not in FOUND)
        part = f"{shown / tried:.0%}" if tried else "-"
        lines.append(f"| `{module}` | {tried} | {shown} | {part} | {rest or '-'} |")
    return lines


def main() -> int:
    """Run what was asked for, print the score."""
    if find_spec("mutmut") is None:
        print(f"mutmut is not installed: {sys.executable} -m pip install mutmut", file=sys.stderr)
        return 2
    chosen = arguments()
    code = 0
    if not chosen.score:
        mutants = chosen.mutants or (drawn(chosen.sample, chosen.seed) if chosen.sample else [])
        code = mutmut("run", "--max-children", str(chosen.at_once), *mutants).returncode
    print(*score(statuses()), sep="\n")
    return code


sys.exit(main())
