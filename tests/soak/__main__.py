"""Runs a soak: ``python -m tests.soak --help``.

Two processes play the same kinds of calls side by side, one with the package and one without it.
The last line says that it was flat, or what has grown; the status is 1 then.
"""

from __future__ import annotations

import argparse
import faulthandler
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from litellm_cancel_otel._demo import quiet

quiet.before_litellm()

from .rule import grown  # noqa: E402 - LiteLLM reads its environment as it is imported
from .run import TRANSPORTS, Plan, Played, play  # noqa: E402 - the same
from .table import more, table, write_document  # noqa: E402 - the same

ROOT = Path(__file__).parents[2]
PLAYED = "played: "
"""What stands before what came of a side, where another process wants it."""
LATE = 600.0
"""Seconds after its time by which a side must have ended: a backstop."""


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--calls", type=int, help="as many on each side, instead of minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--transport", choices=TRANSPORTS, help="by default both, in turn")
    parser.add_argument("--batch", type=int, default=100, help="calls whose books are one")
    parser.add_argument("--every", type=int, default=5, help="batches from one look to the next")
    parser.add_argument("--side", choices=("watched", "bare"), help="this one alone")
    parser.add_argument("--document", type=Path, help="a page whose table the figures go to")
    parser.add_argument("--played", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(given)


def plan(chosen: argparse.Namespace) -> Plan:
    """Return how the chosen side is to be played."""
    return Plan(
        side=chosen.side,
        seconds=60 * chosen.minutes,
        calls=chosen.calls,
        batch=chosen.batch,
        every=chosen.every,
        seed=chosen.seed,
        transports=(chosen.transport,) if chosen.transport else TRANSPORTS,
    )


def play_here(chosen: argparse.Namespace) -> Played:
    """Play the chosen side in this process."""
    faulthandler.dump_traceback_later(60 * chosen.minutes + LATE, exit=True)
    quiet.libraries()
    return play(plan(chosen))


def play_apart(side: str, options: Sequence[str]) -> Played:
    """Play a side in a process of its own, and pass on what it prints."""
    command = [sys.executable, "-m", "tests.soak", *options, "--side", side, "--played"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith(PLAYED):
                return Played.from_json(line.removeprefix(PLAYED))
            print(line, end="", flush=True)
    raise ChildProcessError(f"the {side} side ended with {running.returncode} and no figures")


def verdict(played: Mapping[str, Played]) -> str:
    """Return the last line: that it was flat, or what was not."""
    sides = {side: of.looks for side, of in played.items()}
    watched = sides.pop("watched", None) or sides.pop("bare")
    found = [line for of in played.values() for line in of.imbalances]
    wrong = [*grown(watched, sides.get("bare", ())), *found[:3]]
    return "not flat: " + "; ".join(wrong) if wrong else f"flat: {watched[-1].calls:,} calls"


def main() -> int:
    """Soak and print; return 1 where something has grown or was out of balance."""
    chosen = arguments()
    if chosen.side:
        played = {chosen.side: play_here(chosen)}
    else:
        with ThreadPoolExecutor(2) as both:
            sides = ("watched", "bare")
            played = dict(
                zip(
                    sides, both.map(lambda side: play_apart(side, sys.argv[1:]), sides), strict=True
                )
            )
    if chosen.played:
        print(PLAYED + played[chosen.side].to_json(), flush=True)
        return 0
    for of in played.values():
        print(*of.imbalances, sep="\n", end="\n" if of.imbalances else "")
    figures = (
        f"Python {platform.python_version()}, LiteLLM {version('litellm')}, seed {chosen.seed}."
    )
    text = f"{figures}\n\n{table(played)}"
    last = verdict(played)
    print(*more(played), text, last, sep="\n", flush=True)
    if chosen.document:
        write_document(chosen.document, f"{text}\n`{last}`\n")
    return 1 if last.startswith("not") else 0


if __name__ == "__main__":
    sys.exit(main())
