"""Runs cells against a server: clients that ask, wait, go away, and what came of it."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from litellm_cancel_otel._demo.fakes import Exchange, FakeProvider
from litellm_cancel_otel._demo.fakes.board import Board

from .cells import SCRIPTS, Cell, Close, Scenario, Server
from .clients import Client
from .servers import Running, serving

WINDOW = 5.0
"""How long after its client's close a run is observed."""

_PATIENCE = 30.0
_STILL = 0.2
_PIECE = {Scenario.STOPPED: 100_000}


@dataclass(frozen=True, slots=True)
class Observed:
    """What came of one client's going; seconds since its close, None for not within the window."""

    cell: Cell
    exception: str | None
    learned: float | None
    finally_: float | None
    upstream: float | None
    span: dict[str, Any] | None
    spans: int
    events: tuple[str, ...] = ()


class Run:
    """One client of one cell."""

    _ids = count(1)

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.id = f"run-{next(Run._ids)}"
        self.exchange: Exchange | None = None
        self.left: float | None = None
        self.reports: list[dict[str, Any]] = []

    def of(self, event: str) -> list[dict[str, Any]]:
        return [report for report in self.reports if report["event"] == event]

    @property
    def over(self) -> bool:
        closed = self.exchange is not None and self.exchange.closed_at is not None
        return closed and bool(self.of("finally"))

    def observed(self) -> Observed:
        done, spans = self.of("finally"), self.of("span")
        closed = None if self.exchange is None else self.exchange.closed_at
        learned = self.of("learned")
        return Observed(
            self.cell,
            done[0]["exception"] if done else None,
            self._since(learned[0]["at"] if learned else None),
            self._since(done[0]["at"] if done else None),
            self._since(closed),
            spans[0]["attributes"] if spans else None,
            len(spans),
            tuple(spans[0]["events"]) if spans else (),
        )

    def _since(self, at: float | None) -> float | None:
        if at is None or self.left is None or at - self.left > WINDOW:
            return None
        return at - self.left


class Bench:
    """The runner's side: the providers, and what the site reports."""

    def __init__(self, providers: dict[Scenario, FakeProvider], board: Board) -> None:
        self.providers = providers
        self.board = board
        self.runs: dict[str, Run] = {}
        self.address = ""

    async def take_reports(self, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        """Hand each report of the site's to its run."""
        while line := await reader.readline():
            report = json.loads(line)
            if (run := self.runs.get(report["run"])) is not None:
                run.reports.append(report)
                self.board.announce()

    async def take_exchanges(self, provider: FakeProvider) -> None:
        """Hand each exchange to its run, which its prompt names."""
        while True:
            exchange = await provider.next_exchange(timeout=1e6)
            found = json.dumps(exchange.payload).split("run-", 1)
            number = "".join(_leading_digits(found[1])) if len(found) > 1 else ""
            if (run := self.runs.get(f"run-{number}")) is not None:
                run.exchange = exchange
                self.board.announce()

    async def run(
        self, server: Running, cells: Iterable[Cell], repeats: int, *, hurried: bool = False
    ) -> list[Observed]:
        """Let ``repeats`` clients of each cell go away; one after another, or all in a hurry."""
        clients = [(Run(cell), self._client(server, cell)) for cell in cells for _ in range(repeats)]
        ready = asyncio.Semaphore(1 if _one_by_one(cells) else 10)
        if _one_by_one(cells):
            for run, client in clients:
                await self._ready(server, run, client)
                self._leave(run, client)
                await self._until_over([run], WINDOW)
        else:
            del ready
            await asyncio.gather(*(self._ready(server, *one) for one in clients))
            for run, client in clients:
                self._leave(run, client)
                if hurried:
                    await asyncio.sleep(0.005)
                else:
                    await self._until_over([run], 0.3)
        runs = [run for run, _ in clients]
        await self._until_over(runs, WINDOW)
        if any(run.of("span") for run in runs):
            await self._wait(lambda: all(run.of("span") for run in runs), WINDOW)
        return [run.observed() for run in runs]
