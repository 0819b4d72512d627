"""The socket of ``top`` in an application: there with the first stream, and of no consequence."""

import asyncio
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from errno import EMFILE
from pathlib import Path

import pytest

from litellm_cancel_otel._contract.records import Exit
from litellm_cancel_otel._integration import socket_folder
from litellm_cancel_otel._top import sockets
from litellm_cancel_otel._top.readings import Process, Unreadable
from support import children, warm
from support.telemetry import Telemetry
from support.ticking import opened

BACKSTOP = 100.0
TESTS = str(Path(__file__).parents[1])


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short one, which pytest's own may not be: a socket's path has 103 bytes at the most."""
    with tempfile.TemporaryDirectory(prefix="lco-") as name:
        yield Path(name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the sockets are; there are no others."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(socket_folder, "_LAST", ())
    monkeypatch.setattr(socket_folder, "_RUNTIME", str(tmp_path / "none"))
    return tmp_path / "litellm-cancel-otel"


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + BACKSTOP
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def process() -> Process:
    (found,) = sockets.read(()).processes
    return found


def answers() -> bool:
    """Whether there is a process that answers: a file that is there may not listen yet."""
    try:
        process()
    except Unreadable:
        return False
    return True


def listen(folder: Path, count: int = 1) -> bool:
    """Whether so many sockets are there and listen: a file is there a moment before it does."""
    if not folder.exists():
        return False
    listening = 0
    for path in folder.iterdir():
        with socket.socket(socket.AF_UNIX) as probe:
            listening += probe.connect_ex(str(path)) == 0
    return listening == count


def threads() -> set[str]:
    return {one.name for one in threading.enumerate() if one.name.startswith("litellm-cancel-otel")}


def test_there_is_nothing_before_the_first_stream(folder: Path) -> None:
    before = threads()
    with Telemetry():
        assert threads() == before
        assert not folder.exists()
        with pytest.raises(Unreadable, match="seen from its first stream on"):
            process()


def test_from_the_first_stream_on_it_is_there_and_has_no_thread(folder: Path) -> None:
    with Telemetry() as telemetry:
        call = opened(telemetry)
        wait_until(answers)
        wait_until(lambda: "litellm-cancel-otel-top" not in threads())
        (state,) = process().streams
        assert (state.provider, state.model) == ("openai", "gpt-4o-mini")
        wait_until(lambda: "litellm-cancel-otel-top" not in threads())
        call.end(Exit.RETURNED)
    assert not folder.exists()


@pytest.mark.parametrize("settings", [{"top_socket": None}, {"watchdog": False}])
def test_it_can_be_switched_off(folder: Path, settings: dict[str, object]) -> None:
    with Telemetry(**settings) as telemetry:
        opened(telemetry).end(Exit.RETURNED)
        dog = telemetry.tracker.watchdog
        if dog is not None:
            wait_until(lambda: not dog._awake)  # it has been through all that it does at first
        assert not folder.exists()


def test_a_process_without_an_open_stream_answers_too(folder: Path) -> None:
    with Telemetry(watchdog_interval=0.05) as telemetry:
        dog = telemetry.tracker.watchdog
        assert dog is not None
        opened(telemetry).end(Exit.RETURNED)
        wait_until(lambda: not dog._awake)
        for _ in range(3):
            assert process().streams == ()
        call = opened(telemetry)
        wait_until(lambda: len(process().streams) == 1)
        call.end(Exit.RETURNED)


@pytest.mark.parametrize("interval", [0.05, 60])
def test_whoever_asks_does_not_wait_for_a_tick(folder: Path, interval: float) -> None:
    with Telemetry(watchdog_interval=interval) as telemetry:
        call = opened(telemetry)
        wait_until(lambda: listen(folder))
        assert len(process().streams) == 1
        call.end(Exit.RETURNED)


async def test_a_blocked_loop_can_be_looked_at(folder: Path) -> None:
    with Telemetry() as telemetry:
        call = opened(telemetry)
        assert asyncio.get_running_loop()
        wait_until(lambda: listen(folder))
        assert len(process().streams) == 1  # read in the loop's own thread, which does nothing else
        call.end(Exit.RETURNED)


def test_two_telemetries_in_one_process_are_told_together(folder: Path) -> None:
    with Telemetry() as first, Telemetry() as second:
        calls = [opened(first), opened(second)]
        wait_until(lambda: listen(folder, 2))
        assert len(process().streams) == 2
        first.callback.close()
        assert len(process().streams) == 1
        for call in calls:
            call.end(Exit.RETURNED)
    assert not folder.exists()


def test_a_watchdog_that_gives_up_takes_its_socket_away(folder: Path) -> None:
    with Telemetry(watchdog_interval=0.05) as telemetry:
        dog = telemetry.tracker.watchdog
        assert dog is not None
        call = opened(telemetry)
        wait_until(folder.exists)
        dog._died = True

        def dies() -> None:
            raise LookupError("a fault of ours")

        dog.tick = dies  # type: ignore[method-assign]
        wait_until(lambda: dog._closed and not folder.exists())
        call.end(Exit.RETURNED)
        telemetry.tracker.faults.counts.clear()


def test_without_a_descriptor_to_be_had_the_watchdog_sleeps_as_it_can(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> None:
        raise OSError(EMFILE, "Too many open files")

    with Telemetry(watchdog_interval=0.05, stuck_first_chunk=0.1) as telemetry:
        monkeypatch.setattr(socket, "socketpair", none_left)
        call = opened(telemetry)
        wait_until(lambda: call in telemetry.tracker.streams)
        watched = telemetry.tracker.streams[call]
        wait_until(lambda: watched.stuck)
        monkeypatch.undo()
        call.end(Exit.RETURNED)
        assert not folder.exists()
        assert dict(telemetry.tracker.faults.counts) == {"bell": 1}


def test_the_watchdog_wakes_for_streams_as_before(folder: Path) -> None:
    with Telemetry(watchdog_interval=0.05, stuck_first_chunk=0.1) as telemetry:
        dog = telemetry.tracker.watchdog
        assert dog is not None
        opened(telemetry).end(Exit.RETURNED)
        wait_until(lambda: not dog._awake)
        call = opened(telemetry)
        wait_until(lambda: process().streams and process().streams[0].stuck)
        call.end(Exit.RETURNED)


# A process of its own

BEGIN = """
import os, signal, sys, time, warnings
# To fork with threads. The applications that do so are what is looked at.
warnings.simplefilter("ignore", DeprecationWarning)
from litellm_cancel_otel._contract.records import Exit
from litellm_cancel_otel._integration import socket_folder
from litellm_cancel_otel._top import sockets
from support.telemetry import Telemetry
from support.ticking import opened
socket_folder._LAST, socket_folder._RUNTIME = (), "/none"
where = [one for one in (os.environ.get("WHERE"),) if one]
telemetry = Telemetry(watchdog_interval=0.05, **({"top_socket": where[0]} if where else {}))
telemetry.__enter__()

