"""What a campaign came to, and the table of it in the documentation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TABLE = re.compile(r"(<!-- campaign:begin -->\n).*?(<!-- campaign:end -->)", re.DOTALL)
_HEAD = (
    "| Python | LiteLLM | transports | seed | calls | imbalances | completed | failed | cancelled "
    "| calls a second | objects of ours, first and last third | memory, first and last third |\n"
    "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
)


@dataclass(frozen=True, slots=True)
class Figures:
    """One run's figures."""

    python: str
    litellm: str
    transports: str
    seed: int
    calls: int
    imbalances: int
    completed: int
    failed: int
    cancelled: int
    a_second: float
    ours: tuple[int, int]
    """Objects of the package's, the most after any batch of the first and of the last third."""
    mib: tuple[int, int]
    """Likewise."""


def write_document(page: Path, found: Sequence[Figures]) -> None:
    """Put the figures in a page, in place of those that were there."""
    text = page.read_text()
    table = _HEAD + "".join(_row(figures) for figures in found)
    text, times = _TABLE.subn(lambda marks: f"{marks[1]}\n{table}\n{marks[2]}", text)
    if times != 1:
        raise ValueError(f"{page} has no place for the table")
    page.write_text(text)


def _row(of: Figures) -> str:
    counts = (of.calls, of.imbalances, of.completed, of.failed, of.cancelled, round(of.a_second))
    cells = (of.python, of.litellm, of.transports, str(of.seed), *(f"{one:,}" for one in counts))
    ends = (f"{of.ours[0]}, {of.ours[1]}", f"{of.mib[0]}, {of.mib[1]} MiB")
    return f"| {' | '.join((*cells, *ends))} |\n"
