"""Runs the matrix and writes its page: ``python -m tests.versions --help``."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' own helpers, as pytest has them

from elsewhere.places import PYTHONS, ROOT
from litellm_cancel_otel._demo.ways import WAYS
from support.children import take_default_signals

from .cells import CLIENTS, TRANSPORTS, Job, client_cells, every_cell, jobs
from .environments import Maker
from .page import write
from .releases import UnknownReleaseError, chosen, releases
from .results import Cache, Result
from .running import run_job

PAGE = ROOT / "docs" / "compatibility.md"


def home() -> Path:
    """Return where results are kept: in the user's cache, apart for each version of the package."""
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "litellm-cancel-otel" / "versions" / version("litellm-cancel-otel")


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.versions",
        description="Runs the core's tests and the demo's ways of cancelling on many releases of "
        "LiteLLM. What is there already is not run again: it can be broken off at any time.",
    )
    parser.add_argument("--releases", type=_names, default=[], help="A,B (default: all)")
    parser.add_argument("--pythons", type=_names, default=list(PYTHONS), help="A,B (default: all)")
    parser.add_argument(
        "--transports",
        type=_names,
        default=[*TRANSPORTS, CLIENTS],
        help=f"A,B of {', '.join(TRANSPORTS)}, and {CLIENTS} (default: all)",
    )
    parser.add_argument("--at-once", type=int, default=1, help="environments side by side")
    parser.add_argument("--folder", type=Path, default=home(), help="where the results are kept")
    parser.add_argument("--again", action="store_true", help="also run what is there already")
    parser.add_argument("--failed", action="store_true", help="also run what failed before")
    parser.add_argument("--only-write", action="store_true", help="run nothing, write the page")
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    if not given.page.is_file():
        parser.error(f"{given.page} is not there: the tables go into a page that has their marks")
    return given


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _is_wanted(known: Result | None, chosen_by: argparse.Namespace) -> bool:
    return known is None or chosen_by.again or (chosen_by.failed and not known.is_good)


async def run(wanted: list[Job], cache: Cache, folder: Path, at_once: int) -> None:
    """Run the jobs, so many at a time."""
    maker, room = Maker(folder / "environments"), asyncio.Semaphore(at_once)

    async def one(job: Job) -> None:
        async with room:
            await run_job(job, maker, cache, folder / "work", ",".join(WAYS))

    async with asyncio.TaskGroup() as group:
        for job in wanted:
            group.create_task(one(job))


def _end_what_is_started() -> None:
    """Have Ctrl-C, also from a script in the background, and SIGTERM end the processes too."""
    take_default_signals()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def main() -> int:
    """Run what is missing, and write the page of what is there."""
    _end_what_is_started()
    chosen_by = arguments()
    try:
        wanted = chosen(chosen_by.releases)
    except UnknownReleaseError as exc:
        print(f"python -m tests.versions: {exc}", file=sys.stderr)
        return 2
    folder: Path = chosen_by.folder.resolve()
    cache = Cache(folder)
    if not chosen_by.only_write:
        os.nice(10)  # it takes long, and whoever started it has other work
        cells = every_cell(
            wanted, chosen_by.pythons, [t for t in TRANSPORTS if t in chosen_by.transports]
        )
        cells += client_cells(wanted) if CLIENTS in chosen_by.transports else []
        missing = [cell for cell in cells if _is_wanted(cache.read(cell), chosen_by)]
        asyncio.run(run(list(jobs(missing, wanted)), cache, folder, chosen_by.at_once))
    known = releases()
    results = cache.those_of([*every_cell(known, PYTHONS), *client_cells(known)])
    write(chosen_by.page, known, PYTHONS, results)
    return 0 if all(result.is_good for result in results.values()) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
