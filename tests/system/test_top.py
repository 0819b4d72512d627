"""``litellm-cancel-otel top``: what it reads, how it looks, and that ``q`` leaves."""

import asyncio
import importlib.util
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import litellm
import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_cancel_otel._contract.faults import Faults
from litellm_cancel_otel._contract.records import Phase, Place, Reason, StreamState
from litellm_cancel_otel._demo.fakes import FakeProvider, Script, litellm_kwargs
from litellm_cancel_otel._integration.feed import Feed
from litellm_cancel_otel._top import sockets
from litellm_cancel_otel._top.lines import cells, cut, folded
from litellm_cancel_otel._top.readings import Process, Streams, Unreadable
from litellm_cancel_otel._top.stuck_block import short
from litellm_cancel_otel._top.view import frame
from support import children
from support.serving import Doorkeeper, serving
from support.telemetry import Telemetry
from support.terminal import Terminal, needs_tmux

BACKSTOP = 15.0
REQUIRE_ALL = os.environ.get("REQUIRE_ALL_TESTS") == "1"

OPEN = StreamState(
    *(1, "azure.ai.openai", "gpt-4o", "chat", Phase.STREAMING),
    chunks=3,
    age=9.0,
    since_chunk=0.5,
    since_disconnect=None,
    since_driver_done=None,
)
OWN = Place("shop/routes/answers.py", 41, "answer.<locals>.pieces")
CHAIN = (
    *(Place(f"uvicorn/part{i}.py", i, f"Server.frame{i}", library=True) for i in range(20)),
    Place("shop/main.py", 12, "endpoint"),
    OWN,
    *(Place(f"httpx/part{i}.py", i, f"Client.frame{i}", library=True) for i in range(20)),
)
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
    with serving(path, lambda: [OPEN, STUCK]):
        yield path


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where processes put their sockets by themselves, for this one and its children."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("LITELLM_CANCEL_OTEL_TOP_SOCKET", raising=False)
    return tmp_path


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


ANOTHER = """
import sys
from support.serving import serving
with serving(sys.argv[1]):
    print("served", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(where: str | Path) -> Iterator[int]:
    """Serve no streams from another process; yield its id."""
    with children.started(
        [sys.executable, "-c", ANOTHER, where],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=children.PIPE,
        stdout=children.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "served\n"
        yield running.pid


@pytest.mark.parametrize("given", [".", "*.sock", "litellm-cancel-otel-{pid}.sock"])
def test_a_directory_a_pattern_and_pid_mean_every_process(served: Path, given: str) -> None:
    with another_process(served.with_name("litellm-cancel-otel-2.sock")) as other:
        found = sockets.read([str(served.parent / given)])
    assert {one.pid for one in found.processes} == {os.getpid(), other}


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


def test_an_absent_socket_is_one_line_that_says_when_there_is_one(tmp_path: Path) -> None:
    with pytest.raises(Unreadable) as raised:
        sockets.read([str(tmp_path / "none.sock")])
    said = str(raised.value)
    assert "there is none" in said
    assert "LITELLM_CANCEL_OTEL_TOP_SOCKET" in said
    assert "\n" not in said


# A watched process


def answered(path: str) -> Streams:
    """Return what is served there, as soon as the watchdog's thread has opened the socket."""
    until = time.monotonic() + 30
    while True:
        try:
            return sockets.read([path])
        except Unreadable:
            assert time.monotonic() < until
            time.sleep(0.01)


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
        found = await asyncio.to_thread(answered, path)
        await stream.aclose()
        telemetry.callback.close()
        assert list(tmp_path.iterdir()) == []
    ((state,),) = (process.streams for process in found.processes)
    named = ("azure.ai.openai", "gpt-4o", Phase.STREAMING)  # as in metrics, alerts and settings
    assert (state.provider, state.model, state.phase) == named


# The view


def shown(streams: Sequence[StreamState], width: int = 100, height: int = 40) -> list[str]:
    reading = Streams((Process(123, "shop", tuple(streams)),))
    return [line.text for line in frame(reading, width, height)]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_stuck_ones_come_first_with_the_applications_frame(width: int) -> None:
    lines = shown([OPEN, STUCK], width)
    (stuck,) = (i for i, line in enumerate(lines) if line.startswith("after_disconnect 7.0s"))
    (other,) = (i for i, line in enumerate(lines) if line.startswith("azure.ai.open") and i > stuck)
    assert "provider/model" in lines[other - 1]
    own = " ".join(line.strip() for line in lines[stuck + 1 : other])
    assert own.startswith("→ shop/routes/answers.py:41 answer.<locals>.pieces streaming")


