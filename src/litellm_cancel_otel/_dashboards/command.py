"""``litellm-cancel-otel dashboard``: hands out the dashboards that are shipped."""

import argparse
import difflib
import sys
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

HELP = "print a Grafana dashboard as JSON, or list the names"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("name", nargs="?", help="which dashboard; without it, list the names")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it to a file")
    parser.add_argument("--force", action="store_true", help="overwrite the file if there is one")


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; return the exit status."""
    shipped = dashboards()
    if args.name is None:
        if args.out is not None:
            return _refuse(f"--out needs a dashboard's name: {', '.join(shipped)}")
        print("\n".join(shipped))
        return 0
    if args.name not in shipped:
        near = difflib.get_close_matches(args.name, shipped, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return _refuse(f"no dashboard {args.name!r}; there are {', '.join(shipped)}{hint}")
    content = shipped[args.name].read_text(encoding="utf-8")
    if args.out is None:
        sys.stdout.write(content)
        return 0
    try:
        with args.out.open("w" if args.force else "x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError:
        return _refuse(f"{args.out} exists; --force overwrites it")
    except OSError as exc:
        return _refuse(f"{args.out} cannot be written: {exc.strerror}")
    return 0


def dashboards() -> dict[str, Traversable]:
    """Return the dashboards that are shipped, by name."""
    shipped: Traversable = files(__package__) / "json"
    if not shipped.is_dir():
        # A checkout of the repository: the wheel alone has them inside the package.
        shipped = Path(__file__).parents[3] / "grafana" / "dashboards"
    found = [file for file in shipped.iterdir() if file.name.endswith(".json")]
    return {file.name.removesuffix(".json"): file for file in sorted(found, key=lambda f: f.name)}


def _refuse(why: str) -> int:
    print(f"litellm-cancel-otel dashboard: {why}", file=sys.stderr)
    return 2
