"""Finds a Python of another version, where one is installed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from support import children

ASKS = "import ensurepip, ssl, sys, venv; print('.'.join(map(str, sys.version_info[:2])))"
"""What it must be able to do, and which version it is."""


class NotFoundError(Exception):
    """No interpreter of the version is installed."""


def find(version: str) -> str:
    """Return the path of an interpreter of a version such as 3.12."""
    if ".".join(map(str, sys.version_info[:2])) == version:
        return sys.executable
    for path in candidates(version):
        if _is(path, version):
            return str(path)
    raise NotFoundError(
        f"no Python {version} was found on PATH, in pyenv, in uv or at {variable(version)}"
    )


def variable(version: str) -> str:
    """Return the name of the variable that may say where the interpreter is."""
    return f"PYTHON_{version.replace('.', '')}"


def candidates(version: str) -> Iterator[Path]:
    """Yield where the interpreter may be; what is said comes before what is found."""
    if said := os.environ.get(variable(version)):
        yield Path(said)
        return
    name = f"python{version}"
    if found := shutil.which(name):
        yield Path(found)  # or a shim of pyenv's, which may only say that it has nothing
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv"))
    data = Path(os.environ.get("XDG_DATA_HOME", home / ".local" / "share"))
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", data / "uv" / "python"))
    for folder, pattern in (
        (pyenv / "versions", f"{version}.*/bin/{name}"),
        (uv, f"cpython-{version}.*/bin/{name}"),
        (Path("/usr/local/bin"), name),
        (Path("/opt/homebrew/bin"), name),
        (Path("/Library/Frameworks/Python.framework/Versions"), f"{version}/bin/{name}"),
    ):
        yield from sorted(folder.glob(pattern), reverse=True)


def _is(path: Path, version: str) -> bool:
    try:
        ended = children.run([path, "-I", "-c", ASKS], timeout=30)
    except (OSError, children.TimeoutExpired):
        return False
    return ended.returncode == 0 and ended.stdout.strip() == version


if __name__ == "__main__":
    try:
        print(*map(find, sys.argv[1:]), sep="\n")
    except NotFoundError as exc:
        sys.exit(str(exc))
