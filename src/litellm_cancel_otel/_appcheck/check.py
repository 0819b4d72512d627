"""The whole check: start the application, find its routes that stream, leave each in every way."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from .._demo.fakes import FakeProvider
from .bench import Bench
from .problem import Problem
from .process import in_process
from .report import Report
from .request import Headers, Request, headers_of, request_of
from .told import Told
from .ways import WAYS


async def check(args: argparse.Namespace) -> Report:
    """Check what the command line names; raise Problem for what keeps it from being checked."""
    headers = headers_of(args.header)
    named = list(_named(args.route, args.body, headers))
    async with (
        FakeProvider() as provider,
        in_process(args.app, provider.base_url, args.port, package=args.with_package) as app,
    ):
        bench = Bench(app, provider)
        layout = app.told.layout or {}
        report = Report(args.app, args.within, layout["package"], args.with_package)
        streaming = await _probed(bench, named) if named else await _found(bench, report, headers)
        for request in streaming:
            report.routes.append(await bench.check(request, WAYS, args.within))
        return report


def _named(routes: list[str], bodies: list[str], headers: Headers) -> Iterator[Request]:
    if len(bodies) not in (0, 1, len(routes)) or (bodies and not routes):
        raise Problem("give --body once, or once for each --route and in their order")
    for number, route in enumerate(routes):
        body = None if not bodies else bodies[number if len(bodies) == len(routes) else 0]
        yield request_of(route, body, headers)


async def _probed(bench: Bench, named: list[Request]) -> list[Request]:
    for request in named:
        await bench.probe(request)
    return named


async def _found(bench: Bench, report: Report, headers: Headers) -> list[Request]:
    streaming = []
    for request in _routes(bench.told, headers):
        try:
            await bench.probe(request)
        except Problem as problem:
            report.skipped.append(str(problem))
        else:
            streaming.append(request)
    if not streaming:
        why = "; ".join(report.skipped) or "it names no route"
        raise Problem(f"no route of {report.app} streams ({why}): name one with --route and --body")
    return streaming


def _routes(told: Told, headers: Headers) -> list[Request]:
    layout = told.layout or {}
    return [
        Request(route["method"], route["target"], route["body"], headers)
        for route in layout["routes"]
    ]
