"""The books of a batch: what was made beside what was told. Pure: figures in, words out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from litellm_cancel_otel._contract import semconv as sc

from .expect import Expect

FAMILIES = {"azure": "azure", "openai": "openai", "anthropic": "anthropic", "bedrock": "bedrock"}

Attributes = Mapping[str, object]


class Entry(NamedTuple):
    """One call: what it is, what its caller got, what was expected of it, and its spans."""

    about: str
    wire: str
    got: str
    expected: Mapping[str, Expect]
    spans: Sequence[Attributes] = ()


@dataclass(slots=True)
class Left:
    """What is there after a batch and should not be."""

    streams: int = 0
    """Open streams that the metric tells."""
    tracked: int = 0
    """Open streams that the tracker knows."""
    exchanges: int = 0
    """Answers that the provider has not ended."""
    tasks: list[str] = field(default_factory=list)
    sockets: int = 0
    """File descriptors more than before."""
    unraisable: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What the package wrote into the log."""
    loop_errors: list[str] = field(default_factory=list)
    """What the loop's exception handler was told."""
    faults: Mapping[str, int] = field(default_factory=dict)
    """The package's own, by place."""


class Told(NamedTuple):
    """The metrics' change over a batch."""

    outcomes: Mapping[str, int]
    cancellations: Mapping[tuple[str, str, str], int]
    """By type, source and phase."""


def balance(entries: Sequence[Entry], told: Told, left: Left) -> Iterator[str]:
    """Yield a line for each thing that is not as it must be."""
    for entry in entries:
        yield from _entry(entry)
    yield from _sums(entries, told)
    for what in ("streams", "tracked", "exchanges", "sockets", "faults"):
        if value := getattr(left, what):
            yield f"left behind: {what}: {value}"
    for what in ("tasks", "unraisable", "warnings", "loop_errors"):
        for value in getattr(left, what):
            yield f"left behind: {what}: {value}"


def _entry(entry: Entry) -> Iterator[str]:
    expected = entry.expected.get(entry.got)
    if expected is None:
        yield f"{entry.about}: the caller got {entry.got}, not {' or '.join(entry.expected)}"
        return
    cancels = "cancelled" in expected.outcome.split()
    if not entry.spans:
        if expected.outcome == "cancelled":
            yield f"{entry.about}: no span tells of its cancel"
        return
    if len(entry.spans) > 1:
        yield f"{entry.about}: {len(entry.spans)} endings"
    if not cancels:
        yield f"{entry.about}: a span tells of a cancel: {_brief(entry.spans[0])}"
        return
    yield from (f"{entry.about}: {word}" for word in _attributes(entry, expected))


def _attributes(entry: Entry, expected: Expect) -> Iterator[str]:
    said = entry.spans[0]
    if expected.type is not None:
        wanted = expected.type.format(family=FAMILIES[entry.wire])
        if said.get(sc.CANCELLATION_TYPE) != wanted:
            yield f"{sc.CANCELLATION_TYPE} is not {wanted}: {_brief(said)}"
    for name, values in (
        (sc.SOURCE, expected.source),
        (sc.PHASE, expected.phase),
        (sc.SIGNAL, expected.signal),
        (sc.ENDED_BY, expected.ended_by),
    ):
        if values is not None and said.get(name) not in values:
            yield f"{name} is not {' or '.join(sorted(values))}: {_brief(said)}"


def _sums(entries: Iterable[Entry], told: Told) -> Iterator[str]:
    made: Counter[str] = Counter()
    cancellations: Counter[tuple[str, str, str]] = Counter()
    open_ended = 0
    for entry in entries:
        expected = entry.expected.get(entry.got)
        outcomes = [] if expected is None else expected.outcome.split()
        for span in entry.spans:
            kind, source, phase = (
                str(span.get(name)) for name in (sc.CANCELLATION_TYPE, sc.SOURCE, sc.PHASE)
            )
            cancellations[kind, source, phase] += 1
        if entry.spans:
            made["cancelled"] += len(entry.spans)
        elif len(outcomes) == 1 and expected is not None:
            made[outcomes[0]] += 1
        elif outcomes or expected is None:
            open_ended += 1
    if cancellations != Counter(told.cancellations):
        yield f"cancellations are {_counts(told.cancellations)}, spans {_counts(cancellations)}"
    missing = Counter(told.outcomes)
    missing.subtract(made)
    too_many = sum(missing.values())
    if too_many != open_ended or any(count < 0 for count in missing.values()):
        yield f"calls are {_counts(told.outcomes)}, made {_counts(made)} and {open_ended} of either"


def _brief(said: Attributes) -> str:
    names = (sc.CANCELLATION_TYPE, sc.SOURCE, sc.PHASE, sc.SIGNAL, sc.ENDED_BY)
    return " ".join(str(said.get(name)) for name in names)


def _counts(counts: Mapping[object, int]) -> str:
    return str({key: count for key, count in sorted(counts.items(), key=str) if count})
