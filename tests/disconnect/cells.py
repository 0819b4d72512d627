"""The matrix: its axes, its cells, and the few of them that span it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from enum import StrEnum
from itertools import combinations, product

from litellm_cancel_otel._demo.fakes import PROVIDERS, Script, Wire


class Server(StrEnum):
    """An ASGI server; each one's loop is named where it is started."""

    UVICORN_HTTPTOOLS = "uvicorn httptools"
    UVICORN_H11 = "uvicorn h11"
    HYPERCORN = "hypercorn"
    GRANIAN = "granian"
    DAPHNE = "daphne"
    SPEC_2_4 = "spec 2.4"


class Scenario(StrEnum):
    """What is going on as the client goes away."""

    FLOWING = "flowing"
    SILENT = "silent mid-stream"
    SILENT_FIRST = "silent before the first token"
    BURST = "buffered burst"
    STOPPED = "client stops reading"


class Close(StrEnum):
    """How the client's end of the connection is closed."""

    FIN = "FIN"
    RST = "RST"


MIDDLEWARE = (0, 1, 3)
"""How many ``@app.middleware("http")`` stand around the endpoint."""

SCRIPTS = {
    Scenario.FLOWING: Script(chunks=None, interval=0.02),
    Scenario.SILENT: Script(chunks=None, hang_at=20),
    Scenario.SILENT_FIRST: Script(hang_at="before_first_chunk"),
    Scenario.BURST: Script(chunks=8_000, hang_at=8_000, burst=True),
    Scenario.STOPPED: Script(chunks=None, interval=0.02),
}
"""What the provider does meanwhile."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the matrix, apart from the versions of LiteLLM."""

    server: Server
    middleware: int
    scenario: Scenario
    close: Close
    provider: Wire

    def __str__(self) -> str:
        wrapped = f"{self.middleware} middleware" if self.middleware else "bare"
        return f"{self.server}, {wrapped}, {self.scenario}, {self.close}, {self.provider}"


def every_cell() -> list[Cell]:
    """Return the whole matrix."""
    return [Cell(*values) for values in product(Server, MIDDLEWARE, Scenario, Close, PROVIDERS)]


def spanning_cells() -> list[Cell]:
    """Return few cells that hold every pair of values of two axes, chosen greedily."""
    cells = every_cell()
    left = {pair for cell in cells for pair in _pairs(cell)}
    used: Counter[tuple[object, ...]] = Counter()
    chosen: list[Cell] = []
    while left:
        best = max(
            cells,
            # Of those that bring as much that is new, the one whose pairs were seldom used.
            key=lambda cell: (
                len(left.intersection(_pairs(cell))),
                -sum(used[pair] for pair in _pairs(cell)),
            ),
        )
        left.difference_update(_pairs(best))
        used.update(_pairs(best))
        chosen.append(best)
    return sorted(chosen, key=str)


def _pairs(cell: Cell) -> Iterator[tuple[object, ...]]:
    return combinations(enumerate(astuple(cell)), 2)
