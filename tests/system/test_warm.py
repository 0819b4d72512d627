"""A process that is forked with LiteLLM imported begins and ends as one that was started."""

import os
import signal
import sys

import pytest

from support import children, warm


def test_it_has_the_arguments_and_the_environment() -> None:
    code = "import os, sys; print(sys.argv[1:], dict(os.environ)); print('err', file=sys.stderr)"
    ended = warm.run(code, "one", "two", env={"ONLY": "this"})

    assert (ended.returncode, ended.stderr) == (0, "err\n")
    assert ended.stdout == "['one', 'two'] {'ONLY': 'this'}\n"


def test_litellm_is_there_and_nothing_has_been_done_with_it() -> None:
    code = """
import sys, threading
assert "litellm" in sys.modules
from litellm_cancel_otel._demo.runner import seams_are_out
assert seams_are_out()
assert threading.active_count() == 1
import litellm
assert litellm.callbacks == []
"""
    ended = warm.run(code)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_it_leaves_by_the_interpreters_own_exit() -> None:
    code = """
import atexit, threading
atexit.register(print, "at exit")
def late():
    threading.main_thread().join()
    print("thread")
threading.Thread(target=late).start()
raise SystemExit(7)
"""
    ended = warm.run(code)
    assert (ended.returncode, ended.stdout) == (7, "thread\nat exit\n")


def test_an_exception_is_a_traceback() -> None:
    ended = warm.run("1 / 0")
    assert ended.returncode == 1
    assert ended.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_a_signals_end_is_told_as_one() -> None:
    ended = warm.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert ended.returncode == -signal.SIGKILL


def test_one_that_takes_too_long_is_ended() -> None:
    read, write = os.pipe()
    with os.fdopen(read) as said:
        with pytest.raises(children.TimeoutExpired):
            warm.run("import signal; signal.pause()", stdout=write, timeout=0.1)
        os.close(write)
        assert said.read() == ""  # nobody has the other end any more


def test_one_job_knows_nothing_of_another() -> None:
    assert warm.run("import sys; sys.here = os = 1").returncode == 0
    assert warm.run("import sys; assert not hasattr(sys, 'here')").returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says it")
def test_it_has_no_descriptor_of_anybodys() -> None:
    ended = warm.run("import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))")
    assert ended.stdout == "[0, 1, 2, 3]\n"  # the last is the listing's own
