"""Compares what applications see: ``python -m tests.differential --help``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from litellm_cancel_otel._demo import quiet

quiet.before_litellm()

from .pattern import LOOPS, TRANSPORTS, Pattern, every_pattern  # noqa: E402 - LiteLLM comes after
from .suite import Outcome, cases, compare  # noqa: E402 - the same


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--python", action="append", help="an interpreter that has the package")
    parser.add_argument("--pattern", action="append", help="the name of one, or its beginning")
    parser.add_argument("--transport", action="append", choices=TRANSPORTS)
    parser.add_argument("--loop", action="append", choices=LOOPS, help="asyncio without it")
    parser.add_argument("--list", action="store_true", help="say what each pattern does")
    parser.add_argument("--seen", action="store_true", help="show what both sides saw")
    parser.add_argument("--control", action="store_true", help="run both sides without the package")
    return parser.parse_args()


def chosen_patterns(names: Sequence[str] | None) -> list[Pattern]:
    """Return the patterns of these names, or all."""
    known = every_pattern().values()
    return [one for one in known if not names or one.name.startswith(tuple(names))]


def tell(outcome: Outcome, *, seen: bool) -> None:
    """Print a case's line, and what it saw where that is asked for."""
    said = " | ".join(outcome.differences) or outcome.pending or "the same"
    took = f" ({outcome.without.seconds:.1f} s, {outcome.with_.seconds:.1f} s)" if seen else ""
    print(f"{outcome.case}{took}: {said}", flush=True)
    if outcome.differences:
        for line in outcome.with_.stacks or outcome.without.stacks:
            print(f"    {line}")
    if seen:
        print(f"  without: {outcome.without}\n  with:    {outcome.with_}", flush=True)


def main() -> int:
    """Compare, and return 1 where anything differs."""
    chosen = arguments()
    patterns = chosen_patterns(chosen.pattern)
    if chosen.list:
        for one in patterns:
            print(f"{one.name}: {one.does}")
        return 0
    todo = cases(patterns, chosen.transport or TRANSPORTS, chosen.loop or ("asyncio",))
    if not todo:
        print("there is no such pattern", file=sys.stderr)
        return 2
    differ = 0
    for python in chosen.python or [sys.executable]:
        if chosen.python:
            print(f"{python}:")
        told = 0
        for outcome in compare(todo, python, control=chosen.control):
            tell(outcome, seen=chosen.seen)
            told += 1
            differ += bool(outcome.differences)
        differ += len(todo) - told
        print(f"{told} of {len(todo)} told, {differ} differ")
    return min(differ, 1)


if __name__ == "__main__":
    sys.exit(main())
