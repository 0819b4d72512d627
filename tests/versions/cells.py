"""The matrix: each release on each Python over each transport is a cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from elsewhere.places import HTTPX, PYTHONS, Run

from .releases import Release

CORE = (
    *("calls", "streams", "azure", "guard", "upstream", "who_cancelled", "waste", "operations"),
    "router_backoff",
)
"""The tests whose outcome hangs on LiteLLM's release, and that are quick."""

TRANSPORTS = {
    "aiohttp": Run("aiohttp", CORE, {}),
    "httpx": Run("httpx", CORE, HTTPX),
}
"""What carries LiteLLM's requests, with the tests that are run over it."""


CLIENTS = "clients"
"""In place of a transport: clients of a web application leave, and `finally` is timed."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One release on one Python over one transport."""

    release: str
    python: str
    transport: str

    def __str__(self) -> str:
        return f"litellm {self.release}, Python {self.python}, {self.transport}"

    @property
    def name(self) -> str:
        """Return a name for its files."""
        return f"{self.release}-{self.python}-{self.transport}"


@dataclass(frozen=True, slots=True)
class Job:
    """The cells of one environment."""

    release: Release
    python: str
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """Return a name for its folder."""
        return f"{self.release.version}-{self.python}"


def every_cell(
    releases: Iterable[Release], pythons: Iterable[str], transports: Iterable[str] = TRANSPORTS
) -> list[Cell]:
    """Return the matrix: one Python after the other, on each the newest release first."""
    newest_first = [one.version for one in releases][::-1]
    return [
        Cell(release, python, transport)
        for python in pythons
        for release in newest_first
        for transport in transports
    ]


def client_cells(releases: Iterable[Release]) -> list[Cell]:
    """Return what is run once for a release: it takes a server of its own, and long."""
    return [Cell(one.version, PYTHONS[0], CLIENTS) for one in releases][::-1]


def jobs(cells: Iterable[Cell], releases: Iterable[Release]) -> Iterator[Job]:
    """Yield the cells by environment, in their order."""
    known = {one.version: one for one in releases}
    for (release, python), group in groupby(cells, key=lambda one: (one.release, one.python)):
        yield Job(known[release], python, tuple(group))
