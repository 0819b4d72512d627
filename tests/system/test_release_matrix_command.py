"""``python -m tests.versions`` as it is typed: it writes a page, says what is wrong, and ends."""

import os
import signal
import sys
from pathlib import Path

import pytest

from elsewhere.interpreters import variable
from elsewhere.places import ROOT, THIS
from support import children, warm
from versions.page import BEGIN, END

pytestmark = pytest.mark.long

COMMAND = (sys.executable, "-m", "tests.versions")
WARM = f"""
import os, sys
os.chdir({str(ROOT)!r})
sys.path.insert(0, {str(ROOT)!r})
import runpy
runpy.run_module("tests.versions", run_name="__main__", alter_sys=True)
"""
HANGS = "#!/bin/sh\nexec 3>{}\necho runs >&3\nexec sleep 600\n"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page to write."""
    path = tmp_path / "page.md"
    path.write_text(f"{BEGIN}\n{END}\n")
    return path


def test_writes_the_page_of_what_is_there(tmp_path: Path, page: Path) -> None:
    where = ("--folder", tmp_path / "results", "--page", page)

    ended = children.run([*COMMAND, "--only-write", *where], cwd=ROOT)

    assert ended.returncode == 0, ended.stderr
    assert "0 of " in page.read_text()
    assert "| not run |" in page.read_text()


def test_says_which_releases_there_are(tmp_path: Path, page: Path) -> None:
    ended = warm.run(WARM, "--releases", "0.0.1", "--page", str(page))

    assert ended.returncode == 2
    assert "0.0.1 is not one of 1.72.2" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_it_has_started_ends_with_it(
    number: signal.Signals, tmp_path: Path, page: Path
) -> None:
    runs, program = tmp_path / "runs", tmp_path / "bin" / "uv"
    os.mkfifo(runs)
    program.parent.mkdir()
    program.write_text(HANGS.format(runs))
    program.chmod(0o755)
    environ = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        variable(THIS): sys.executable,
    }
    only = ("--releases", "1.72.2", "--pythons", THIS, "--transports", "aiohttp")
    where = ("--folder", str(tmp_path / "results"), "--page", str(page))

    with warm.started(WARM, *only, *where, env=environ) as running, runs.open() as said:
        assert said.readline() == "runs\n"
        running.send_signal(number)
        assert said.read() == ""  # nobody has it open any more
        assert running.wait(children.BACKSTOP) == 130
