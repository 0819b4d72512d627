"""Runs one cell: the tests, then the demo, each in a process of the cell's environment."""

from __future__ import annotations

import json
import os
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from elsewhere.environments import NotMadeError
from elsewhere.interpreters import NotFoundError
from elsewhere.places import ROOT

from . import processes
from .cells import CLIENTS, TRANSPORTS, Cell, Job
from .environments import Maker
from .results import Cache, Checked, Result

VERSIONS = (
    "import json, platform; from importlib.metadata import version; "
    "names = ('litellm', 'openai', 'httpx', 'aiohttp', 'opentelemetry-api', 'opentelemetry-sdk', "
    "'opentelemetry-exporter-otlp'); "
    "print(json.dumps({'python': platform.python_version(), **{n: version(n) for n in names}}))"
)
ONE_LOOP = "not uvloop and not eager"
"""asyncio's plain loop: the others are not LiteLLM's affair, and their tests run elsewhere."""

PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "-k", ONE_LOOP)


async def run_job(job: Job, maker: Maker, cache: Cache, work: Path, ways: str) -> None:
    """Make a job's environment, run its cells, keep what came of each, remove the environment."""
    try:
        try:
            python, overrides = await maker.make(job)
        except (NotFoundError, NotMadeError) as exc:
            for cell in job.cells:
                cache.write(cell, Result(cannot=str(exc)))
                print(f"{cell}: no environment", flush=True)
            return
        for cell in job.cells:
            result = await _run(cell, python, overrides, work / cell.name, ways)
            cache.write(cell, result)
            print(f"{cell}: {told(result)}", flush=True)
    finally:
        maker.remove(job)


def told(result: Result) -> str:
    """Say in a line what came of a cell."""
    if result.cannot is not None:
        return result.cannot.strip().rpartition("\n")[2]
    tests = result.tests
    wrong = [*tests.failed, *result.problems]
    counts = f"{tests.passed} passed, {len(tests.failed)} failed, {len(result.rows)} ways"
    return "; ".join([counts, *wrong])


class _Place:
    """Where the processes of a cell run."""

    def __init__(self, cell: Cell, python: Path, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.folder = folder
        self.log = folder / "log"
        self._python = python
        of = {} if cell.transport == CLIENTS else TRANSPORTS[cell.transport].environ
        self._environ = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **of}

    async def do(self, *words: str | Path, out: Path | None = None) -> int:
        """Run the interpreter; return its exit code."""
        command = [self._python, *words]
        return await processes.run(command, log=self.log, environ=self._environ, cwd=ROOT, out=out)

    async def json(self, *words: str | Path) -> Any:
        """Run the interpreter; return the document that it prints, None where it prints none."""
        out = self.folder / "out.json"
        await self.do(*words, out=out)
        try:
            return json.loads(out.read_text())
        except json.JSONDecodeError:
            return None


async def _run(
    cell: Cell, python: Path, overrides: tuple[str, ...], folder: Path, ways: str
) -> Result:
    place, tests = _Place(cell, python, folder), Checked()
    if cell.transport == CLIENTS:
        only = ("--providers", "azure")
    else:
        only = ("--ways", ways)
        junit = folder / "junit.xml"
        files = TRANSPORTS[cell.transport].files()
        code = await place.do(*PYTEST, f"--junitxml={junit}", *files)
        if code not in (0, 1):
            said = processes.end_of(place.log)
            return Result(cannot=f"{said}\npytest broke off with code {code}")
        tests = read_junit(junit)
    shown = await place.json("-m", "litellm_cancel_otel", "demo", "--json", *only)
    if shown is None:
        return Result(cannot=f"{processes.end_of(place.log)}\nthe demo did not run")
    return Result(
        versions=await place.json("-c", VERSIONS),
        overrides=overrides,
        tests=tests,
        rows=() if cell.transport == CLIENTS else tuple(shown["rows"]),
        clients=tuple(shown["clients"]),
    )


def read_junit(file: Path) -> Checked:
    """Return what came of the tests that a file of pytest's is about."""
    passed, skipped, failed = 0, 0, []
    for case in ET.parse(file).iter("testcase"):
        outcomes = {one.tag for one in case}
        if outcomes & {"failure", "error"}:
            where = case.get("classname", "").rpartition("test_")[2]
            failed.append(f"{where}::{case.get('name')}")
        elif "skipped" in outcomes:
            skipped += 1
        else:
            passed += 1
    return Checked(passed, skipped, tuple(failed))
