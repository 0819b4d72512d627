"""``litellm-cancel-otel top``: what it reads, how it looks, and that ``q`` leaves."""

import asyncio
import importlib.util
import json
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import litellm
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from litellm_cancel_otel._contract.faults import Faults
from litellm_cancel_otel._contract.records import Phase, Place, Reason, StreamState
from litellm_cancel_otel._demo.fakes import FakeProvider, Script, litellm_kwargs
from litellm_cancel_otel._integration.feed import Feed
from litellm_cancel_otel._top import sockets
from litellm_cancel_otel._top.readings import Process, Streams, Unreadable
from litellm_cancel_otel._top.view import frame, short
from support import children
from support.telemetry import Telemetry

BACKSTOP = 15.0
REQUIRE_ALL = os.environ.get("REQUIRE_ALL_TESTS") == "1"

OPEN = StreamState(
    *(1, "azure", "gpt-4o", "chat", Phase.STREAMING),
    chunks=3,
    age=9.0,
    since_chunk=0.5,
    since_disconnect=None,
    since_driver_done=None,
)
CHAIN = tuple(Place(f"app/part{i}/main.py", i, f"Server.frame{i}") for i in range(20))
STUCK = replace(
    *(OPEN,),
    key=2,
    model="gpt-4o-mini",
    since_disconnect=12.0,
    stuck=Reason.AFTER_DISCONNECT,
    stuck_for=7.0,
    chain=CHAIN,
)


# Sockets


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    """A process's socket, with a stuck and another stream."""
    path = tmp_path / "litellm-cancel-otel-1.sock"
    running = Feed(str(path), lambda: [OPEN, STUCK], Faults())
    yield path
    running.close()


