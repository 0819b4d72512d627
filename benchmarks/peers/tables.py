"""The two tables, as Markdown. Pure: figures in, text out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .sides import ENDINGS, Side

_PLACE = re.compile(r"(<!-- peers:begin -->\n).*?(<!-- peers:end -->)", re.DOTALL)

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Row:
    """A side's figures, round by round, beside those of bare LiteLLM in the same environment."""

    side: Side
    version: str
    bare: Sequence[Figures]
    measured: Sequence[Figures]

    def more(self, name: str) -> float:
        """Return how much more a side takes than bare LiteLLM."""
        return self.of(self.measured, name) - self.of(self.bare, name)

    def of(self, rounds: Sequence[Figures], name: str) -> float:
        """Return the median over the rounds."""
        return median(one[name] for one in rounds)


def costs(rows: Sequence[Row], cancels: int) -> str:
    """Return what each side costs, and what it leaves behind."""
    bare = rows[0]
    lines = [
        "| | version | a call, bytecodes | a chunk, bytecodes | an open stream, bytes "
        f"| after {cancels} cancelled streams: spans open | span still current | tasks "
        "| connections | objects for each |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        "| bare LiteLLM | | "
        + " | ".join(f"{bare.of(bare.bare, name):,.0f}" for name in ("call", "chunk", "stream"))
        + " | "
        + " | ".join(f"{bare.of(bare.bare, name):.0f}" for name in _LEFT)
        + " |",
    ]
    for row in rows:
        more = [f"{_unsigned(row.more(name)):+,.0f}" for name in ("call", "chunk", "stream")]
        left = [f"{_unsigned(row.of(row.measured, name)):.0f}" for name in _LEFT]
        lines.append("| " + " | ".join([row.side.title, row.version, *more, *left]) + " |")
    return "\n".join(lines) + "\n"


_LEFT = ("spans", "current", "tasks", "connections", "objects")


def told(sides: Sequence[Side], words: Mapping[str, Mapping[str, str]]) -> str:
    """Return what each side tells of each ending."""
    lines = [
        "| " + " | ".join(["what happens", *(side.title for side in sides)]) + " |",
        "|" + "---|" * (len(sides) + 1),
    ]
    for name, about in ENDINGS.items():
        cells = [about, *(words[side.name].get(name, "") for side in sides)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write_document(page: Path, text: str) -> None:
    """Put the tables in a page, in place of those that were there."""
    replaced, times = _PLACE.subn(lambda marks: f"{marks[1]}\n{text}\n{marks[2]}", page.read_text())
    if times != 1:
        raise ValueError(f"{page} has no place for the tables")
    page.write_text(replaced)


def _unsigned(figure: float) -> float:
    """Return a figure that is printed without decimals; no zero has a sign."""
    return round(figure) + 0.0
