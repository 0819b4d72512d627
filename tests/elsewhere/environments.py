"""Makes an environment of pinned packages, and uses it again as long as nothing has changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from support import children

from .interpreters import find
from .places import ROOT, Place

HOUR = 3_600.0


class NotMadeError(Exception):
    """The environment could not be made."""


def made(place: Place) -> Path:
    """Return the interpreter of a place's environment."""
    python = place.folder / "bin" / "python"
    stamp = place.folder / "requirements.sha256"
    if python.exists() and not stamp.exists():
        return python  # made by somebody else: theirs to keep
    interpreter = find(place.python)
    version = children.run([interpreter, "-VV"]).stdout
    wanted = hashlib.sha256(version.encode() + place.pinned.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    _do([interpreter, "-m", "venv", "--clear", place.folder])
    pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--no-compile"]
    # As constraints too: before pip 23.3 the pin of `pydantic` is none of `pydantic[email]`.
    _do([*pip, "--require-hashes", "-r", place.pinned, "-c", place.pinned])
    _do([*pip, "--no-deps", "-e", ROOT])
    stamp.write_text(wanted)
    return python


def _do(command: list[str | Path]) -> None:
    ended = children.run(command, timeout=HOUR)
    if ended.returncode:
        words = " ".join(map(str, command))
        raise NotMadeError(f"{words} failed:\n{ended.stdout[-1_000:]}{ended.stderr[-2_000:]}")
