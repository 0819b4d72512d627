"""What came of a cell, as it is kept between two runs of the command."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .cells import Cell


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of the tests."""

    passed: int = 0
    skipped: int = 0
    failed: tuple[str, ...] = ()
    """The names of those that failed."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a cell."""

    cannot: str | None = None
    """Why there is none."""
    versions: Mapping[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    """What stood in place of LiteLLM's own requirements."""
    tests: Checked = field(default_factory=Checked)
    rows: tuple[Mapping[str, Any], ...] = ()
    """The demo's rows: a way of cancelling at a provider, without the package and with it."""
    clients: tuple[Mapping[str, Any], ...] = ()
    """The demo's clients that leave, without the package and with it."""

    @property
    def problems(self) -> list[str]:
        """Return the rows that are not, with the package, as they must be."""
        ways = [f"{row['way']} at {row['provider']}" for row in self.rows if row["problems"]]
        return ways + [client["way"] for client in self.clients if client["problems"]]

    @property
    def is_good(self) -> bool:
        """Return whether the cell ran, and all in it is as it must be."""
        return self.cannot is None and not self.tests.failed and not self.problems


class Cache:
    """The results that are there, a file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, cell: Cell) -> Result | None:
        """Return what came of a cell; None where it was not run."""
        try:
            said = json.loads(self._file(cell).read_text())
        except FileNotFoundError:
            return None
        tests = said.pop("tests")
        tests["failed"] = tuple(tests["failed"])
        lists = {name: tuple(said.pop(name)) for name in ("overrides", "rows", "clients")}
        return Result(tests=Checked(**tests), **lists, **said)

    def write(self, cell: Cell, result: Result) -> None:
        """Keep a result: whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._file(cell).with_suffix(".part")
        part.write_text(json.dumps(asdict(result)))
        part.replace(self._file(cell))

    def those_of(self, cells: Iterable[Cell]) -> dict[Cell, Result]:
        """Return the results of the cells that were run."""
        return {cell: result for cell in cells if (result := self.read(cell)) is not None}

    def _file(self, cell: Cell) -> Path:
        return self._folder / f"{cell.name}.json"
