"""Runs what the command line asks for, and shows it."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.util import find_spec
from typing import TextIO, TypeVar

from opentelemetry.sdk.metrics.export import MetricReader
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .._contract.settings import Settings
from . import leaving, quiet, report, stuck
from .fakes import PROVIDERS, Wire
from .leaving import LEAVINGS, Left
from .load import Load, warm_up
from .records import Pair
from .runner import Progressed, Runner
from .table import LEGEND_OF_CLIENTS, clients_table, legend, lost, summary, table
from .telemetry import Otlp, Telemetry, Totals
from .ways import WAYS, Way

WIDTH = 100
"""Columns where there is no terminal to ask."""

NEXT = (
    "Next: `litellm-cancel-otel doctor` looks at your installation, `litellm-cancel-otel "
    "dashboard` makes dashboards, `demo --load 600 --otlp ENDPOINT` fills them; docs/demo.md "
    "explains each row."
)

T = TypeVar("T")
Clients = list[tuple[Left, Left]]
"""Without the package and with it."""


class UsageError(Exception):
    """The options do not fit; the message says what would."""


def run(args: argparse.Namespace) -> int:
    """Run the demo as its options say; return the exit code."""
    try:
        providers = _chosen("provider", args.providers, {name: name for name in PROVIDERS})
        ways = _chosen("way", args.ways, WAYS)
        _check(args)
    except UsageError as exc:
        print(f"litellm-cancel-otel demo: {exc}", file=sys.stderr)
        return 2
    for needed in ("starlette", "uvicorn") if _has_clients(args, providers) else ():
        if find_spec(needed) is None:
            raise ModuleNotFoundError("clients leave a real server", name=needed)
    if "bedrock" in providers and find_spec("botocore") is None:
        raise ModuleNotFoundError("LiteLLM calls Bedrock through botocore", name="botocore")
    quiet.libraries()
    # What stops a container ends a load as Ctrl-C does: with everything sent.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return asyncio.run(_Session(args, providers, ways).run())
    except OSError as exc:
        if isinstance(exc, BrokenPipeError):
            raise
        print(f"litellm-cancel-otel demo: {exc}", file=sys.stderr)
        return 2


def _chosen(kind: str, text: str | None, known: Mapping[str, T]) -> list[T]:
    names = [name.strip() for name in (text or "").split(",") if name.strip()] or list(known)
    for name in names:
        if name not in known:
            raise UsageError(f"there is no {kind} {name!r}; there are {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)]


def _has_clients(args: argparse.Namespace, providers: Sequence[Wire]) -> bool:
    """Return whether clients of a web application, which asks Azure, leave too."""
    return not (args.load or args.stuck or args.ways) and "azure" in providers


def _check(args: argparse.Namespace) -> None:
    if args.protocol and not args.otlp:
        raise UsageError("--protocol belongs to --otlp, which is missing")
    if args.serve_for and args.prometheus is None:
        raise UsageError("--for belongs to --prometheus, which is missing")
    for option in ("load", "stuck"):
        if getattr(args, option) and (args.ways or args.svg):
            raise UsageError(f"--{option} makes no table, so --ways and --svg are not for it")
    if args.stuck and (args.load or args.json):
        raise UsageError("--stuck has no traffic to count, so --load and --json are not for it")


class _Session:
    def __init__(
        self, args: argparse.Namespace, providers: Sequence[Wire], ways: Sequence[Way]
    ) -> None:
        self._args = args
        self._providers = providers
        self._ways = ways
        self._out = _console(sys.stdout)
        self._err = _console(sys.stderr)
        self._otlp = Otlp.at(args.otlp, args.protocol) if args.otlp else None
        self._readers: list[MetricReader] = []

    async def run(self) -> int:
        """Run; return the exit code."""
        if self._args.prometheus is not None:
            from .prometheus import serve

            reader, url = serve(self._args.prometheus)
            self._readers.append(reader)
            self._err.print(f"metrics at {url}", highlight=False)
        if self._args.load or self._args.stuck:
            telemetry = await (self._load() if self._args.load else self._stuck())
            ok = True
        else:
            telemetry, ok = await self._compare()
        return 0 if self._exported(telemetry) and ok else 1

    async def _compare(self) -> tuple[Telemetry, bool]:
        runner = Runner(self._ways, self._providers)
        with self._progress("without the package") as progressed:
            without = await runner.without(progressed)
        clients: Clients = []
        if _has_clients(self._args, self._providers):
            with self._progress("clients that leave", len(LEAVINGS)) as progressed:
                clients = await leaving.compare(progressed)
        telemetry = Telemetry(Settings(spans="all"), self._otlp, self._readers)
        with telemetry:
            with self._progress("with the package") as progressed:
                with_ = await runner.with_(telemetry, progressed)
            totals = telemetry.totals()
            pairs = [Pair(*both) for both in zip(without, with_, strict=True)]
            problems = self._show(pairs, totals, clients)
            await self._serve(self._args.serve_for)
        return telemetry, not problems

    async def _load(self) -> Telemetry:
        load = Load(self._providers, self._args.rate)
        telemetry = Telemetry(Settings.from_env(), self._otlp, self._readers, keep=False)
        await warm_up(self._providers)
        with telemetry:
            self._err.print(f"{self._args.rate:g} calls a second for {self._args.load:g} s")
            await load.run(self._args.load)
            totals = telemetry.totals()
            made = dict(sorted(load.made.items()))
            if self._args.json:
                print(json.dumps({"made": made, "totals": asdict(totals)}, indent=2))
            else:
                lines = (f"made: {made}", f"counted: {totals.calls}", lost(totals))
                self._out.print(*lines, sep="\n", highlight=False)
            if self._args.serve_for:
                await self._serve(self._args.serve_for)
        return telemetry

    async def _stuck(self) -> Telemetry:
        settings = replace(Settings.from_env(), stuck_no_chunk=stuck.LIMIT)
        telemetry = Telemetry(settings, self._otlp, self._readers, keep=False)
        await warm_up(self._providers[:1])
        with telemetry:
            self._err.print(stuck.advice(), highlight=False)
            await stuck.hang(self._providers[0], self._args.stuck)
            if self._args.serve_for:
                await self._serve(self._args.serve_for)
        return telemetry

    async def _serve(self, seconds: float | None) -> None:
        if self._readers:
            how_long = f"for {seconds:g} s" if seconds else "until Ctrl-C"
            self._err.print(f"still serving, {how_long}", highlight=False)
            await asyncio.sleep(seconds or float("inf"))

    def _show(self, pairs: Sequence[Pair], totals: Totals, clients: Clients) -> list[str]:
        """Show everything; return what is not as it must be, which is on stderr."""
        if self._args.json:
            print(json.dumps(report.document(pairs, totals, clients), indent=2))
        else:
            _print(self._out, pairs, totals, clients)
        if self._args.svg:
            _draw(self._args.svg, pairs, totals, clients)
        problems = [
            f"{pair.with_.provider} {pair.with_.way.name}: {problem}"
            for pair in pairs
            for problem in pair.with_.problems()
        ]
        problems += [
            f"{with_.leaving.name}: {problem}"
            for _, with_ in clients
            for problem in with_.problems()
        ]
        for problem in problems:
            self._err.print(f"[bold red]not as it must be[/]: {problem}", highlight=False)
        return problems

    def _exported(self, telemetry: Telemetry) -> bool:
        if self._otlp is None:
            return True
        at = f"{self._otlp.endpoint} ({self._otlp.protocol})"
        taken, refused = telemetry.taken, telemetry.refused
        if not refused:
            told = f"sent to {at}"
        elif not taken:
            told = (
                f"[bold red]not sent[/]: {at} did not take traces or metrics; is it a collector, "
                "and of that protocol?"
            )
        else:
            lost = (f"{n} of {n + taken[signal]} of {signal}" for signal, n in refused.items())
            told = (
                f"[bold red]not all sent[/]: {at} did not take {' and '.join(lost)} that were "
                "sent to it; was it away? Metrics are totals: the next that it took made up for it."
            )
        self._err.print(told, highlight=False)
        return not refused

    @contextmanager
    def _progress(self, title: str, total: int | None = None) -> Iterator[Progressed]:
        columns = (
            TextColumn("{task.description:<20}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._err) as progress:
            callers = len(self._ways) * len(self._providers)
            task = progress.add_task(title, total=callers if total is None else total)
            yield lambda: progress.advance(task)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command line, which knows the exit code."""
        raise BrokenPipeError


def _console(file: TextIO) -> Console:
    known = file.isatty() or "COLUMNS" in os.environ
    return _Console(file=file, width=None if known else WIDTH)


def _print(console: Console, pairs: Sequence[Pair], totals: Totals, clients: Clients) -> None:
    versions = ", ".join(f"{name} {number}" for name, number in report.versions().items())
    console.print(versions, style="dim", highlight=False)
    console.print()
    console.print(table(pairs, console.width))
    console.print()
    console.print(legend(console.width), style="dim", highlight=False)
    console.print()
    for line in summary(pairs, totals):
        console.print(line, highlight=False)
    if clients:
        console.print()
        console.print(clients_table(clients))
        console.print()
        console.print(LEGEND_OF_CLIENTS, style="dim", highlight=False)
        console.print()
    console.print(NEXT, style="dim", highlight=False)


def _draw(path: str, pairs: Sequence[Pair], totals: Totals, clients: Clients) -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    _print(console, pairs, totals, clients)
    svg = console.export_svg(title="litellm-cancel-otel demo")
    # Of the reader's own fonts: a picture that fetches one shows another without the network.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    with open(path, "w", encoding="utf-8") as file:
        file.write(svg)