def pids():
    try:
        return {one.pid: len(one.streams) for one in sockets.read(where).processes}
    except sockets.Unreadable:
        return {}

def wait_for(wanted):
    until = time.monotonic() + 60
    while pids() != wanted:
        assert time.monotonic() < until, pids()
        time.sleep(0.01)

def descriptors():
    return len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
"""


def environment(runtime: Path, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "TMPDIR"}
    return {**inherited, "XDG_RUNTIME_DIR": str(runtime), **more}


def run(code: str, runtime: Path, **environ: str) -> children.Ended[str]:
    return warm.run(BEGIN + code, env=environment(runtime, **environ), timeout=BACKSTOP)


FORKING = """
me = os.getpid()
call = opened(telemetry)
wait_for({me: 1})
before = descriptors()
child = os.fork()
if not child:
    try:
        assert descriptors() < before or not before
        own = opened(telemetry)
        wait_for({me: 1, os.getpid(): 1} if HAS_ITS_OWN else {me: 1})
        telemetry.callback.close()
        wait_for({me: 1})
    except BaseException as exc:
        print(repr(exc), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
wait_for({me: 1})
"""


@pytest.mark.parametrize(
    ("name", "has_its_own"), [("", True), ("top-{pid}.sock", True), ("top.sock", False)]
)
def test_a_forked_child_has_a_socket_of_its_own_or_none(
    tmp_path: Path, name: str, has_its_own: bool
) -> None:
    where = str(tmp_path / name) if name else ""
    ended = run(FORKING.replace("HAS_ITS_OWN", str(has_its_own)), tmp_path, WHERE=where)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []  # removed at the parent's exit


PRELOADING = """
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        call = opened(telemetry)
        signal.pause()
        os._exit(0)
    children.append(child)
wait_for(dict.fromkeys(children, 1))
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
assert pids() == {}
"""


def test_workers_of_a_parent_that_has_no_stream_have_one_each(tmp_path: Path) -> None:
    ended = run(PRELOADING, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_process_that_just_ends_leaves_nothing(tmp_path: Path) -> None:
    """One that was started as an application is; the others are forks."""
    code = "opened(telemetry); wait_for({os.getpid(): 1})"
    ended = children.run(
        [sys.executable, "-c", BEGIN + code],
        env=environment(tmp_path, PYTHONPATH=TESTS),
        timeout=BACKSTOP,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_one_that_ends_as_its_first_stream_begins_leaves_nothing(tmp_path: Path) -> None:
    ended = run("opened(telemetry)", tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


MAKING = """
import threading
from litellm_cancel_otel._integration import socket_file
under_way, listen = threading.Event(), socket_file._listen
def slow(path):
    server = listen(path)
    under_way.set()
    time.sleep(0.1)  # the process ends meanwhile
    return server
socket_file._listen = slow
opened(telemetry)
assert under_way.wait(60)
"""


def test_one_that_ends_while_its_socket_is_made_leaves_nothing(tmp_path: Path) -> None:
    ended = run(MAKING, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


HANGING_READER = """
import socket
opened(telemetry)
wait_for({os.getpid(): 1})
from litellm_cancel_otel._integration import feed
feed._PATIENCE = 600
telemetry.callback._feed._document = lambda: b"x" * 10_000_000
lazy = socket.socket(socket.AF_UNIX)
lazy.connect(telemetry.callback._feed._file.path)
lazy.recv(1)
"""


def test_a_reader_that_does_not_read_does_not_hold_up_the_exit(tmp_path: Path) -> None:
    ended = run(HANGING_READER, tmp_path)  # which would wait for ten minutes
    assert (ended.returncode, ended.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


NOWHERE = """
import logging
lines = []
class Keep(logging.Handler):
    def emit(self, record):
        lines.append((record.levelname, record.getMessage()))
log = logging.getLogger("litellm_cancel_otel")
log.setLevel(logging.DEBUG)
log.addHandler(Keep())
for _ in range(3):
    opened(telemetry).end(Exit.RETURNED)
dog = telemetry.tracker.watchdog
while dog._awake:
    time.sleep(0.01)
opened(telemetry)
((level, line),) = lines
assert level == LEVEL, level
assert "top cannot be served here" in line, line
assert dict(telemetry.tracker.faults.counts) == {}
"""


@pytest.mark.parametrize(("where", "level"), [("", "INFO"), ("/none/top.sock", "WARNING")])
def test_without_a_place_to_write_to_it_is_one_line(tmp_path: Path, where: str, level: str) -> None:
    code = NOWHERE.replace("LEVEL", repr(level), 1)
    ended = run(code, tmp_path / "none", WHERE=where)
    assert (ended.returncode, ended.stderr) == (0, "")


CLOSING_ALL = """
opened(telemetry)
wait_for({os.getpid(): 1})
os.closerange(3, 100)
files = [open(f"{os.environ['FOLDER']}/{number}", "w") for number in range(20)]
dog = telemetry.tracker.watchdog
first = dog._thread
while dog._bell._selector is not None:
    time.sleep(0.01)
another = opened(telemetry)
telemetry.callback.close()
first.join(60)
assert not first.is_alive()
for file in files:
    file.write("mine")
    file.close()
"""


def test_an_application_that_closes_every_descriptor_keeps_the_ones_it_opens_then(
    tmp_path: Path,
) -> None:
    (tmp_path / "files").mkdir()
    ended = run(CLOSING_ALL, tmp_path, FOLDER=str(tmp_path / "files"))
    assert ended.returncode == 0, ended.stderr
    written = {path.read_text() for path in (tmp_path / "files").iterdir()}
    assert written == {"mine"}
