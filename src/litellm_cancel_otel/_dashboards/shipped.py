"""The built files as the package ships them, and how a command hands one out."""

import sys
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path


def shipped(path: str) -> Traversable:
    """Return a built file or folder, by its path from the repository's root."""
    inside: Traversable = files(__package__) / "shipped"
    if not inside.is_dir():
        # A checkout of the repository: the wheel alone has them inside the package.
        inside = Path(__file__).parents[3]
    return inside.joinpath(path)


def hand_out(command: str, content: str, out: Path | None, *, force: bool) -> int:
    """Write a text to a file, or to standard output without one; return the exit status."""
    if out is None:
        sys.stdout.write(content)
        return 0
    try:
        with out.open("w" if force else "x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError:
        return refuse(command, f"{out} exists; --force overwrites it")
    except OSError as exc:
        return refuse(command, f"{out} cannot be written: {exc.strerror}")
    return 0


def refuse(command: str, why: str) -> int:
    """Say in one line why a command does nothing; return the exit status."""
    print(f"litellm-cancel-otel {command}: {why}", file=sys.stderr)
    return 2
