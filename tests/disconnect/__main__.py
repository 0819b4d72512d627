"""Measures the matrix and writes its table: ``python -m tests.disconnect --help``."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from itertools import product
from pathlib import Path

from .bench import Bench, open_bench
from .cells import Cell, Server, every_cell, spanning_cells
from .report import Sample, missed, write_csv, write_document
from .runs import Observed
from .servers import ROOT, Running

DOCUMENT = ROOT / "docs" / "disconnects.md"
CELLS = ROOT / "docs" / "disconnects.csv"
AGAIN = 100
"""Clients more, of a cell of which one was late: a 99th percentile of ten is the worst of them."""


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.disconnect", description=__doc__)
    parser.add_argument(
        "--all", action="store_true", help="every cell; without it those that span the matrix"
    )
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        help="an interpreter to run the servers with; one for each version of LiteLLM",
    )
    parser.add_argument("--repeats", type=int, default=10, help="clients of a cell, with package")
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    parser.add_argument("--cells", type=Path, default=CELLS)
    return parser.parse_args()


def litellm_of(python: str) -> str:
    """Return the version of LiteLLM that an interpreter has."""
    asking = "from importlib.metadata import version; print(version('litellm'))"
    done = subprocess.run([python, "-c", asking], check=True, capture_output=True, text=True)
    return done.stdout.strip()


async def measure(
    pythons: Sequence[str], cells: Sequence[Cell], repeats: int
) -> AsyncIterator[Sample]:
    """Run the cells on every interpreter, with the package and without."""
    async with open_bench() as bench:
        for python in pythons:
            version = await asyncio.to_thread(litellm_of, python)
            for server, package in product(Server, (True, False)):
                mine = [cell for cell in cells if cell.server is server]
                clients = repeats if package else 1
                async with bench.site(server, python, package=package) as site:
                    found = await bench.run(site, mine, clients, package=package)
                    if package:
                        found += await look_again(bench, site, found)
                print(f"litellm {version}, {server}, {package=}: {len(found)}", flush=True)
                for observed in found:
                    yield Sample(version, package, observed)


async def look_again(bench: Bench, site: Running, found: Sequence[Observed]) -> list[Observed]:
    """Let more clients of the cells go that missed the objective; what was found before counts."""
    late = missed(found)
    for cell in late:
        print(f"again: {cell}", flush=True)
    return await bench.run(site, late, AGAIN)


async def run(chosen: argparse.Namespace) -> None:
    """Measure and write."""
    cells = every_cell() if chosen.all else spanning_cells()
    pythons = chosen.python or [sys.executable]
    samples = [one async for one in measure(pythons, cells, chosen.repeats)]
    write_csv(chosen.cells, samples)
    write_document(chosen.document, samples)


asyncio.run(run(arguments()))
