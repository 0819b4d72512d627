"""Runs the soak: ``python -m tests.soak --help``."""

from __future__ import annotations

import argparse
import faulthandler
import sys
from pathlib import Path

from litellm_cancel_otel._demo import quiet

quiet.before_litellm()

from ..campaign.fates import FATES  # noqa: E402 - LiteLLM reads its environment as it is imported
from .run import Soak  # noqa: E402 - the same
from .table import write_document  # noqa: E402 - the same

LATE = 300.0
"""Seconds after its end by which a soak must have ended: a backstop."""


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--calls", type=int, help="as many, instead of so many minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=100, help="calls from one look to the next")
    parser.add_argument("--document", type=Path, help="a page whose table the figures go to")
    return parser.parse_args()


def main() -> int:
    """Soak and print; return 1 where something has grown or was out of balance."""
    chosen = arguments()
    faulthandler.dump_traceback_later(60 * chosen.minutes + LATE, exit=True)
    quiet.libraries()
    soak = Soak(chosen.seed, chosen.batch, list(FATES))
    calls = chosen.calls
    soak.go_on(60 * chosen.minutes if calls is None else None, calls)
    found = soak.flatness()
    print(found.text(), flush=True)
    if chosen.document:
        write_document(chosen.document, found)
    return 1 if soak.imbalances else 0


if __name__ == "__main__":
    sys.exit(main())
