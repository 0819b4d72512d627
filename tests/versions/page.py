"""Writes what the matrix has found between the marks of ``docs/compatibility.md``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from . import words
from .behaviour import With, seen, unwound, with_package
from .cells import CLIENTS, TRANSPORTS, Cell, client_cells, every_cell
from .groups import groups
from .releases import Release
from .results import Result

BEGIN, END = "<!-- matrix:begin -->", "<!-- matrix:end -->"
NOT_RUN = "not run"

Results = Mapping[Cell, Result]


def write(
    page: Path, releases: Sequence[Release], pythons: Sequence[str], results: Results
) -> None:
    """Put the tables between the page's marks."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    made = "\n".join(tables(releases, pythons, results))
    page.write_text(f"{before}{BEGIN}\n\n{made}\n{END}{after}")


def tables(releases: Sequence[Release], pythons: Sequence[str], results: Results) -> Iterator[str]:
    """Yield the lines of every table."""
    yield from _ways(releases, results)
    yield from _with(results)
    yield from _cells(releases, pythons, results)
    yield from _failures(results)


def _ways(releases: Sequence[Release], results: Results) -> Iterator[str]:
    yield "## What a cancel does"
    yield ""
    yield "| LiteLLM | package | the caller gets | LiteLLM's callbacks | `finally` | upstream |"
    yield "|---|---|---|---|---|---|"
    named = [one.version for one in releases if not one.is_lowest]
    for group in groups(named, results):
        yield _row(
            group.title,
            "without",
            words.gets(group.behaviour),
            words.callbacks(group.behaviour),
            words.unwinds(group.unwound),
            words.closes(group.behaviour),
        )
    every = results.values()
    behaviour = seen(every, "with")
    yield _row(
        "all of these",
        "with",
        words.gets(behaviour),
        words.callbacks(behaviour),
        words.unwinds(unwound(every, "with")),
        words.closes(behaviour),
    )
    yield ""


def _with(results: Results) -> Iterator[str]:
    yield "## With the package, way by way"
    yield ""
    yield "The times are of the slowest in all cells, on a machine that had other work."
    yield ""
    yield "| way | the caller gets | callbacks | the span says | `finally` | upstream closed |"
    yield "|---|---|---|---|---:|---:|"
    for one in with_package(results.values()):
        yield _with_row(one)
    yield ""


def _with_row(one: With) -> str:
    return _row(
        f"`{one.way}`",
        " or ".join(f"`{got}`" if got[0].isupper() else got for got in one.got),
        " or ".join(one.callbacks),
        " or ".join(one.told),
        _ms(one.unwound),
        _ms(one.closed),
    )


def _cells(releases: Sequence[Release], pythons: Sequence[str], results: Results) -> Iterator[str]:
    columns = [(python, transport) for python in pythons for transport in TRANSPORTS]
    yield "## The cells"
    yield ""
    clients = sum(cell.transport == CLIENTS for cell in results)
    cells, all_clients = len(every_cell(releases, pythons)), len(client_cells(releases))
    yield f"{len(results) - clients} of {cells} cells were run, and clients left on {clients} of"
    yield f"{all_clients} releases. In a cell: the tests that passed, and the demo's rows that are"
    yield "as they must be."
    yield ""
    yield _row("LiteLLM", "why", *(" ".join(one) for one in columns))
    yield _row("---", "---", *("---" for _ in columns))
    for release in releases:
        found = [results.get(Cell(release.version, *column)) for column in columns]
        yield _row(_name(release, results), release.why, *map(_cell, found))
    yield ""


def _name(release: Release, results: Results) -> str:
    mine = [result for cell, result in results.items() if cell.release == release.version]
    if release.is_lowest:
        ran = next((one.versions for one in mine if one.versions), {})
        sdk = ran.get("opentelemetry-sdk", "?")
        return f"the minimums: {ran.get('litellm', '?')}, opentelemetry-sdk {sdk}"
    overrides = sorted({override for one in mine for override in one.overrides})
    return release.version + (f", with {', '.join(overrides)}" if overrides else "")


def _cell(result: Result | None) -> str:
    if result is None:
        return NOT_RUN
    if result.cannot is not None:
        return "did not run"
    tests = result.tests
    ran = tests.passed + len(tests.failed)
    ways = len(result.rows)
    wrong = sum(bool(row["problems"]) for row in result.rows)
    return f"{tests.passed}/{ran}, {ways - wrong}/{ways}"


def _failures(results: Results) -> Iterator[str]:
    yield "## What is not as it must be"
    yield ""
    wrong = {cell: result for cell, result in results.items() if not result.is_good}
    for cell, result in wrong.items():
        failed = [f"the test `{name}`" for name in result.tests.failed]
        yield f"- {cell}: {'; '.join([*_reason(result), *failed, *result.problems])}"
    if not wrong:
        yield "Nothing."
    yield ""


def _reason(result: Result) -> list[str]:
    return [] if result.cannot is None else [result.cannot.strip().splitlines()[-1]]


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.0f} ms"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
