"""``litellm-cancel-otel dashboard``: hands out the dashboards that are shipped."""

import argparse
import difflib
from importlib.resources.abc import Traversable
from pathlib import Path

from .shipped import hand_out, refuse, shipped

HELP = "print a Grafana dashboard as JSON, or list the names"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("name", nargs="?", help="which dashboard; without it, list the names")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it to a file")
    parser.add_argument("--force", action="store_true", help="overwrite the file if there is one")


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; return the exit status."""
    known = dashboards()
    if args.name is None:
        if args.out is not None:
            return refuse("dashboard", f"--out needs a dashboard's name: {', '.join(known)}")
        print("\n".join(known))
        return 0
    if args.name not in known:
        near = difflib.get_close_matches(args.name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        why = f"no dashboard {args.name!r}; there are {', '.join(known)}{hint}"
        return refuse("dashboard", why)
    content = known[args.name].read_text(encoding="utf-8")
    return hand_out("dashboard", content, args.out, force=args.force)


def dashboards() -> dict[str, Traversable]:
    """Return the dashboards that are shipped, by name."""
    found = [one for one in shipped("grafana/dashboards").iterdir() if one.name.endswith(".json")]
    return {file.name.removesuffix(".json"): file for file in sorted(found, key=lambda f: f.name)}
