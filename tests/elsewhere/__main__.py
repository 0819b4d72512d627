"""Makes one environment and runs the tests there: ``python -m elsewhere PLACE FOLDER``.

What came of it is then in the folder. It ends when its standard input does: whoever started it is
gone then, in whichever way that came.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

from support import children

from .environments import HOUR, NotMadeError, made
from .interpreters import NotFoundError
from .places import PLACES, ROOT, Place, Run
from .reports import Ended, Report
from .turns import turn

VERSIONS = (
    "import platform; from importlib.metadata import version; "
    "print(platform.python_version(), version('litellm'))"
)


def main(name: str, folder: Path) -> None:
    """Make the environment, run the tests, write the report."""
    children.take_default_signals()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    os.nice(10)  # who waits for this is busy with tests of its own
    with turn(folder.parent):
        _report(PLACES[name], folder).write(folder)


def _report(place: Place, folder: Path) -> Report:
    try:
        python = made(place)
    except (NotFoundError, NotMadeError) as exc:
        return Report(cannot=str(exc))
    versions = children.run([python, "-c", VERSIONS]).stdout.split()
    runs = {run.name: _run(python, run, folder / run.name) for run in place.runs}
    return Report(versions=tuple(versions), runs=runs)


def _run(python: Path, run: Run, output: Path) -> Ended:
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", *run.files()]
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **run.environ}
    nothing = {"stdin": children.DEVNULL}
    with output.open("wb") as log:
        both = {"stdout": log, "stderr": log}
        with children.started(command, cwd=ROOT, env=environ, **both, **nothing) as running:
            try:
                code = running.wait(HOUR)
            except BaseException:
                running.send_signal(signal.SIGINT)  # so that it ends its own processes
                with suppress(children.TimeoutExpired):
                    running.wait(10)
                raise
    return Ended(code, output.read_text(errors="replace")[-8_000:])


def _end_with_stdin() -> None:
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(sys.argv[1], Path(sys.argv[2]))
