"""Few cells that span the disconnect matrix: real servers, real sockets, nothing left for later.

What is held here is a backstop, not the goal: a machine that is busy with something else must not
fail a test. Without the package the same cells take over 5 s, or for ever. The goal, 50 ms to
``finally`` and 100 ms to the upstream's close at the 99th percentile, is for
``python -m tests.disconnect --all``, which measures every cell, on each version of LiteLLM.
"""

import asyncio
import sys
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest

from disconnect.bench import Bench, open_bench
from disconnect.cells import Cell, Close, Scenario, Server, spanning_cells
from disconnect.report import Latency
from disconnect.runs import Observed
from disconnect.servers import Running, installed
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import FakeProvider, Script
from support.telemetry import cancel_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

TO_FINALLY = TO_UPSTREAM_CLOSE = 2.0
CLIENTS = 8
ATTEMPTS = 3
CELLS = spanning_cells()
every_cell = pytest.mark.parametrize("cell", CELLS, ids=str)
every_server = pytest.mark.parametrize("server", Server, ids=str)


@dataclass
class Measured:
    """What the cells came to."""

    cells: dict[Cell, list[Observed]] = field(default_factory=dict)
    metrics: dict[Server, dict[str, float]] = field(default_factory=dict)
    background: dict[Server, Observed] = field(default_factory=dict)
    clients: Counter[Server] = field(default_factory=Counter)

    def of(self, cell: Cell) -> list[Observed]:
        """Return what came of a cell's clients."""
        if cell not in self.cells:
            pytest.skip(f"{cell.server} is not installed")
        return self.cells[cell]


@pytest.fixture(scope="module")
def measured() -> Measured:
    """The cells, measured once for all tests."""
    return asyncio.run(measure())


async def measure() -> Measured:
    """Start all servers together, as that takes longest, and run one cell after another."""
    found = Measured()
    async with (
        FakeProvider(Script(hang_at=2)) as provider,
        open_bench() as bench,
        AsyncExitStack() as stack,
    ):
        sites = await asyncio.gather(
            *(
                stack.enter_async_context(bench.site(server, sys.executable, package=True))
                for server in Server
                if installed(server)
            )
        )
        for site in sites:
            for cell in CELLS:
                if cell.server is site.server:
                    found.cells[cell] = await _run(bench, site, cell, found)
            found.metrics[site.server] = (await site.state())["metrics"]
            cell = Cell(site.server, 1, Scenario.SILENT, Close.FIN, "openai")
            found.background[site.server] = await bench.run_in_background(site, cell, provider)
    return found


async def _run(bench: Bench, site: Running, cell: Cell, found: Measured) -> list[Observed]:
    # A burst is observed alone; where its end never comes, there is no need to look again.
    together = 1 if cell.scenario is Scenario.BURST else CLIENTS
    for _ in range(ATTEMPTS):
        observed: list[Observed] = []
        while len(observed) < CLIENTS and not never_over(observed):
            observed += await bench.run(site, [cell], together)
            found.clients[site.server] += together
        late = to_finally(observed).worst > TO_FINALLY
        if never_over(observed) or not (
            late or to_upstream_close(observed).worst > TO_UPSTREAM_CLOSE
        ):
            break
    return observed


def never_over(observed: list[Observed]) -> bool:
    return any(one.unwound is None or one.upstream is None for one in observed)


def to_finally(observed: list[Observed]) -> Latency:
    return Latency.of(one.unwound for one in observed)


def to_upstream_close(observed: list[Observed]) -> Latency:
    return Latency.of(one.upstream for one in observed)


@every_cell
def test_is_unwound_and_closed_at_once(measured: Measured, cell: Cell) -> None:
    observed = measured.of(cell)

    assert to_finally(observed).median < TO_FINALLY
    assert to_upstream_close(observed).median < TO_UPSTREAM_CLOSE


@every_cell
def test_ends_once_as_a_client_disconnect(measured: Measured, cell: Cell) -> None:
    for one in measured.of(cell):
        (span,) = one.spans
        cancel = cancel_of(span.attributes)
        assert (cancel.type, cancel.source) == ("external", "client_disconnect")
        assert cancel.signal in ("asgi_receive", "asgi_send")
        assert cancel.phase == ("streaming" if span.attributes[sc.CHUNKS] else "request")
        assert sc.EVENT_DISCONNECT in span.events
        assert sc.EVENT_UPSTREAM_CLOSED in span.events


@every_cell
def test_span_tells_what_was_measured(measured: Measured, cell: Cell) -> None:
    for one in measured.of(cell):
        (span,) = one.spans
        assert one.unwound is not None
        said = span.attributes[sc.DISCONNECT_TO_FINALLY]
        assert said >= 0
        if one.learned is not None:  # from the server's word on; the client left before it
            assert said <= one.unwound - one.learned + TO_FINALLY


@every_server
def test_call_after_the_response_goes_on(measured: Measured, server: Server) -> None:
    if server not in measured.background:
        pytest.skip(f"{server} is not installed")
    observed = measured.background[server]

    assert observed.unwound is not None
    assert observed.exception is None
    assert observed.spans == ()  # it completed


@every_server
def test_leaves_nothing_behind(measured: Measured, server: Server) -> None:
    if server not in measured.metrics:
        pytest.skip(f"{server} is not installed")
    metrics = measured.metrics[server]

    assert metrics[sc.STREAMS_OPEN.name] == 0
    assert metrics[sc.INTERNAL_ERRORS.name] == 0
    assert metrics[sc.CALLS.name] == metrics[sc.CANCELLATIONS.name] == measured.clients[server]
