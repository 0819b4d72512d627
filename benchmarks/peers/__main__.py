"""Prints the package beside its peers: ``python -m benchmarks.peers --help``."""

import argparse
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path

from .environments import REQUIREMENTS, default_folder, environment
from .running import found, provider
from .sides import BARE, SIDES, Side
from .tables import Row, costs, told, write_document

CANCELS = 20


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    names = [side.name for side in SIDES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--side", action="append", choices=names, help="only this one; repeatable")
    parser.add_argument("--rounds", type=int, default=1, help="bare and the side in turn, so often")
    parser.add_argument("--environments", type=Path, default=default_folder(), metavar="FOLDER")
    parser.add_argument("--document", type=Path, help="a page whose tables these become")
    return parser.parse_args()


def main() -> None:
    """Make the environments, measure, print."""
    chosen = arguments()
    sides = [side for side in SIDES if not chosen.side or side.name in chosen.side]
    pythons = {}
    for side in sides:
        if side.environment not in pythons:
            _say(f"the environment of {side.title}")
            pythons[side.environment] = environment(side.environment, chosen.environments)
    rows = {side.name: Row(side, _version(side), [], []) for side in sides}
    bare: dict[str, list[dict[str, float]]] = {name: [] for name in pythons}
    with provider() as url:
        for number in range(chosen.rounds):
            for name, python in pythons.items():
                _say(f"round {number + 1}: {BARE.title} in the environment {name}")
                bare[name].append(found(python, BARE.name, "costs", url))
                for side in sides:
                    if side.environment == name:
                        _say(f"round {number + 1}: {side.title}")
                        rows[side.name].measured.append(found(python, side.name, "costs", url))
    words = {}
    asked = [side for side in sides if side.name != "again"]
    for side in asked:
        _say(f"what {side.title} tells")
        name = "callback" if side.name == "empty" else side.name
        words[side.name] = found(pythons[side.environment], name, "endings")
    measured = [
        Row(row.side, row.version, bare[row.side.environment], row.measured)
        for row in rows.values()
    ]
    head = f"Python {platform.python_version()}, LiteLLM {pinned('base', 'litellm')}, Azure."
    text = f"{head}\n\n{costs(measured, CANCELS)}\n{told(asked, words)}"
    print(text)
    if chosen.document:
        write_document(chosen.document, text)


def _version(side: Side) -> str:
    if side.package == "litellm-cancel-otel":
        return version(side.package)
    return "" if side.name in ("again", "empty") else pinned(side.environment, side.package)


def pinned(name: str, package: str) -> str:
    """Return the version of a package in an environment."""
    pins = (REQUIREMENTS / f"{name}.txt").read_text()
    pin = re.search(rf"^{re.escape(package)}==(\S+)", pins, re.MULTILINE)
    if pin is None:
        raise LookupError(f"{name}.txt has no {package}")
    return pin[1]


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
