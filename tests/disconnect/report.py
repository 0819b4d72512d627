"""From what was observed to the table in the documentation."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from litellm_cancel_otel._dashboards.style import FINALLY_OBJECTIVE, UPSTREAM_OBJECTIVE

from .cells import Cell
from .runs import WINDOW, Observed

Key = TypeVar("Key", bound=tuple[Any, ...])

BEGIN, END = "<!-- measured -->", "<!-- /measured -->"


@dataclass(frozen=True, slots=True)
class Sample:
    """One client's going, and under what it was observed."""

    litellm: str
    package: bool
    observed: Observed


class Latency(NamedTuple):
    """How long it took, over several clients, in seconds; infinite for not within the window."""

    median: float
    p99: float
    worst: float

    @classmethod
    def of(cls, seconds: Iterable[float | None]) -> Latency:
        """Return the latency of several."""
        known = sorted(math.inf if one is None else one for one in seconds)
        return cls(*(known[math.ceil(share * len(known)) - 1] for share in (0.5, 0.99, 1)))

    def __str__(self) -> str:
        if self.median == self.p99:
            return _shown(self.p99)
        return f"{_shown(self.median)}, p99 {_shown(self.p99)}"


def missed(found: Iterable[Observed]) -> list[Cell]:
    """Return the cells that miss the objective at the 99th percentile."""
    samples = [Sample("", True, one) for one in found]
    return [
        cell
        for (_, _, cell), group in _groups(samples, _by_cell)
        if unwound(group).p99 > FINALLY_OBJECTIVE or upstream(group).p99 > UPSTREAM_OBJECTIVE
    ]


def write_csv(path: Path, samples: Sequence[Sample]) -> None:
    """Write one line a cell, with and without the package."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        head = ["litellm", "package", "server", "middleware", "scenario", "close", "provider"]
        for what in ("finally", "upstream"):
            head += [f"{what}_{name}_ms" for name in Latency._fields]
        writer.writerow([*head, "exception", "signal", "clients"])
        for (litellm, package, cell), group in _groups(samples, _by_cell):
            row: list[object] = [litellm, "with" if package else "without"]
            row += [cell.server, cell.middleware, cell.scenario, cell.close, cell.provider]
            for latency in (unwound(group), upstream(group)):
                row += ["" if math.isinf(one) else f"{one * 1e3:.1f}" for one in latency]
            writer.writerow([*row, exceptions(group), _signals(group), len(group)])


def write_document(path: Path, samples: Sequence[Sample]) -> None:
    """Put the tables between the document's marks."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{tables(samples)}{END}{after}")


def tables(samples: Sequence[Sample]) -> str:
    """Return a summary, and a table for each version of LiteLLM."""
    parts = [_summary(samples)]
    for (litellm,), group in _groups(samples, lambda one: (one.litellm,)):
        parts.append(f"### LiteLLM {litellm}\n\n{_table(group)}")
    return "\n".join(parts)


def unwound(group: Sequence[Sample]) -> Latency:
    """Return how long it took to the generators' ``finally``."""
    return Latency.of(one.observed.unwound for one in group)


def upstream(group: Sequence[Sample]) -> Latency:
    """Return how long it took until the providers' connections were closed."""
    return Latency.of(one.observed.upstream for one in group)


def exceptions(group: Sequence[Sample]) -> str:
    """Return what the generators saw, the most frequent first."""
    seen = Counter(one.observed.exception or "nothing" for one in group)
    return ", ".join(name for name, _ in seen.most_common())


def _summary(samples: Sequence[Sample]) -> str:
    lines = [
        "| LiteLLM | package | clients | `finally`, median | p99 | worst | not within 5 s "
        "| upstream closed, median | p99 | worst | not within 5 s | cells within the objective |",
        f"|---|---|{'---:|' * 10}",
    ]
    for (litellm, package), group in _groups(samples, lambda one: (one.litellm, one.package)):
        row = [litellm, "with" if package else "without", str(len(group))]
        for latency, missing in (
            (unwound(group), sum(one.observed.unwound is None for one in group)),
            (upstream(group), sum(one.observed.upstream is None for one in group)),
        ):
            row += [*map(_shown, latency), str(missing)]
        cells = {one.observed.cell for one in group}
        late = missed([one.observed for one in group])
        row.append(f"{len(cells) - len(late)} of {len(cells)}")
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join([*lines, ""])


def _table(samples: Sequence[Sample]) -> str:
    lines = [
        "| server | `@app.middleware` | as the client goes | exception, without | with "
        "| `finally`, without | with | upstream closed, without | with |",
        "|---|---:|---|---|---|---|---|---|---|",
    ]
    for (server, middleware, scenario), group in _groups(samples, _by_row):
        sides = [[one for one in group if one.package is package] for package in (False, True)]
        columns = [said(side) for said in (exceptions, unwound, upstream) for side in sides]
        lines.append(f"| {server} | {middleware} | {scenario} | {' | '.join(map(str, columns))} |")
    return "\n".join([*lines, ""])


def _shown(seconds: float) -> str:
    if math.isinf(seconds):
        return f"> {WINDOW:g} s"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"


def _signals(group: Sequence[Sample]) -> str:
    said = Counter(
        str(span.attributes.get("litellm_cancel.signal"))
        for one in group
        for span in one.observed.spans
    )
    return ", ".join(name for name, _ in said.most_common())


def _by_cell(sample: Sample) -> tuple[str, bool, Cell]:
    return sample.litellm, sample.package, sample.observed.cell


def _by_row(sample: Sample) -> tuple[object, ...]:
    cell = sample.observed.cell
    return cell.server, cell.middleware, cell.scenario


def _groups(
    samples: Iterable[Sample], key: Callable[[Sample], Key]
) -> Iterator[tuple[Key, list[Sample]]]:
    groups: dict[Key, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(key(sample), []).append(sample)
    yield from groups.items()
