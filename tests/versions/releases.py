"""The releases of LiteLLM that are pinned in ``releases.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("releases.toml")
LOWEST = "lowest"
"""In place of a version: every declared minimum at once, as pyproject.toml has them."""


class UnknownReleaseError(LookupError):
    """A release that is not pinned was asked for."""


@dataclass(frozen=True, slots=True)
class Release:
    """One release, or the declared minimums."""

    version: str
    why: str
    overrides: tuple[str, ...] = ()
    """What stands in place of its requirements, where they do not resolve as they stand."""

    @property
    def is_lowest(self) -> bool:
        """Return whether these are the declared minimums."""
        return self.version == LOWEST


def releases() -> list[Release]:
    """Return the pinned releases, oldest first, and then the declared minimums."""
    said = tomllib.loads(FILE.read_text())["release"]
    pinned = [Release(one["version"], one["why"], tuple(one.get("overrides", ()))) for one in said]
    return [*pinned, Release(LOWEST, "every minimum that pyproject.toml declares, at once")]


def chosen(names: Sequence[str]) -> list[Release]:
    """Return the releases of these versions in the file's order; all where none is named."""
    known = releases()
    if unknown := set(names) - {one.version for one in known}:
        there = ", ".join(one.version for one in known)
        raise UnknownReleaseError(f"{', '.join(sorted(unknown))} is not one of {there}")
    return [one for one in known if not names or one.version in names]
