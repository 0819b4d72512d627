"""What an application saw, and how two of those are compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_CHANCE = (
    (re.compile(r"0x[0-9a-f]+"), "0x…"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:…"),
    (re.compile(r"port=\d+"), "port=…"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "an id"),
    (re.compile(r"Task-\d+"), "Task-…"),
    (re.compile(r"pid=\d+"), "pid=…"),
    (re.compile(r"created=\d+"), "created=…"),
    (re.compile(r"/tmp/\S+"), "/tmp/…"),
)


def without_chance(text: str) -> str:
    """Return a text without what differs from run to run: addresses, ports, ids."""
    for found, instead in _CHANCE:
        text = found.sub(instead, text)
    return text


BROKEN = ("hang", "died")
"""The ends of an application that is no fit one to compare."""


@dataclass(slots=True)
class Observation:
    """What an application saw, in words and counts that another process can compare."""

    end: str = "returned"
    """How it ended: returned, by which exception, hung or died."""
    books: dict[str, list[str]] = field(default_factory=dict)
    """The lines that it logged, by the name of the log."""
    files: dict[str, str] = field(default_factory=dict)
    tasks: list[str] = field(default_factory=list)
    """The tasks that were left, by the name of their coroutine."""
    complaints: list[str] = field(default_factory=list)
    """Warnings, exceptions that nobody could be given, lines of any logger from WARNING on."""
    streams: int = 0
    """LiteLLM's streams that lived on after a full collection."""
    exchanges: int = 0
    """Requests that the provider was still answering."""
    seconds: float = 0.0
    """How long it took; shown, not compared."""
    guard: dict[str, int] = field(default_factory=dict)
    """How often the package's guard did what; shown, not compared."""
    stacks: list[str] = field(default_factory=list)
    """Where it hung, or its last words; shown, not compared."""
    faults: list[str] = field(default_factory=list)
    """What only the side with the package can have: faults of the package's own."""


def differences(without: Observation, with_: Observation) -> Iterator[str]:
    """Yield what the package has changed, a line each.

    It may end earlier what nobody will resume, so that fewer streams and exchanges are no harm.
    """
    if without.end.startswith(BROKEN):
        yield f"without the package too: {without.end}"
    for name in ("end", "files", "tasks"):
        before, after = getattr(without, name), getattr(with_, name)
        if before != after:
            yield f"{name}: {_short(before)} became {_short(after)}"
    for book in sorted(without.books.keys() | with_.books.keys()):
        before, after = without.books.get(book, []), with_.books.get(book, [])
        if before != after:
            yield f"{book}: {_first_difference(before, after)}"
    for line in sorted(set(without.complaints) ^ set(with_.complaints)):
        yield f"complaint {'new' if line in with_.complaints else 'gone'}: {line}"
    for name in ("streams", "exchanges"):
        before, after = getattr(without, name), getattr(with_, name)
        if after > before:
            yield f"{name} left: {before} became {after}"
    yield from (f"fault: {fault}" for fault in with_.faults)


def _first_difference(before: list[str], after: list[str]) -> str:
    for number, (one, other) in enumerate(zip(before, after, strict=False)):
        if one != other:
            return f"line {number}: {_short(one)} became {_short(other)}"
    shared = min(len(before), len(after))
    if len(after) > shared:
        return f"line {shared} is new: {_short(after[shared])}"
    return f"line {shared} is missing: {_short(before[shared])}, of {len(before)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
