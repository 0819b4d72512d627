"""A process of a cell: what it prints goes into files, and it ends with whoever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from support import children

HOUR = 3_600.0


async def run(
    command: children.Command,
    *,
    log: Path,
    environ: Mapping[str, str],
    cwd: Path,
    out: Path | None = None,
) -> int:
    """Run a command to its end; return its exit code.

    What it prints is put behind what the log has, or its standard output into a file of its own.
    """
    with ExitStack() as files:
        err = files.enter_context(log.open("ab"))
        stdout = err if out is None else files.enter_context(out.open("wb"))
        outputs = {"stdin": children.DEVNULL, "stdout": stdout, "stderr": err}
        async with (
            asyncio.timeout(HOUR),
            children.astarted(command, cwd=cwd, env=dict(environ), **outputs) as process,
        ):
            return await process.wait()


def end_of(log: Path, characters: int = 3_000) -> str:
    """Return the end of what a log has."""
    return log.read_text(errors="replace")[-characters:]
