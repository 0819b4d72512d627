"""What the process held, first third beside last, and the table of it in the documentation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..campaign.growth import Held

_TABLE = re.compile(r"(<!-- soak:begin -->\n).*?(<!-- soak:end -->)", re.DOTALL)

Range = tuple[float, float, float]
"""The least, the median and the most."""


MARGIN = 1.05
"""LiteLLM's own caches fill; what leaks grows by more, the longer the soak."""


@dataclass(frozen=True, slots=True)
class Flatness:
    """A soak's figures."""

    python: str
    litellm: str
    seed: int
    seconds: float
    calls: int
    imbalances: int
    held: Mapping[str, tuple[Range, Range]]

    def text(self) -> str:
        """Return the figures as Markdown."""
        lines = [
            f"Python {self.python}, LiteLLM {self.litellm}, seed {self.seed}: {self.calls:,} calls "
            f"in {self.seconds / 60:.1f} minutes, {self.imbalances} imbalances.\n",
            "| least, median, most | first third | last third |",
            "|---|---:|---:|",
        ]
        lines += [
            f"| {name} | {_range(first)} | {_range(last)} |"
            for name, (first, last) in self.held.items()
        ]
        return "\n".join(lines) + "\n"


def thirds(looks: Sequence[Held]) -> dict[str, tuple[Range, Range]]:
    """Return what was held in the first third of the looks and in the last."""
    third = max(1, len(looks) // 3)
    parts = looks[:third], looks[-third:]
    wanted: dict[str, Callable[[Held], float]] = {
        "memory, MiB": lambda look: look.kib / 1024,
        "objects of the package": lambda look: sum(look.ours.values()),
        "all objects": lambda look: look.objects,
        "threads": lambda look: look.threads,
        "descriptors": lambda look: look.descriptors,
    }
    return {
        name: (_spread(list(map(of, parts[0]))), _spread(list(map(of, parts[1]))))
        for name, of in wanted.items()
    }


def swollen(held: Mapping[str, tuple[Range, Range]]) -> Iterator[str]:
    """Yield a line for memory or all objects, LiteLLM's too, that the last third has more of."""
    for name in ("memory, MiB", "all objects"):
        (_, _, most), (least, _, _) = held[name]
        if least > most * MARGIN:
            yield f"growth: {name}: from {most:,.0f} at the most to {least:,.0f} at the least"


def write_document(page: Path, found: Flatness) -> None:
    """Put the figures in a page, in place of those that were there."""
    replaced, times = _TABLE.subn(
        lambda marks: f"{marks[1]}\n{found.text()}\n{marks[2]}", page.read_text()
    )
    if times != 1:
        raise ValueError(f"{page} has no place for the soak's table")
    page.write_text(replaced)


def _spread(figures: Sequence[float]) -> Range:
    return min(figures), median(figures), max(figures)


def _range(figures: Range) -> str:
    return ", ".join(f"{figure:,.0f}" for figure in figures)
