"""An environment for each peer: made once, from a file of pinned requirements."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).parent / "requirements"


def default_folder() -> Path:
    """Return the folder in the user's cache where environments are kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "litellm-cancel-otel" / "peers"


def environment(name: str, folder: Path) -> Path:
    """Return the interpreter of an environment; make it where it is not there yet."""
    pinned = REQUIREMENTS / f"{name}.txt"
    home = folder / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    python = home / "bin" / "python"
    stamp = home / "requirements.sha256"
    wanted = hashlib.sha256(pinned.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(home, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    _run(sys.executable, "-m", "venv", home)
    # The package itself is there for its metadata: its code is this checkout's.
    if uv := shutil.which("uv"):
        install = (uv, "pip", "install", "--quiet", "--python", python)
    else:
        install = (python, "-m", "pip", "install", "--quiet")
    _run(*install, "--require-hashes", "-r", pinned)
    _run(*install, "--no-deps", ROOT)
    stamp.write_text(wanted)
    return python


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)
