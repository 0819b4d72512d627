"""Runs the campaign: ``python -m tests.campaign --help``."""

from __future__ import annotations

import argparse
import sys

from litellm_cancel_otel._demo import quiet

quiet.before_litellm()

from .fates import FATES  # noqa: E402 - the same
from .run import Campaign  # noqa: E402 - LiteLLM reads its environment as it is imported


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=100, help="calls whose books are one")
    parser.add_argument("--fate", action="append", default=[], help="only calls of this fate")
    parser.add_argument("--but", action="append", default=[], help="no calls of this fate")
    parser.add_argument("--first", type=int, default=0, help="the first call's number")
    return parser.parse_args()


def main() -> int:
    chosen = arguments()
    quiet.libraries()
    fates = [name for name in chosen.fate or FATES if name not in chosen.but]
    campaign = Campaign(chosen.seed, chosen.batch, fates)
    campaign.run(chosen.first, chosen.calls)
    print(campaign.summary())
    return 1 if campaign.imbalances else 0


if __name__ == "__main__":
    sys.exit(main())
