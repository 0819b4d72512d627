"""The socket that ``top`` reads: who may, where it may be, and what becomes of it."""

import json
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from litellm_cancel_otel._contract.faults import Faults
from litellm_cancel_otel._contract.records import Phase, StreamState
from litellm_cancel_otel._integration import feed as feed_module
from support.serving import serving

BACKSTOP = 30.0


def stream(key: int = 1) -> StreamState:
    return StreamState(key, "azure", "gpt-4o", "chat", Phase.STREAMING, 3, 9.0, 0.5, None, None)


def read(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(BACKSTOP)
        connection.connect(str(path))
        with connection.makefile("rb") as answer:
            return answer.read()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "top.sock"


def test_each_connection_gets_one_document(path: Path) -> None:
    with serving(path, lambda: [stream()]):
        first, second = (json.loads(read(path)) for _ in range(2))
    assert first["streams"] == second["streams"]
    (one,) = first["streams"]
    assert {
        "provider": "azure",
        "model": "gpt-4o",
        "phase": "streaming",
        "chunks": 3,
    }.items() <= one.items()


def test_many_streams_are_encoded_one_by_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder is written in C, and no loop can run while it does."""
    lengths: list[int] = []

    def dumps(value: object, dumps: Callable[[object], str] = json.dumps) -> str:
        text = dumps(value)
        lengths.append(len(text))
        return text

    monkeypatch.setattr(json, "dumps", dumps)
    with serving(path, lambda: [stream(key) for key in range(100)]):
        document = json.loads(read(path))
    assert [one["key"] for one in document["streams"]] == list(range(100))
    assert max(lengths) < 1_000


def test_readers_that_come_meanwhile_share_the_next_document(path: Path) -> None:
    """A reader that gives up and asks again would else have ever more threads at work."""
    begun, go = threading.Event(), threading.Event()
    made: list[int] = []

    def states() -> list[StreamState]:
        made.append(1)
        begun.set()
        assert go.wait(BACKSTOP)
        return [stream()]

    with serving(path, states) as feed, ThreadPoolExecutor(6) as readers:
        first = readers.submit(read, path)
        assert begun.wait(BACKSTOP)
        later = [readers.submit(read, path) for _ in range(5)]
        until = time.monotonic() + BACKSTOP
        while feed._asked.qsize() < 5 and time.monotonic() < until:
            time.sleep(0.001)
        go.set()
        told = [json.loads(one.result(BACKSTOP))["streams"] for one in (first, *later)]
    assert all(len(streams) == 1 for streams in told)
    assert len(made) == 2


def test_reader_that_asks_as_one_is_made_gets_the_next(path: Path) -> None:
    """It was about to ask when the others' questions were taken."""

    class Asked(SimpleQueue[Any]):
        def put(self, item: Any, *_: Any, **__: Any) -> None:
            asking.append(1)
            if len(asking) == 1:
                assert second.wait(BACKSTOP)
            else:
                second.set()
                assert taken.wait(BACKSTOP)
            super().put(item)

    def states() -> list[StreamState]:
        taken.set()
        return [stream()]

    asking: list[int] = []
    second, taken = threading.Event(), threading.Event()
    with serving(path, states) as feed, ThreadPoolExecutor(2) as readers:
        feed._asked = Asked()
        both = [readers.submit(read, path) for _ in range(2)]
        told = [json.loads(one.result(BACKSTOP))["streams"] for one in both]
    assert [len(streams) for streams in told] == [1, 1]


def test_document_that_cannot_be_made_is_noted_and_the_next_one_is(path: Path) -> None:
    answers = iter([lambda: 1 / 0, lambda: [stream()]])
    faults = Faults()
    with serving(path, lambda: next(answers)(), faults):  # type: ignore[arg-type, return-value]
        assert read(path) == b""
        assert len(json.loads(read(path))["streams"]) == 1
    assert dict(faults.counts) == {"feed": 1}


def test_the_document_says_which_process_it_is_of(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    with serving(path):
        about = json.loads(read(path))["litellm_cancel_otel"]
    assert (about["format"], about["pid"], about["service"]) == (1, os.getpid(), "shop")


def test_only_its_user_may_open_it(path: Path) -> None:
    with serving(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="no SO_PEERCRED on this system")
def test_another_user_gets_nothing_whatever_the_mode(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(path, lambda: [stream()]):
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        assert read(path) == b""


def test_a_directory_that_others_may_write_to_is_refused(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.chmod(0o777)
    with serving(path):
        assert not path.exists()
    assert "chmod go-w" in caplog.text


def test_a_directory_like_tmp_will_do(path: Path) -> None:
    path.parent.chmod(0o1777)
    with serving(path):
        assert read(path)


def test_another_users_directory_is_refused(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path.parent.stat().st_uid == 0:  # root's own would do for anybody
        os.chown(path.parent, 65534, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with serving(path):
        assert not path.exists()
    assert "belongs to another user" in caplog.text


def test_a_directory_that_is_not_there_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(tmp_path / "none" / "top.sock"):
        pass
    assert "top cannot be served" in caplog.text


def test_a_socket_left_behind_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with serving(path):
        assert read(path)


def test_a_socket_in_use_is_left_alone(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(path, lambda: [stream(7)]):
        with serving(path):
            pass
        assert json.loads(read(path))["streams"][0]["key"] == 7
    assert "{pid}" in caplog.text


def test_a_file_of_that_name_is_left_alone(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text("mine")
    with serving(path):
        pass
    assert path.read_text() == "mine"
    assert "no socket" in caplog.text


def test_pid_in_the_path_is_the_processs_id(tmp_path: Path) -> None:
    with serving(tmp_path / "top-{pid}.sock"):
        assert read(tmp_path / f"top-{os.getpid()}.sock")


def test_it_is_removed_at_close(path: Path) -> None:
    with serving(path) as running:
        running.close()
        assert not path.exists()
        with pytest.raises(FileNotFoundError):
            read(path)


def test_close_removes_only_its_own_file(path: Path) -> None:
    with serving(path) as running:
        path.rename(path.with_name("moved.sock"))
        path.write_text("another's")
        running.close()
        assert path.read_text() == "another's"


def test_a_fault_of_ours_is_contained(path: Path) -> None:
    outcomes: list[Any] = [RuntimeError("ours"), [stream()]]

    def states() -> list[StreamState]:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome  # type: ignore[no-any-return]

    faults = Faults()
    with serving(path, states, faults):
        assert read(path) == b""
        assert json.loads(read(path))["streams"]
    assert dict(faults.counts) == {"feed": 1}


def test_a_reader_that_does_not_read_holds_nobody_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "_PATIENCE", 0.05)
    with serving(path, lambda: [stream()] * 10_000), socket.socket(socket.AF_UNIX) as lazy:
        lazy.connect(str(path))
        with socket.socket(socket.AF_UNIX) as next_one:
            next_one.settimeout(BACKSTOP)
            next_one.connect(str(path))
            assert next_one.recv(1) == b"{"
