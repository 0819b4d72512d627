"""Releases that behave the same, one after the other, are one row of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .behaviour import Behaviour, seen, unwound
from .cells import Cell
from .results import Result


@dataclass(frozen=True, slots=True)
class Group:
    """Releases that behave the same without the package."""

    releases: tuple[str, ...]
    behaviour: Behaviour
    unwound: Mapping[str, frozenset[str]]

    @property
    def title(self) -> str:
        """Return the first and the last of the releases."""
        first, last = self.releases[0], self.releases[-1]
        return first if first == last else f"{first} to {last}"


def groups(releases: Sequence[str], results: Mapping[Cell, Result]) -> list[Group]:
    """Return the releases that were run, those together that follow each other and are the same.

    Of the clients that leave only some releases may have been run: the others say nothing else.
    """
    found: list[Group] = []
    for release in releases:
        mine = [result for cell, result in results.items() if cell.release == release]
        behaviour, times = seen(mine, "without"), unwound(mine, "without")
        if not behaviour:
            continue
        before = found[-1] if found else None
        if before and before.behaviour == behaviour and _agree(before.unwound, times):
            known = before.unwound or times
            found[-1] = Group((*before.releases, release), behaviour, known)
        else:
            found.append(Group((release,), behaviour, times))
    return found


def _agree(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return not one or not other or one == other
