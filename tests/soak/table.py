"""A soak's figures as the documentation shows them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .rule import judged, rate
from .run import Played

_TABLE = re.compile(r"(<!-- soak:begin -->\n).*?(<!-- soak:end -->)", re.DOTALL)


def table(played: Mapping[str, Played]) -> str:
    """Return the figures of each side as Markdown."""
    lines = [
        "| side | calls | minutes | imbalances | package's own | all objects "
        "| objects per 1,000 calls | memory, MiB | KiB per 1,000 calls | threads | descriptors |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_row(name, side) for name, side in played.items()),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, played: Played) -> str:
    looks = judged(played.looks)
    cells = [
        name,
        f"{played.looks[-1].calls:,}",
        f"{played.seconds / 60:.1f}",
        str(len(played.imbalances)) if name == "watched" else "",
        str(max(look.ours for look in looks)),
        _ends([look.objects for look in looks]),
        f"{rate(played.looks, lambda look: look.objects):+,.0f}",
        _ends([look.kib // 1_024 for look in looks]),
        f"{rate(played.looks, lambda look: look.kib):+,.0f}",
        _ends([look.threads for look in looks]),
        _ends([look.descriptors for look in looks]),
    ]
    return f"| {' | '.join(cells)} |"


def _ends(figures: Sequence[int]) -> str:
    return f"{figures[0]:,} → {figures[-1]:,}"


def more(played: Mapping[str, Played]) -> Iterator[str]:
    """Yield, for each side, the classes of which it has more."""
    for name, side in played.items():
        told = ", ".join(f"{kind} {count:+}" for kind, count in side.more.items() if count > 0)
        yield f"{name}, objects more than after a third of the looks: {told}"


def write_document(page: Path, text: str) -> None:
    """Put the figures in a page, in place of those that were there."""
    replaced, times = _TABLE.subn(lambda marks: f"{marks[1]}\n{text}\n{marks[2]}", page.read_text())
    if times != 1:
        raise ValueError(f"{page} has no place for the soak's table")
    page.write_text(replaced)
