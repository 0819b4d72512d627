"""Where a process puts its socket by itself: whose folder it is, and what is left in it."""

import logging
import os
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from litellm_cancel_otel._integration import socket_folder
from litellm_cancel_otel._integration.socket_file import LONGEST
from litellm_cancel_otel._integration.socket_folder import folders, folders_to_read, of_others
from litellm_cancel_otel._top import sockets
from support.serving import serving

ROOT = os.geteuid() == 0
SOMEBODY = 65534


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short one, which pytest's own may not be: a socket's path has 103 bytes at the most."""
    with tempfile.TemporaryDirectory(prefix="lco-") as name:
        yield Path(name)


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's directory for what runs, and nothing of the machine's own."""
    runtime = tmp_path / "run"
    runtime.mkdir(0o700)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(socket_folder, "_LAST", ())
    monkeypatch.setattr(socket_folder, "_RUNTIME", str(tmp_path / "none"))
    return runtime


@pytest.fixture
def temporary(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files of a user who has none for what runs."""
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    return runtime.with_name("tmp")


def own(temporary: Path) -> Path:
    return temporary / f"litellm-cancel-otel-{os.geteuid()}"


def pids() -> list[int]:
    return [one.pid for one in sockets.read(()).processes]


def test_the_folder_is_the_users_alone_and_gone_with_its_last_socket(runtime: Path) -> None:
    with serving("auto"):
        (folder,) = runtime.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert [one.name for one in folder.iterdir()] == [f"{os.getpid()}.sock"]
        assert pids() == [os.getpid()]
    assert list(runtime.iterdir()) == []


def test_without_a_runtime_directory_it_is_the_temporary_one_with_the_users_id(
    temporary: Path,
) -> None:
    with serving("auto"):
        assert pids() == [os.getpid()]
        assert list(temporary.iterdir()) == [own(temporary)]
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_whatever_the_umask(runtime: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with serving("auto"):
            assert stat.S_IMODE((runtime / "litellm-cancel-otel").stat().st_mode) == 0o700
            assert pids() == [os.getpid()]
    finally:
        os.umask(before)


def there_is_none(runtime: Path) -> None:
    runtime.rmdir()


def others_may_write(runtime: Path) -> None:
    runtime.chmod(0o777)


def a_file(runtime: Path) -> None:
    (runtime / "litellm-cancel-otel").write_text("mine")


def a_link(runtime: Path) -> None:
    (runtime / "elsewhere").mkdir(0o700)
    (runtime / "litellm-cancel-otel").symlink_to(runtime / "elsewhere")


def open_to_others(runtime: Path) -> None:
    (runtime / "litellm-cancel-otel").mkdir()
    (runtime / "litellm-cancel-otel").chmod(0o755)


def another_users(runtime: Path) -> None:
    (runtime / "litellm-cancel-otel").mkdir(0o700)
    os.chown(runtime / "litellm-cancel-otel", SOMEBODY, -1)


UNFIT = [there_is_none, others_may_write, a_file, a_link, open_to_others]
if ROOT:
    UNFIT.append(another_users)


@pytest.mark.parametrize("unfit", UNFIT)
def test_where_one_folder_will_not_do_the_next_is_taken(
    runtime: Path, unfit: Callable[[Path], None]
) -> None:
    unfit(runtime)
    with serving("auto"):
        assert own(runtime.with_name("tmp")).is_dir()
        assert pids() == [os.getpid()]


@pytest.mark.parametrize("unfit", UNFIT)
def test_where_none_will_do_that_is_one_line_and_no_warning(
    runtime: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    unfit: Callable[[Path], None],
) -> None:
    caplog.set_level(logging.INFO, "litellm_cancel_otel")
    monkeypatch.setenv("TMPDIR", str(runtime.with_name("none")))
    unfit(runtime)
    with serving("auto"):
        pass
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert str(runtime) in record.getMessage()
    assert str(runtime.with_name("none")) in record.getMessage()


def test_a_path_too_long_for_a_socket_is_passed_over(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = runtime / ("x" * LONGEST)
    long.mkdir(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    with serving("auto"):
        assert pids() == [os.getpid()]
        assert own(runtime.with_name("tmp")).is_dir()


def test_relative_and_empty_variables_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "run")
    monkeypatch.setenv("TMPDIR", "")
    assert folders() == [f"/tmp/litellm-cancel-otel-{os.geteuid()}"]
    assert f"/run/user/{os.geteuid()}/litellm-cancel-otel" in folders_to_read()


def test_two_telemetries_of_one_process_are_one_process_to_the_reader(runtime: Path) -> None:
    with serving("auto"), serving("auto"):
        assert len(list((runtime / "litellm-cancel-otel").iterdir())) == 2
        assert pids() == [os.getpid()]
    assert list(runtime.iterdir()) == []


@pytest.fixture
def dead(runtime: Path) -> Iterator[Callable[[str, float], Path]]:
    """Make sockets that nobody listens at."""
    folder = runtime / "litellm-cancel-otel"
    folder.mkdir(0o700)

    def make(name: str, age: float) -> Path:
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(str(folder / name))
        os.utime(folder / name, times=(time.time() - age,) * 2)
        return folder / name

    yield make


def test_what_killed_processes_left_behind_is_removed(
    dead: Callable[[str, float], Path],
) -> None:
    old, fresh = dead("1.sock", 3600), dead("2.sock", 0)
    kept = fresh.with_name("3.sock")
    kept.write_text("mine")
    os.utime(kept, times=(0, 0))
    with serving("auto"):
        assert not old.exists()
        assert fresh.exists()  # it may be about to listen
        assert kept.exists()


def test_a_living_one_is_not_removed_however_old(runtime: Path) -> None:
    with serving("auto"):
        first = runtime / "litellm-cancel-otel" / f"{os.getpid()}.sock"
        os.utime(first, times=(0, 0))
        with serving("auto"):
            assert first.exists()


def test_a_folder_that_is_removed_as_it_is_taken_is_made_again(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, removed = socket_folder._make, []

    def make_and_lose(folder: str) -> None:
        make(folder)
        if not removed:
            removed.append(folder)
            os.rmdir(folder)

    monkeypatch.setattr(socket_folder, "_make", make_and_lose)
    with serving("auto"):
        assert pids() == [os.getpid()]
    assert len(removed) == 1


@pytest.mark.skipif(not ROOT, reason="only root makes a folder of somebody else's")
def test_top_does_not_look_into_another_users_folder(runtime: Path) -> None:
    with serving("auto"):
        os.chown(runtime / "litellm-cancel-otel", SOMEBODY, -1)
        with pytest.raises(sockets.Unreadable, match="belongs to another user"):
            pids()


@pytest.mark.skipif(not ROOT, reason="only root makes a folder of somebody else's")
def test_users_who_have_such_a_folder_are_known(temporary: Path) -> None:
    folder = temporary / f"litellm-cancel-otel-{SOMEBODY}"
    folder.mkdir()
    os.chown(folder, SOMEBODY, -1)
    assert SOMEBODY in of_others()
    assert os.geteuid() not in of_others()
