"""The command line: finds the subcommand, turns what goes wrong into a line and an exit code.

A subcommand is a module with ``HELP``, ``add_arguments(parser)`` and ``run(args) -> int``; what it
needs it imports in ``run``, for ``--help`` must not wait for LiteLLM.
"""

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from types import ModuleType
from typing import Final

PROG: Final = "litellm-cancel-otel"

COMMANDS: Final = {
    "demo": "_demo.command",
    "doctor": "_doctor",
    "dashboard": "_dashboards.command",
    "rules": "_dashboards.rules_command",
    "top": "_top.command",
}
"""Each subcommand's module."""

EXTRAS: Final = {
    "botocore": "demo",
    "h11": "demo",
    "opentelemetry.exporter.prometheus": "prometheus",
    "prometheus_client": "prometheus",
    "rich": "demo",
    "starlette": "demo",
    "uvicorn": "demo",
}
"""What may be missing, and the extra that brings it."""

CANNOT_RUN: Final = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    args = _parser().parse_args(argv)
    try:
        code = int(args.run(args))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Whoever read our output has gone. What is still in the buffer would fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except ModuleNotFoundError as exc:
        extra = EXTRAS.get(exc.name or "")
        if extra is None:
            raise
        print(
            f"{PROG} {args.command} needs {exc.name}: pip install '{PROG}[{extra}]'",
            file=sys.stderr,
        )
        return CANNOT_RUN
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG, description="Shows and checks what happens to cancelled LiteLLM calls."
    )
    parser.add_argument("--version", action="version", version=f"{PROG} {version(PROG)}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        command = _imported(module)
        if command is not None:
            sub = commands.add_parser(name, help=command.HELP, description=_sentence(command.HELP))
            command.add_arguments(sub)
            sub.set_defaults(run=command.run)
    return parser


def _imported(module: str) -> ModuleType | None:
    """Return a subcommand's module; None for one that this installation is without."""
    full = f"{__package__}.{module}"
    try:
        return importlib.import_module(full)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{full}.".startswith(f"{exc.name}."):
            raise
        return None


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
