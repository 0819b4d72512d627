"""``litellm-cancel-otel top``: its arguments, and what they ask for."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from .readings import Metrics, Streams, Unreadable

HELP = "watch the open streams of running processes, stuck ones first"

_VARIABLE = "LITELLM_CANCEL_OTEL_TOP_SOCKET"
_CANNOT_RUN = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``top``."""
    what = parser.add_argument_group("what to watch")
    what.add_argument(
        "socket",
        nargs="*",
        metavar="SOCKET",
        help="a watched process's socket, a directory or pattern of such, or a path with {pid} "
        f"(default: {_VARIABLE})",
    )
    what.add_argument(
        "--prometheus", metavar="URL", help="instead, the metrics endpoint of any process"
    )
    how = parser.add_argument_group("how it is shown")
    how.add_argument("--once", action="store_true", help="print one frame; so without a terminal")
    how.add_argument("--json", action="store_true", help="a JSON document a line, for a machine")
    how.add_argument(
        "--interval",
        metavar="SECONDS",
        type=_interval,
        default=1.0,
        help="from one frame to the next (default: 1)",
    )


def run(args: argparse.Namespace) -> int:
    """Show what there is; return the exit code."""
    try:
        read = _source(args)
        first = read()
        if args.json:
            _print_json(read, first, None if args.once else args.interval)
        elif args.once or not (sys.stdin.isatty() and sys.stdout.isatty()):
            _print(first)
        else:
            from . import live

            live.run(read, args.interval)
    except Unreadable as exc:
        print(exc, file=sys.stderr)
        return _CANNOT_RUN
    return 0


def _interval(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError("must be from 0.1 to 3600 seconds")
    return value


def _source(args: argparse.Namespace) -> Callable[[], Streams | Metrics]:
    given = args.socket or [path for path in (os.environ.get(_VARIABLE),) if path]
    if args.prometheus and args.socket:
        raise Unreadable("either sockets or --prometheus, not both")
    if args.prometheus:
        from . import prometheus

        return lambda: prometheus.read(args.prometheus)
    from . import sockets

    if not given:
        raise Unreadable(f"no socket is given: {sockets.SWITCH_ON}; or use --prometheus URL")
    return lambda: sockets.read(given)


def _print(reading: Streams | Metrics) -> None:
    from rich.console import Console

    from .view import frame

    console = Console(highlight=False)
    console.print(frame(reading, console.width, height=100))


def _print_json(
    read: Callable[[], Streams | Metrics], first: Streams | Metrics, interval: float | None
) -> None:
    for reading in _readings(read, first, interval):
        print(json.dumps(_plain(reading)), flush=True)


def _readings(
    read: Callable[[], Streams | Metrics], first: Streams | Metrics, interval: float | None
) -> Iterator[Streams | Metrics]:
    yield first
    while interval is not None:
        time.sleep(interval)
        yield read()


def _plain(reading: Streams | Metrics) -> dict[str, Any]:
    if isinstance(reading, Streams):
        return asdict(reading)
    models = [
        {"provider": provider, "model": model, **asdict(found)}
        for (provider, model), found in reading.models.items()
    ]
    return {"source": reading.source, "models": models}