def speaking(path: Path, answer: bytes) -> socket.socket:
    """Return a socket that will send this to the first who connects."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def speak() -> None:
        with suppress(OSError), server.accept()[0] as connection:
            connection.sendall(answer)

    threading.Thread(target=speak, daemon=True).start()
    return server


def test_what_is_served_is_what_is_read(served: Path) -> None:
    (process,) = sockets.read([str(served)]).processes
    assert process.streams == (OPEN, STUCK)


@pytest.mark.parametrize("given", [".", "*.sock", "litellm-cancel-otel-{pid}.sock"])
def test_a_directory_a_pattern_and_pid_mean_every_process(served: Path, given: str) -> None:
    with ExitStack() as stack:
        another = Feed(str(served.with_name("litellm-cancel-otel-2.sock")), list, Faults())
        stack.callback(another.close)
        found = sockets.read([str(served.parent / given)])
    assert len(found.processes) == 2


def test_in_a_directory_other_peoples_sockets_are_not_touched(served: Path) -> None:
    with speaking(served.with_name("bus"), b"hello") as bus:
        assert sockets.read([str(served.parent)]).silent == ()
        assert bus


def test_a_dead_process_among_others_is_told_beside_them(served: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(served.with_name("litellm-cancel-otel-3.sock")))
    found = sockets.read([str(served.parent)])
    assert len(found.processes) == 1
    (silent,) = found.silent
    assert silent.endswith("its process is dead")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "no litellm-cancel-otel"),
        (b"SSH-2.0-OpenSSH_9.6", "no litellm-cancel-otel"),
        (b"[]", "no litellm-cancel-otel"),
        (b'{"litellm_cancel_otel": {"format": 1, "pid": 1, "service": null}}', "no litellm-"),
        (b'{"litellm_cancel_otel": {"format": 2}}', "another version"),
    ],
)
def test_who_speaks_otherwise_is_told_so(tmp_path: Path, answer: bytes, reason: str) -> None:
    with speaking(tmp_path / "x.sock", answer), pytest.raises(Unreadable, match=reason):
        sockets.read([str(tmp_path / "x.sock")])


def test_a_newer_process_may_tell_more(served: Path, tmp_path: Path) -> None:
    told = json.loads(sockets_raw(served))
    told["streams"][0]["news"] = 1
    newer = tmp_path / "newer.sock"
    with speaking(newer, json.dumps(told).encode()):
        (process,) = sockets.read([str(newer)]).processes
    assert process.streams[0] == OPEN


def sockets_raw(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        with connection.makefile("rb") as answer:
            return answer.read()


def test_an_absent_socket_is_one_line_that_says_how_to_switch_it_on(tmp_path: Path) -> None:
    with pytest.raises(Unreadable) as raised:
        sockets.read([str(tmp_path / "none.sock")])
    said = str(raised.value)
    assert "there is none" in said
    assert "LITELLM_CANCEL_OTEL_TOP_SOCKET=" in said
    assert "\n" not in said


# A watched process


async def test_a_real_stream_is_shown(provider: FakeProvider, tmp_path: Path) -> None:
    provider.script = Script(chunks=None, hang_at=2)
    path = str(tmp_path / "{pid}.sock")
    with Telemetry(top_socket=path) as telemetry:
        stream = await litellm.acompletion(
            messages=[{"role": "user", "content": "hello"}],
            stream=True,
            **litellm_kwargs("azure", provider.base_url),
        )
        await anext(stream)
        found = await asyncio.to_thread(sockets.read, [path])
        await stream.aclose()
        telemetry.callback.close()
        assert list(tmp_path.iterdir()) == []
    ((state,),) = (process.streams for process in found.processes)
    assert (state.provider, state.model, state.phase) == ("azure", "gpt-4o", Phase.STREAMING)


def test_it_is_off_by_default(tmp_path: Path) -> None:
    with Telemetry():
        assert "litellm-cancel-otel-top" not in {one.name for one in threading.enumerate()}


# The view


def shown(streams: Sequence[StreamState], width: int = 100, height: int = 40) -> list[str]:
    console = Console(width=width, height=height, color_system=None)
    with console.capture() as capture:
        reading = Streams((Process(123, "shop", tuple(streams)),))
        console.print(frame(reading, width, height))
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [40, 100])
def test_stuck_ones_come_first_with_what_they_wait_for(width: int) -> None:
    lines = shown([OPEN, STUCK], width)
    (stuck,) = (i for i, line in enumerate(lines) if line.startswith("after_disconnect 7.0s"))
    (waits,) = (i for i, line in enumerate(lines) if "→" in line)
    (other,) = (i for i, line in enumerate(lines) if line.startswith("azure/gpt-4o "))
    assert stuck < waits < other
    assert "frame19" in lines[waits]
    assert "main.py:19" in lines[waits]


def test_of_a_long_chain_both_ends_are_shown() -> None:
    text = "\n".join(shown([STUCK]))
    assert "frame0 " in text
    assert "11 more" in text
    assert "frame10" not in text


@pytest.mark.parametrize("width", [40, 100])
def test_every_stream_has_its_phase_age_and_last_chunk(width: int) -> None:
    (line,) = (line for line in shown([OPEN], width) if line.startswith("azure/gpt-4o"))
    for cell in ("streaming", "9.0s", "0.5s"):
        assert cell in line


def test_a_stream_without_a_chunk_has_none() -> None:
    waiting = replace(OPEN, phase=Phase.REQUEST, chunks=0, since_chunk=None)
    assert any("request" in line and " - " in line for line in shown([waiting]))


@pytest.mark.parametrize("height", [10, 24])
@pytest.mark.parametrize("width", [40, 80])
def test_more_than_fits_is_summed_up_by_model_and_phase(width: int, height: int) -> None:
    many = [replace(OPEN, key=i, age=float(i)) for i in range(500)]
    many += [replace(STUCK, key=1000 + i) for i in range(50)]
    lines = shown(many, width, height)
    assert len(lines) <= height
    assert "550 open" in lines[0]
    (line,) = (line for line in lines if line.startswith("azure/gpt-4o "))
    assert " 500 " in line
    assert any("more that are stuck" in line for line in lines)


@pytest.mark.parametrize("width", [20, 40, 71, 72, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    long = replace(STUCK, model="m" * 300)
    wrapped = [line for line in shown([OPEN, long], width, 60) if len(line) > width]
    assert wrapped == []


def test_a_models_name_cannot_command_the_terminal() -> None:
    evil = replace(OPEN, model="\x1b[2J[red]\x07\r\nx")
    text = "\n".join(shown([evil, replace(evil, stuck=Reason.ORPHANED, key=2)]))
    assert not {"\x1b", "\x07", "\r"} & set(text)
    assert "[red]" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((None, "-"), (0.04, "0.0s"), (9.94, "9.9s"), (9.96, "10s"), (99.4, "99s")),
        *((100, "1m40"), (5999, "99m59"), (6000, "1h40"), (360_000, "4d")),
    ],
)
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert short(seconds) == text


@given(st.floats(0, 1e8))
def test_durations_have_five_characters_at_most(seconds: float) -> None:
    assert len(short(seconds)) <= 5


# Prometheus

EXPOSITION = """\
# TYPE litellm_cancel_streams_open gauge
litellm_cancel_streams_open{gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o"} 4.0
# TYPE litellm_cancel_streams_stuck gauge
litellm_cancel_streams_stuck{gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o",reason="orphaned"} 2.0
# TYPE litellm_cancel_streams_oldest_after_disconnect_seconds gauge
litellm_cancel_streams_oldest_after_disconnect_seconds{gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o"} 61.0
# TYPE litellm_cancel_cancellations_total counter
litellm_cancel_cancellations_total{cancellation_type="external",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o",litellm_cancel_source="deadline"} 5.0
litellm_cancel_cancellations_total{cancellation_type="external",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o",litellm_cancel_source="client_disconnect"} 6.0
litellm_cancel_cancellations_total{cancellation_type="openai_internal",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o",litellm_cancel_source="provider"} 3.0
"""  # noqa: E501 - a line of an exposition is as long as it is

needs_prometheus = pytest.mark.skipif(
    importlib.util.find_spec("prometheus_client") is None and not REQUIRE_ALL,
    reason="prometheus_client is not installed: pip install 'litellm-cancel-otel[prometheus]'",
)


@contextmanager
def exposing(text: str) -> Iterator[str]:
    """Serve an exposition; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()
        thread.join()


@needs_prometheus
def test_an_endpoint_tells_open_stuck_oldest_and_cancelled() -> None:
    with exposing(EXPOSITION) as url:
        ended = top("--prometheus", url, "--once")
    assert ended.returncode == 0, ended.stderr
    title, stuck, _, line = ended.stdout.splitlines()
    assert "4 open · 2 stuck" in title
    assert stuck.split() == ["2", "orphaned", "·", "openai/gpt-4o"]
    assert line.split() == ["openai/gpt-4o", "4", "61s", "11", "3"]


@needs_prometheus
def test_an_endpoint_as_json() -> None:
    with exposing(EXPOSITION) as url:
        ended = top("--prometheus", url, "--once", "--json")
    (model,) = json.loads(ended.stdout)["models"]
    assert model == {
        "provider": "openai",
        "model": "gpt-4o",
        "open": 4,
        "stuck": {"orphaned": 2},
        "oldest_after_disconnect": 61.0,
        "cancelled": {"external": 11, "openai_internal": 3},
    }


@needs_prometheus
@pytest.mark.parametrize(
    ("text", "reason"), [("up 1\n", "has no metric of"), ("<html>", "is no Prometheus endpoint")]
)
def test_an_endpoint_without_our_metrics_is_one_line(text: str, reason: str) -> None:
    with exposing(text) as url:
        assert_cannot_run(top("--prometheus", url), reason)


@needs_prometheus
def test_an_endpoint_that_is_not_there_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert_cannot_run(top("--prometheus", f"http://127.0.0.1:{port}"), "cannot be reached")


@needs_prometheus
def test_a_file_is_not_read() -> None:
    assert_cannot_run(top("--prometheus", "file:///etc/passwd"), "no URL of http")


# The command


def top(*args: str, **environ: str) -> children.Ended[str]:
    inherited = {name: value for name, value in os.environ.items() if "TOP_SOCKET" not in name}
    return children.run(
        [sys.executable, "-m", "litellm_cancel_otel", "top", *args],
        env={**inherited, "COLUMNS": "100", **environ},
        stdin=children.DEVNULL,
        timeout=BACKSTOP,
    )


def assert_cannot_run(ended: children.Ended[str], reason: str) -> None:
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert reason in line


def test_once_prints_one_frame(served: Path) -> None:
    ended = top(str(served), "--once")
    assert ended.returncode == 0, ended.stderr
    assert "2 open · 1 stuck · 1 process" in ended.stdout
    assert "\x1b" not in ended.stdout


def test_without_a_terminal_it_is_once(served: Path) -> None:
    assert top(str(served)).returncode == 0


def test_the_variable_of_the_watched_process_will_do(served: Path) -> None:
    path = str(served.with_name("litellm-cancel-otel-{pid}.sock"))
    assert top("--once", LITELLM_CANCEL_OTEL_TOP_SOCKET=path).returncode == 0


def test_json_is_what_was_read(served: Path) -> None:
    ended = top(str(served), "--once", "--json")
    (process,) = json.loads(ended.stdout)["processes"]
    assert process["pid"] == os.getpid()
    assert [one["stuck"] for one in process["streams"]] == [None, "after_disconnect"]


def test_without_a_socket_it_says_how_to_switch_one_on() -> None:
    assert_cannot_run(top(), "LITELLM_CANCEL_OTEL_TOP_SOCKET=")


def test_a_dead_socket_is_one_line(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    assert_cannot_run(top(str(tmp_path / "dead.sock")), "its process is dead")


def test_both_sources_at_once_are_refused(served: Path) -> None:
    assert_cannot_run(top(str(served), "--prometheus", "http://x"), "not both")


def test_it_does_not_wait_for_litellm(served: Path) -> None:
    code = (
        "import sys; from litellm_cancel_otel._cli import main; "
        f"main(['top', {str(served)!r}, '--once']); sys.exit('litellm' in sys.modules)"
    )
    assert children.run([sys.executable, "-c", code], timeout=BACKSTOP).returncode == 0


# A terminal


class Terminal:
    """A program in a terminal of its own, by tmux; use it with ``with``."""

    def __init__(self, home: Path, width: int, *command: str) -> None:
        self._tmux = ["tmux", "-S", str(home / "tmux"), "-f", "/dev/null"]
        self._size = ["-x", str(width), "-y", "24"]
        # The shell stays, so that what the program leaves behind can be seen.
        self._command = f"{' '.join(command)}; echo left with $?; stty -a; read answer"

    def __enter__(self) -> "Terminal":
        self._run("new-session", "-d", *self._size, self._command)
        return self

    def __exit__(self, *_: object) -> None:
        self._run("kill-server")

    def press(self, key: str) -> None:
        self._run("send-keys", key)

    def screen(self) -> str:
        return self._run("capture-pane", "-p")

    def wait_for(self, text: str) -> str:
        until = time.monotonic() + BACKSTOP
        while text not in (screen := self.screen()):
            assert time.monotonic() < until, screen
            time.sleep(0.05)
        return screen

    def _run(self, *args: str) -> str:
        ended = children.run([*self._tmux, *args], timeout=BACKSTOP)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


needs_tmux = pytest.mark.skipif(
    shutil.which("tmux") is None and not REQUIRE_ALL, reason="tmux is not installed"
)


def live(home: Path, width: int, *args: str) -> Terminal:
    return Terminal(home, width, sys.executable, "-m", "litellm_cancel_otel", "top", *args)


@needs_tmux
@pytest.mark.parametrize("width", [40, 120])
def test_it_is_live_until_q(tmp_path: Path, width: int) -> None:
    streams = [OPEN]
    feed = Feed(str(tmp_path / "top.sock"), lambda: streams, Faults())
    with live(tmp_path, width, str(tmp_path / "top.sock"), "--interval", "0.1") as terminal:
        terminal.wait_for("1 open · 0 stuck")
        streams.append(STUCK)
        screen = terminal.wait_for("2 open · 1 stuck")
        assert "after_disconnect 7.0s" in screen
        assert "frame19" in screen
        terminal.press("x")
        feed.close()
        terminal.wait_for("LITELLM_CANCEL_OTEL_TOP_SOCKET")  # a dead process: it stays, and says so
        terminal.press("q")
        after = terminal.wait_for("left with 0")
        assert "stuck" not in after  # the screen of before is back
        terminal.wait_for(" icanon")
        terminal.wait_for(" echo")


@needs_tmux
def test_ctrl_c_leaves_too(served: Path) -> None:
    with live(served.parent, 80, str(served)) as terminal:
        terminal.wait_for("1 stuck")
        terminal.press("C-c")
        terminal.wait_for("left with 130")
