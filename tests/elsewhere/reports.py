"""What came of the tests in one environment, as its process leaves it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE = "report.json"


@dataclass(frozen=True, slots=True)
class Ended:
    """A run of pytest that has ended."""

    code: int
    said: str


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one environment."""

    cannot: str | None = None
    """Why there is no environment."""
    versions: tuple[str, ...] = ()
    """Of Python and of LiteLLM."""
    runs: Mapping[str, Ended] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Leave it in a folder, whole."""
        written = folder / f"{FILE}.part"
        written.write_text(json.dumps(asdict(self)))
        written.replace(folder / FILE)


def read(folder: Path) -> Report:
    """Return what was left in a folder."""
    try:
        said = json.loads((folder / FILE).read_text())
    except FileNotFoundError:
        return Report(cannot=f"its process left no report; it said:\n{output(folder)}")
    runs = {name: Ended(**ended) for name, ended in said["runs"].items()}
    return Report(said["cannot"], tuple(said["versions"]), runs)


def output(folder: Path) -> str:
    """Return the end of what its process has printed."""
    return (folder / "output").read_text(errors="replace")[-3_000:]
