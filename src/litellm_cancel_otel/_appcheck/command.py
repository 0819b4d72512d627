"""``litellm-cancel-otel doctor --app``: its arguments, and what they ask for."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from importlib import import_module

from .._demo.arguments import port, positive
from .problem import Problem

BAD_INPUT = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a check."""
    group = parser.add_argument_group(
        "an application", "serve it on loopback before fake providers, and leave its routes"
    )
    group.add_argument("--app", metavar="MODULE:APP", help="the application, as uvicorn takes it")
    group.add_argument(
        "--route",
        metavar="'POST /chat'",
        action="append",
        default=[],
        help="a route that streams; again for more (default: those of its OpenAPI that do)",
    )
    group.add_argument(
        "--body",
        metavar="JSON",
        action="append",
        default=[],
        help="what is posted: once, or once for each --route",
    )
    group.add_argument(
        "--header", metavar="'NAME: VALUE'", action="append", default=[], help="sent with each"
    )
    group.add_argument(
        "--within",
        metavar="SECONDS",
        type=positive,
        default=0.05,
        help="until the finally; twice that until the upstream's close (default: 0.05)",
    )
    group.add_argument(
        "--with-package",
        action="store_true",
        help="put CancelTelemetry and CancellationMiddleware around it for the check",
    )
    group.add_argument(
        "--port", metavar="N", type=port, default=0, help="of loopback (default: a free one)"
    )


def run(args: argparse.Namespace) -> int:
    """Check the application; 0: every route is within its limits, 2: it cannot be checked."""
    for needed in ("h11", "starlette", "uvicorn"):  # here: the application's process would fail
        import_module(needed)
    from .check import check  # only now: it imports LiteLLM

    try:
        report = asyncio.run(check(args))
    except Problem as problem:
        print(problem, file=sys.stderr)
        return BAD_INPUT
    print(json.dumps(report.document(), indent=2) if args.json else "\n".join(report.lines()))
    return 1 if report.problems else 0
