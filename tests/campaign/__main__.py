"""Runs the campaign: ``python -m tests.campaign --help``."""

from __future__ import annotations

import argparse
import faulthandler
import json
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from litellm_cancel_otel._demo import quiet

quiet.before_litellm()

from .fates import FATES  # noqa: E402 - LiteLLM reads its environment as it is imported
from .report import Figures, write_document  # noqa: E402 - the same
from .run import Campaign  # noqa: E402 - the same

ROOT = Path(__file__).parents[2]
FIGURES = "figures: "
"""What stands before a run's figures, where another process wants them."""


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--seed", type=int, action="append", default=[])
    parser.add_argument("--batch", type=int, default=100, help="calls whose books are one")
    parser.add_argument("--first", type=int, default=0, help="the first call's number")
    parser.add_argument("--fate", action="append", default=[], help="only calls of this fate")
    parser.add_argument("--but", action="append", default=[], help="no calls of this fate")
    parser.add_argument("--python", action="append", default=[], help="interpreters to run it with")
    parser.add_argument("--limit", type=float, help="seconds after which it ends with its stacks")
    parser.add_argument("--document", type=Path, help="a page whose table the figures go to")
    parser.add_argument("--figures", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def play(chosen: argparse.Namespace, seed: int) -> Figures:
    """Run a campaign in this process and print what came of it."""
    fates = [name for name in chosen.fate or FATES if name not in chosen.but]
    campaign = Campaign(seed, chosen.batch, fates)
    campaign.run(chosen.first, chosen.calls)
    print(campaign.summary(), flush=True)
    return campaign.figures()


def play_with(python: str, chosen: argparse.Namespace, seed: int) -> Figures:
    """Run a campaign with another interpreter, and pass on what it prints."""
    options = ["--calls", chosen.calls, "--batch", chosen.batch, "--first", chosen.first]
    options += ["--seed", seed, "--figures"]
    options += [one for name in chosen.fate for one in ("--fate", name)]
    options += [one for name in chosen.but for one in ("--but", name)]
    command = [python, "-m", "tests.campaign", *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith(FIGURES):
                return Figures(**json.loads(line.removeprefix(FIGURES)))
            print(line, end="", flush=True)
    raise ChildProcessError(f"{python} ended with {running.returncode} and no figures")


def main() -> int:
    """Run, print, write; return 1 where something was out of balance."""
    # A shell that started this in the background has SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chosen = arguments()
    if chosen.limit:
        faulthandler.dump_traceback_later(chosen.limit, exit=True)
    quiet.libraries()
    seeds = chosen.seed or [1]
    if chosen.python:
        found = [play_with(python, chosen, seed) for python in chosen.python for seed in seeds]
    else:
        found = [play(chosen, seed) for seed in seeds]
    if chosen.figures:
        for figures in found:
            print(FIGURES + json.dumps(asdict(figures)), flush=True)
    if chosen.document:
        write_document(chosen.document, found)
    return 1 if any(figures.imbalances for figures in found) else 0


if __name__ == "__main__":
    sys.exit(main())
