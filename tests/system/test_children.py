"""The processes that the other tests start are ended, and end by the signals that they are sent."""

import ast
import os
import signal
import sys
from pathlib import Path

import pytest

from support import children

HERE = Path(__file__).parents[1]
PROGRAMS = tuple(
    HERE / name for name in ("campaign", "differential", "disconnect", "mutation", "soak")
)
"""Commands of their own, which see to their processes themselves."""

HANGS = "import sys, threading; print('runs', flush=True); threading.Event().wait()"
HANGS_WITH_ITS_CHILD = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {HANGS!r}])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_a_child_does_not_ignore_what_the_shell_ignores(number: signal.Signals) -> None:
    asks = f"import signal; print(signal.getsignal({number:d}) is not signal.SIG_IGN)"
    starts = (
        "import os, signal, sys\n"
        "from support import children\n"
        f"print(signal.getsignal({number:d}) is signal.SIG_IGN)\n"
        "children.take_default_signals()\n"
        f"os.kill(os.getpid(), {number:d})\n"  # which it goes on ignoring
        f"print(children.run([sys.executable, '-c', {asks!r}]).stdout)"
    )
    in_background = f'trap \'\' {number.name.removeprefix("SIG")}; exec "$0" "$@"'
    ended = children.run(["sh", "-c", in_background, sys.executable, "-c", starts], cwd=HERE)
    assert ended.stdout.split() == ["True", "True"], ended.stderr


def test_pytest_itself_is_told_so() -> None:
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def test_what_a_process_started_ends_with_it() -> None:
    read, write = os.pipe()
    with os.fdopen(read) as said:
        command = [sys.executable, "-c", HANGS_WITH_ITS_CHILD]
        with pytest.raises(ZeroDivisionError), children.started(command, stdout=write):
            os.close(write)
            assert said.readline() == "runs\n"
            raise ZeroDivisionError
        assert said.read() == ""  # no process has the other end any more


def test_a_run_that_takes_too_long_is_ended() -> None:
    with pytest.raises(children.TimeoutExpired):
        children.run([sys.executable, "-c", HANGS], timeout=0.1)


async def test_a_process_of_asyncios_ends_with_its_block() -> None:
    async with children.astarted([sys.executable, "-c", HANGS], stdout=children.PIPE) as process:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"runs\n"
    assert process.returncode == -signal.SIGKILL


def _starts_processes_itself(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names) if any(one.name == "subprocess" for one in names):
                return True
            case ast.ImportFrom(module="subprocess" | "asyncio.subprocess"):
                return True
            case ast.Attribute(attr="create_subprocess_exec" | "create_subprocess_shell"):
                return True
    return False


def test_every_process_is_started_by_one_module() -> None:
    files = [one for one in HERE.rglob("*.py") if not any(map(one.is_relative_to, PROGRAMS))]
    assert [one.name for one in files if _starts_processes_itself(one)] == ["children.py"]
