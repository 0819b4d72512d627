"""Runs cells against a server: its clients ask, wait for their moment, and go away."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from litellm_cancel_otel._demo.fakes import Exchange, FakeProvider
from litellm_cancel_otel._demo.fakes.board import Board

from .cells import SCRIPTS, Cell, Scenario, Server
from .clients import Client
from .runs import WINDOW, Observed, Run
from .servers import Running, serving

_BACKSTOP = 30.0
_STILL = 0.2
"""A generator that was not asked for so long will not be, for now."""
_SHORT = 0.005
_LONG_GONE = 0.1
"""Longer than any grace."""
_STOPPED_PIECE = 100_000
_AT_ONCE = {
    Scenario.FLOWING: 8,
    Scenario.SILENT: 40,
    Scenario.SILENT_FIRST: 40,
    Scenario.BURST: 1,
    Scenario.STOPPED: 8,
}
"""How many clients are there together: few enough that the machine has time to spare."""


class Bench:
    """The runner's side: the providers, and what the site reports; use ``open_bench``."""

    def __init__(self, providers: Mapping[Scenario, FakeProvider], address: str) -> None:
        self._providers = providers
        self._address = address
        self._board = Board()
        self._runs: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._readers: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def site(self, server: Server, python: str, *, package: bool) -> AsyncIterator[Running]:
        """Run the site on a server, with or without the package at work."""
        environ = {
            "DISCONNECT_RUNNER": self._address,
            "DISCONNECT_PACKAGE": "with" if package else "without",
        }
        async with serving(server, python, environ) as running:
            yield running

    async def run(
        self, site: Running, cells: Iterable[Cell], repeats: int, *, package: bool = True
    ) -> list[Observed]:
        """Let so many clients of each cell go away; return what came of each.

        They go one after another, each when the one before is over. Without the package that may
        be never: they go at short intervals then, and are observed together.
        """
        found: list[Observed] = []
        for scenario in Scenario:
            runs = [
                Run(cell) for cell in cells if cell.scenario is scenario for _ in range(repeats)
            ]
            size = _AT_ONCE[scenario] * (1 if package or scenario is Scenario.BURST else 2)
            for begin in range(0, len(runs), size):
                await self._batch(site, runs[begin : begin + size], scenario, package=package)
            await self._until(partial(_over, runs), WINDOW)
            if package:
                await self._until(partial(_told, runs), WINDOW)
            found += [run.observed() for run in runs]
        return found

    async def run_in_background(
        self, site: Running, cell: Cell, provider: FakeProvider
    ) -> Observed:
        """Let a client go after its response, while a background task of the request streams on.

        The provider's script falls silent; it goes on when the client has long been gone.
        """
        run = Run(cell)
        self._runs[run.id] = run
        client = Client(site.port)
        await client.ask(f"/{cell.middleware}/background?{_query(run, provider)}")
        exchange = await provider.next_exchange(_BACKSTOP)
        await exchange.wait_hanging(_BACKSTOP)
        await client.piece()
        run.left = client.leave(cell.close)
        await asyncio.sleep(_LONG_GONE)
        exchange.release()
        await self._until(lambda: run.unwound, WINDOW)
        return run.observed()

    async def _batch(
        self, site: Running, runs: Sequence[Run], scenario: Scenario, *, package: bool
    ) -> None:
        self._runs |= {run.id: run for run in runs}
        clients = await asyncio.gather(*(self._ready(site, run) for run in runs))
        if scenario in (Scenario.SILENT, Scenario.STOPPED):
            await _still(site, runs)
        elif scenario is not Scenario.BURST:  # whose point is that the site is busy
            await site.state()  # answered: nothing of what the clients began is left to do
        patience = WINDOW if package else _SHORT
        for run, client in zip(runs, clients, strict=True):
            run.left = client.leave(run.cell.close)
            await self._until(partial(_over, [run]), patience)
            if not run.over:  # then the others need not wait for each other either
                patience = _SHORT
        if scenario is Scenario.BURST:
            await site.state()  # before the next one: it may be busy with this one for seconds

    async def _ready(self, site: Running, run: Run) -> Client:
        cell = run.cell
        stops = cell.scenario is Scenario.STOPPED
        client = Client(site.port, reads=not stops)
        query = _query(run, self._providers[cell.scenario], _STOPPED_PIECE if stops else 10)
        await client.ask(f"/{cell.middleware}/answer?{query}")
        await self._expect(lambda: run.exchange is not None, f"a call from {cell}")
        if cell.scenario in (Scenario.SILENT, Scenario.SILENT_FIRST):
            assert run.exchange is not None
            await run.exchange.wait_hanging(_BACKSTOP)
        if cell.scenario is Scenario.SILENT_FIRST:
            await _streaming(site, run)
        elif not stops:
            await client.piece()
        return client

    async def _expect(self, holds: Callable[[], bool], what: str) -> None:
        await self._board.until(holds, what, _BACKSTOP)

    async def _until(self, holds: Callable[[], bool], seconds: float) -> None:
        with suppress(TimeoutError):  # that it does not come is what the run then shows
            await self._board.until(holds, "the end", seconds)

    async def take_reports(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Hand each report of a site's to its run."""
        task = asyncio.current_task()
        assert task is not None
        self._readers.add(task)
        try:
            await self._take_reports(reader)
        finally:
            self._readers.discard(task)
            writer.close()

    async def aclose(self) -> None:
        """Wait for the last reports, which end with the sites, and stop what still watches."""
        if self._readers:
            await asyncio.wait(self._readers, timeout=_BACKSTOP)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take_reports(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            report = json.loads(line)
            self._runs[report["run"]].take(report)
            self._board.announce()

    async def take_exchanges(self, provider: FakeProvider) -> None:
        """Hand each exchange to its run, which its prompt names."""
        while True:
            exchange = await provider.next_exchange(timeout=86_400)
            prompt = json.dumps(exchange.payload)
            (run,) = [run for name, run in self._runs.items() if name in prompt]
            run.exchange = exchange
            self._board.announce()
            task = asyncio.create_task(self._announce_close(exchange))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _announce_close(self, exchange: Exchange) -> None:
        await exchange.wait_closed(86_400)
        self._board.announce()


def _told(runs: Iterable[Run]) -> bool:
    return all(run.has_span for run in runs)


def _query(run: Run, provider: FakeProvider, size: int = 10) -> str:
    about = {"run": run.id, "provider": run.cell.provider, "base": provider.base_url, "size": size}
    return urlencode(about)


def _over(runs: Iterable[Run]) -> bool:
    return all(run.over for run in runs)


async def _streaming(site: Running, run: Run) -> None:
    """Wait until the call has returned its stream."""
    async with asyncio.timeout(_BACKSTOP):
        while run.id not in (await site.state())["progress"]:
            await asyncio.sleep(0.05)


async def _still(site: Running, runs: Sequence[Run]) -> None:
    """Wait until no generator is asked for more: all is sent, or their clients hold them back.

    On a server that holds back nobody, which is daphne, the latter never comes about.
    """
    for _ in range(40):
        await asyncio.sleep(0.05)
        state = await site.state()
        asked = [state["progress"].get(run.id, state["now"]) for run in runs]
        if state["now"] - max(asked) > _STILL:
            return


@asynccontextmanager
async def open_bench() -> AsyncIterator[Bench]:
    """Yield a bench whose providers run in this loop."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        address = str(Path(folder, "runner"))
        providers = {
            scenario: await stack.enter_async_context(FakeProvider(script))
            for scenario, script in SCRIPTS.items()
        }
        bench = Bench(providers, address)
        server = await asyncio.start_unix_server(bench.take_reports, address, limit=1 << 20)
        tasks = [asyncio.create_task(bench.take_exchanges(one)) for one in providers.values()]
        try:
            yield bench
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await bench.aclose()