@pytest.mark.parametrize("width", [20, 40, 80])
def test_the_applications_frame_is_whole_at_any_width(width: int) -> None:
    place = replace(OWN, file=f"shop/{'very_' * 10}long/answers.py")
    stuck = replace(STUCK, chain=(*CHAIN[:21], place, *CHAIN[22:]))
    text = "".join(line.strip() for line in shown([stuck], width, 40)).replace(" ", "")
    assert f"→{place.file}:{place.line}{place.function}" in text


def test_libraries_are_folded_to_their_names_and_the_innermost_place() -> None:
    lines = shown([STUCK])
    assert lines[1:] == [
        "after_disconnect 7.0s · azure.ai.openai/gpt-4o-mini · pid 123 shop",
        "  → shop/routes/answers.py:41 answer.<locals>.pieces",
        "    streaming · age 9.0s · last chunk 0.5s · client gone 12s",
        "    waits in httpx at httpx/part19.py:19 Client.frame19",
        "    called at shop/main.py:12 endpoint",
        "    under uvicorn",
    ]


def test_a_stuck_stream_of_which_no_place_is_known_says_so() -> None:
    assert any("a place that is not known" in line for line in shown([replace(STUCK, chain=())]))


@pytest.mark.parametrize("width", [40, 100])
def test_every_stream_has_its_phase_age_and_last_chunk(width: int) -> None:
    (line,) = (line for line in shown([OPEN], width) if line.startswith("azure.ai.openai/gpt"))
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
    assert height - 1 <= len(lines) <= height  # the whole screen is used
    assert "550 open" in lines[0]
    (line,) = (line for line in lines if " 500 " in line)
    assert line.startswith("azure.ai.open")
    assert any("more that are stuck" in line for line in lines)
    assert sum("→ shop/routes/answers.py:41" in line for line in lines) >= height // 10


def test_what_few_leave_free_is_for_many() -> None:
    stuck = [replace(STUCK, key=i) for i in range(3)]
    lines = shown([OPEN, *stuck], 100, 24)
    assert len(lines) == 1 + 3 * 6 + 2  # each with all that is known of it, and the other one
    others = [replace(OPEN, key=i) for i in range(30)]
    assert len(shown([*others, *stuck], 100, 24)) == 24
    assert len(shown(others, 100, 24)) == 24
    assert len(shown(others, 100, 40)) == 32


def test_more_models_than_fit_are_counted() -> None:
    many = [replace(OPEN, key=i, model=f"model-{i}") for i in range(50)]
    lines = shown(many, 80, 20)
    assert len(lines) == 20
    assert lines[-1].startswith("and 33 more")


