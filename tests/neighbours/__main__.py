"""Runs every order of coming and going beside one neighbour, each in a forked child, as JSON."""

from __future__ import annotations

import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["OTEL_METRICS_EXPORTER"] = "none"

from support.children import take_default_signals
from support.forking import in_child

from .known import KNOWN
from .pair import run

SECONDS = 120


def main(name: str) -> None:
    """Print what came of each order."""
    take_default_signals()
    neighbour = KNOWN[name]
    for comes in ("before", "after"):
        for first in ("theirs", "ours") if neighbour.leaves else ("ours",):
            came = in_child(lambda c=comes, f=first: run(neighbour, c, f), SECONDS)
            print(json.dumps({"comes": comes, "first": first, "came": came}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
