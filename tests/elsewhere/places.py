"""The environments, and what is run in each."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PINNED = ROOT / "requirements"
PYTHONS = ("3.11", "3.12", "3.13")
"""The Pythons that are supported."""

THIS = ".".join(map(str, sys.version_info[:2]))

OLDEST = (
    *("calls", "streams", "endings", "azure", "await_points", "operations", "lifecycle"),
    *("faults", "upstream", "provider", "providers", "handling", "fakes", "waste", "prices"),
    *("every_operation", "seams", "entry_points"),
)
"""The tests that meet LiteLLM."""

CORE = (
    *OLDEST,
    *("guard", "middleware", "listener", "trio", "who_cancelled", "swallowed", "watchdog"),
    *("stuck", "recorder", "errors", "tasks", "classify", "await_chain", "loop_lag", "forks"),
    *("middleware_hosts", "nested_calls", "whole_answers", "latency", "lifespan", "fork", "board"),
)
"""The tests that meet asyncio besides."""

TRANSPORT = ("calls", "streams", "endings", "azure", "upstream", "guard", "who_cancelled", "waste")
"""The tests whose outcome could hang on what carries LiteLLM's requests."""

LARGE = ("differential", "campaign", "collector_sweep")
"""The suites that are made for every Python."""

HTTPX = {"DISABLE_AIOHTTP_TRANSPORT": "True"}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of pytest in an environment."""

    name: str
    tests: tuple[str, ...]
    environ: Mapping[str, str]

    def files(self) -> list[str]:
        """Return the files of its tests, from the project's folder."""
        wanted = {f"test_{name}.py" for name in self.tests}
        found = [file for file in TESTS.rglob("test_*.py") if file.name in wanted]
        assert len(found) == len(wanted), wanted - {file.name for file in found}
        return sorted(str(file.relative_to(ROOT)) for file in found)


@dataclass(frozen=True, slots=True)
class Place:
    """One environment."""

    name: str
    python: str
    pinned: Path
    runs: tuple[Run, ...]
    variable: str
    """The variable that may name the environment's folder."""

    @property
    def folder(self) -> Path:
        """Where the environment is."""
        return Path(os.environ.get(self.variable, ROOT / f".venv-{self.name}"))


def _on(python: str) -> Place:
    return Place(
        f"python{python}",
        python,
        PINNED / "pythons.txt",
        (
            Run("aiohttp", (*CORE, *LARGE), {}),
            Run("httpx", TRANSPORT, HTTPX),
        ),
        f"PYTHON_{python.replace('.', '')}_ENVIRONMENT",
    )


PLACES = {
    place.name: place
    for place in (
        Place(
            "oldest",
            THIS,
            PINNED / "oldest.txt",
            (Run("aiohttp", OLDEST, {}),),
            "OLDEST_LITELLM_ENVIRONMENT",
        ),
        *(_on(python) for python in PYTHONS if python != THIS),
        Place(
            "neighbours",
            THIS,
            PINNED / "neighbours.txt",
            (Run("beside", ("neighbours", "neighbours_web", "neighbours_no_code"), {}),),
            "NEIGHBOURS_ENVIRONMENT",
        ),
    )
}
