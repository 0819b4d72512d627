"""``litellm-cancel-otel top``: its arguments, and what they ask for."""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from .._contract.setting_kinds import AUTO, SocketPath
from .lines import Line
from .readings import Metrics, Streams, Unreadable
from .view import frame, listing

HELP = "watch the open streams of running processes, stuck ones first"

_VARIABLE = "LITELLM_CANCEL_OTEL_TOP_SOCKET"
_CANNOT_RUN = 2

_WIDTH, _HEIGHT = 100, 100
"""Where there is no terminal to ask; what is printed once may be longer than a screen."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``top``."""
    what = parser.add_argument_group("what to watch")
    what.add_argument(
        "process",
        nargs="*",
        metavar="PROCESS",
        help="a process's id, its socket, a directory or pattern of such, or a path with {pid} "
        f"(default: the only process there is, where {_VARIABLE} gives no path)",
    )
    what.add_argument("--all", action="store_true", help="every process there is")
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
        elif isinstance(first, Streams) and len(first.processes) > 1 and not _chosen(args):
            _print(listing(first, _width()))
            print("top PID watches one of them, top --all watches all")
        elif args.once or not (sys.stdin.isatty() and sys.stdout.isatty()):
            _print(frame(first, _width(), _HEIGHT))
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
    if args.prometheus and (args.process or args.all):
        raise Unreadable("either processes or --prometheus, not both")
    if args.prometheus:
        from . import prometheus

        return lambda: prometheus.read(args.prometheus)
    from . import sockets

    given = args.process or _from_environment()
    return lambda: sockets.read(given)


def _chosen(args: argparse.Namespace) -> bool:
    """Return whether all that was found is what was asked for."""
    return bool(args.all or args.process or _from_environment())


def _from_environment() -> list[str]:
    path = SocketPath().parse(os.environ.get(_VARIABLE, "").strip() or AUTO)
    return [] if path in (None, AUTO) else [str(path)]


def _print(lines: list[Line]) -> None:
    styled = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for line in lines:
        print(line.styled() if styled else line.text)


def _width() -> int:
    return shutil.get_terminal_size((_WIDTH, _HEIGHT)).columns


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
