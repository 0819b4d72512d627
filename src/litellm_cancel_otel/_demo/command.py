"""``litellm-cancel-otel demo``: its arguments, and what they ask for."""

from __future__ import annotations

import argparse

from . import quiet
from .arguments import port, positive

HELP = "cancel real LiteLLM calls in every way, without the package and with it, on loopback"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the demo's options."""
    what = parser.add_argument_group("what to run")
    what.add_argument("--providers", metavar="A,B", help="only these (default: all four)")
    what.add_argument("--ways", metavar="A,B", help="only these ways for a call to end")
    what.add_argument(
        "--load",
        metavar="SECONDS",
        type=positive,
        help="instead of the comparison, a steady mix of traffic, for dashboards",
    )
    what.add_argument(
        "--stuck",
        metavar="SECONDS",
        type=positive,
        help="instead, one stream that hangs for so long, to try top and the alert with",
    )
    what.add_argument(
        "--rate", metavar="N", type=positive, default=20.0, help="calls a second (default: 20)"
    )
    where = parser.add_argument_group("where it goes")
    where.add_argument("--otlp", metavar="ENDPOINT", help="send traces and metrics to a collector")
    where.add_argument(
        "--protocol",
        choices=("grpc", "http/protobuf"),
        help="of OTLP (default: grpc for port 4317, else http/protobuf)",
    )
    where.add_argument(
        "--prometheus", metavar="PORT", type=port, help="serve the metrics on loopback; 0: any"
    )
    where.add_argument(
        "--for",
        metavar="SECONDS",
        type=positive,
        dest="serve_for",
        help="how long to serve them when all has run (default: until Ctrl-C)",
    )
    shown = parser.add_argument_group("how it is shown")
    shown.add_argument("--json", action="store_true", help="one JSON document for a machine")
    shown.add_argument("--svg", metavar="FILE", help="also draw the table into a file")


def run(args: argparse.Namespace) -> int:
    """Run what was asked for; 0 when every row is as it must be and every export has arrived."""
    quiet.before_litellm()
    from . import demo  # only now: it imports LiteLLM, and what not everybody has installed

    return demo.run(args)
