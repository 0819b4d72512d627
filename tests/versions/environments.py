"""Makes the environment of a release on a Python, with uv where it is there and else with pip."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

from elsewhere.environments import NotMadeError
from elsewhere.interpreters import find
from elsewhere.places import ROOT

from . import processes
from .cells import Job
from .releases import Release

NEEDS = Path(__file__).with_name("needs.txt")


class Maker:
    """Makes environments in a folder; what was tried, and what was said, is in logs beside them."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._uv = shutil.which("uv")

    async def make(self, job: Job) -> tuple[Path, tuple[str, ...]]:
        """Return an environment's interpreter, and the overrides that it needed."""
        folder, log = self._home / job.name, self._home / f"{job.name}.log"
        self._home.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        interpreter = await asyncio.to_thread(find, job.python)
        for overrides in attempts(job.release):
            shutil.rmtree(folder, ignore_errors=True)
            if await self._make(interpreter, folder, job.release, overrides, log):
                return folder / "bin" / "python", overrides
        raise NotMadeError(processes.end_of(log))

    def remove(self, job: Job) -> None:
        """Remove an environment: uv makes another one in seconds."""
        shutil.rmtree(self._home / job.name, ignore_errors=True)

    async def _make(
        self,
        interpreter: str,
        folder: Path,
        release: Release,
        overrides: tuple[str, ...],
        log: Path,
    ) -> bool:
        python = folder / "bin" / "python"
        wanted: list[str | Path] = ["-r", NEEDS]
        if release.is_lowest:
            lowest = self._home / f"{folder.name}.txt"
            if not await self._do(log, *lowest_command(self._uv, interpreter, lowest)):
                return False
            wanted += ["-r", lowest]
        else:
            wanted.append(f"litellm=={release.version}")
        if overrides:
            file = self._home / f"{folder.name}-overrides.txt"
            file.write_text("\n".join(overrides))
            wanted += ["--overrides", file]
        if self._uv is None:
            new: list[str | Path] = [interpreter, "-m", "venv", "--clear", folder]
            install: list[str | Path] = [python, "-m", "pip", "install", "-q", "--no-compile"]
        else:
            new = [self._uv, "venv", "-q", "--python", interpreter, folder]
            install = [self._uv, "pip", "install", "-q", "--python", python]
        return (
            await self._do(log, *new)
            and await self._do(log, *install, *wanted)
            and await self._do(log, *install, "--no-deps", "-e", ROOT)
        )

    async def _do(self, log: Path, *command: str | Path) -> bool:
        with log.open("a") as output:
            print("$", *command, file=output, flush=True)
        return await processes.run(command, log=log, environ=os.environ, cwd=ROOT) == 0


def attempts(release: Release) -> list[tuple[str, ...]]:
    """Return the overrides to try, one after the other: first none."""
    return [(), release.overrides] if release.overrides else [()]


def lowest_command(uv: str | None, interpreter: str, output: Path) -> list[str | Path]:
    """Return the command that writes the declared minimums, and what these need, into a file."""
    if uv is None:
        raise NotMadeError("pip cannot resolve the declared minimums: it takes uv")
    lowest: list[str | Path] = [uv, "pip", "compile", "-q", "--resolution", "lowest-direct"]
    return [*lowest, "--python", interpreter, ROOT / "pyproject.toml", "-o", output]
