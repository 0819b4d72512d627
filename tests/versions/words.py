"""What was seen in a group of releases, in the words of a table's row."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .behaviour import Behaviour, Seen

RIGHT = "as it must be"


def gets(of: Behaviour) -> str:
    """Say what the caller gets where that is not what it must get."""
    return _said(of, lambda one: None if one.is_right else f"`{one.got}`") or RIGHT


def callbacks(of: Behaviour) -> str:
    """Say which of LiteLLM's callbacks fire."""
    return _said(of, lambda one: None if one.callbacks == "none" else one.callbacks) or "none"


def closes(of: Behaviour) -> str:
    """Say for which ways the provider's connection stays open."""
    return _said(of, lambda one: one.upstream if one.upstream == "stays open" else None) or "closes"


def unwinds(of: Mapping[str, frozenset[str]]) -> str:
    """Say when the ``finally`` runs, for the clients that leave."""
    if not of:
        return "not run"
    by_when: dict[str, list[str]] = {}
    for way, when in of.items():
        by_when.setdefault(" or ".join(sorted(when)), []).append(way)
    if len(by_when) == 1:
        return next(iter(by_when))
    return "; ".join(f"{when}: {_listed(ways)}" for when, ways in sorted(by_when.items()))


def _said(of: Behaviour, of_one: Callable[[Seen], str | None]) -> str:
    """Return what is said of each way, those together of which the same is said."""
    providers = {provider for _, provider in of}
    where: dict[tuple[str, str], list[str]] = {}
    for (way, provider), seen in of.items():
        said = {of_one(one) for one in seen}
        words = " or ".join(sorted(one for one in said if one is not None))
        if words:
            words += " (in some cells)" if None in said else ""
            where.setdefault((words, way), []).append(provider)
    ways: dict[tuple[str, str], list[str]] = {}
    for (words, way), at in where.items():
        place = "" if providers == {*at} else f" at {', '.join(at)}"
        ways.setdefault((words, place), []).append(way)
    return "; ".join(f"{words}: {_listed(those)}{place}" for (words, place), those in ways.items())


def _listed(ways: list[str]) -> str:
    return ", ".join(f"`{way}`" for way in ways)