@pytest.mark.parametrize("width", [20, 40, 71, 72, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    long = replace(STUCK, model="m" * 300)
    wide = replace(STUCK, model="\N{CJK UNIFIED IDEOGRAPH-6A21}" * 100)
    wrapped = [line for line in shown([OPEN, long, wide], width, 60) if cells(line) > width]
    assert wrapped == []


@given(st.text(), st.integers(2, 60))
def test_what_is_cut_or_folded_fits(text: str, width: int) -> None:
    assert cells(cut(text, width)) <= width
    lines = list(folded(text, width, "  "))
    assert all(cells(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


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


ALONE = """
import runpy
from litellm_cancel_otel._integration import socket_folder
socket_folder._LAST, socket_folder._RUNTIME = (), "/none"
runpy.run_module("litellm_cancel_otel", run_name="__main__", alter_sys=True)
"""
"""The command, which sees no process of anybody else's on this machine."""


def top(*args: str, **environ: str) -> children.Ended[str]:
    inherited = {name: value for name, value in os.environ.items() if "TOP_SOCKET" not in name}
    return children.run(
        [sys.executable, "-c", ALONE, "top", *args],
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


def test_without_a_process_it_says_when_there_is_one(runtime: Path) -> None:
    assert_cannot_run(top(), "seen from its first stream on")


def test_without_an_argument_the_only_process_is_shown(runtime: Path) -> None:
    with serving("auto", lambda: [OPEN, STUCK]):
        ended = top()
    assert ended.returncode == 0, ended.stderr
    assert "2 open · 1 stuck · 1 process" in ended.stdout
    assert "→ shop/routes/answers.py:41 answer" in ended.stdout
    assert "q leaves" not in ended.stdout


def test_without_an_argument_several_processes_are_listed(runtime: Path) -> None:
    with serving("auto", lambda: [OPEN, STUCK]), another_process("auto") as other:
        ended, one, every = top(), top(str(os.getpid())), top("--all")
    assert ended.returncode == 0, ended.stderr
    _, first, second, hint = ended.stdout.splitlines()
    assert first.split() == ["-", str(os.getpid()), "2", "1"]
    assert second.split() == ["-", str(other), "0", "0"]
    assert "top PID" in hint
    assert "2 open · 1 stuck · 1 process" in one.stdout
    assert "2 open · 1 stuck · 2 processes" in every.stdout


def test_the_variable_may_say_auto_or_off(runtime: Path) -> None:
    with serving("auto"):
        for said in ("auto", "off"):  # of the process that is watched: top itself has no socket
            assert top("--once", LITELLM_CANCEL_OTEL_TOP_SOCKET=said).returncode == 0


def test_a_process_that_is_not_there_is_one_line(runtime: Path) -> None:
    with serving("auto"):
        assert_cannot_run(top("1"), "no socket at 1")


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


def test_it_needs_no_rich(served: Path) -> None:
    code = (
        "import sys; sys.modules['rich'] = None; from litellm_cancel_otel._cli import main; "
        f"sys.exit(main(['top', {str(served)!r}]))"
    )
    ended = children.run([sys.executable, "-c", code], timeout=BACKSTOP)
    assert ended.returncode == 0, ended.stderr
    assert "1 stuck" in ended.stdout


# A terminal


def live(home: Path, width: int, *args: str) -> Terminal:
    return Terminal(home, width, sys.executable, "-m", "litellm_cancel_otel", "top", *args)


@needs_tmux
@pytest.mark.parametrize("width", [40, 80, 120])
def test_it_is_live_until_q(tmp_path: Path, width: int) -> None:
    streams, faults = [OPEN], Faults()
    keeper = Doorkeeper(Feed(str(tmp_path / "top.sock"), lambda: streams, faults), faults)
    with live(tmp_path, width, str(tmp_path / "top.sock"), "--interval", "0.1") as terminal:
        terminal.wait_for("1 open · 0 stuck")
        streams.append(STUCK)
        screen = terminal.wait_for("2 open · 1 stuck")
        assert "after_disconnect 7.0s" in screen
        assert "→ shop/routes/answers.py:41" in screen
        assert ("q leaves" in screen) is (width >= 72)
        mine = Streams((Process(os.getpid(), None, (OPEN, STUCK)),))
        assert screen.rstrip().splitlines() == [
            line.text for line in frame(mine, width, 24, live=True)
        ]
        terminal.press("x")
        keeper.stop()
        terminal.wait_for("LITELLM_CANCEL_OTEL_TOP_SOCKET")  # a dead process: it stays, and says so
        terminal.press("q")
        after = terminal.wait_for("left with 0")
        assert "stuck" not in after  # the screen of before is back
        terminal.wait_for(" icanon")
        terminal.wait_for(" echo")


@needs_tmux
@pytest.mark.parametrize("width", [80, 120])
def test_a_full_screen_is_a_full_screen(tmp_path: Path, width: int) -> None:
    many = [replace(OPEN, key=i, age=float(i)) for i in range(500)]
    many += [replace(STUCK, key=1000 + i, stuck_for=100.0 + i) for i in range(50)]
    with (
        serving(tmp_path / "top.sock", lambda: many),
        live(tmp_path, width, str(tmp_path / "top.sock")) as terminal,
    ):
        terminal.wait_for("550 open · 50 stuck")
        screen = terminal.wait_for("the oldest:")
    lines = screen.splitlines()
    assert len(lines) == 24
    assert all(lines), "no line is empty"
    assert "550 open" in lines[0]
    assert "→ shop/routes/answers.py:41 answer.<locals>.pieces" in lines[2]


@needs_tmux
def test_ctrl_c_leaves_too(served: Path) -> None:
    with live(served.parent, 80, str(served)) as terminal:
        terminal.wait_for("1 stuck")
        terminal.press("C-c")
        terminal.wait_for("left with 130")
