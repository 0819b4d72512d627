"""Where a process puts the socket of ``top`` by itself, and where ``top`` looks for it.

A folder of the user's own, mode 0700: under ``$XDG_RUNTIME_DIR``, else under the directory for
temporary files with the user's id in its name. One socket a process, named by its id.
"""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from errno import EADDRINUSE
from itertools import islice
from typing import Final

from .socket_file import SocketFile, check_directory, remove_if_dead

NAME: Final = "litellm-cancel-otel"

_RUNTIME = "/run/user"
"""Where a login has its ``$XDG_RUNTIME_DIR``."""

_LAST: tuple[str, ...] = ("/tmp",)
"""Where temporary files go where no variable says so."""

ANY: Final = "*.sock"
"""What the sockets in it are called."""

_ABANDONED: Final = 60.0
"""Seconds after which a socket that nobody listens at is its dead process's: none takes so long."""

_AT_MOST: Final = 100
"""Dead ones that are removed at a time."""

_TRIES: Final = 3

_NAMES: Final = 9
"""Names that one id may use: telemetries of one process, or processes of several containers."""


def folders() -> list[str]:
    """Return the folders that a process tries, the best one first."""
    found = []
    if (runtime := os.environ.get("XDG_RUNTIME_DIR", "")).startswith("/"):
        found.append(os.path.join(runtime, NAME))
    for temporary in (os.environ.get("TMPDIR", ""), *_LAST):
        if temporary.startswith("/"):
            found.append(os.path.join(temporary, f"{NAME}-{os.geteuid()}"))
    return list(dict.fromkeys(found))


def folders_to_read() -> list[str]:
    """Return where ``top`` looks: a shell in a container has not its application's variables."""
    usual = f"{_RUNTIME}/{os.geteuid()}/{NAME}"
    return list(dict.fromkeys([*folders(), usual]))


def check_folder(folder: str) -> None:
    """Raise OSError where a folder is not this user's alone."""
    check_directory(os.path.dirname(folder))
    info = os.lstat(folder)
    if not stat.S_ISDIR(info.st_mode):
        raise NotADirectoryError(f"{folder} is no directory")
    if info.st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to another user")
    if stat.S_IMODE(info.st_mode) & 0o077:
        raise PermissionError(f"{folder} is open to others (chmod 700 it)")


def listen() -> SocketFile:
    """Return this process's socket in the first folder that will do; raise OSError where none."""
    reasons = []
    for folder in folders():
        try:
            found = _listen_in(folder)
        except OSError as exc:
            reasons.append(str(exc) if exc.strerror is None else f"{folder}: {exc.strerror}")
        else:
            _sweep(folder, found.path)
            return found
    raise OSError("; ".join(dict.fromkeys(reasons)))


def leave(socket_file: SocketFile) -> None:
    """Remove a socket and, where it was the last one, the folder."""
    socket_file.remove()
    with suppress(OSError):
        os.rmdir(os.path.dirname(socket_file.path))


def of_others() -> list[int]:
    """Return the users, others than this one, who have such a folder in a usual place."""
    from glob import escape, glob  # `top` asks, and no application

    places = [f"{_RUNTIME}/*/{NAME}", *(f"{escape(one)}-*" for one in _in_temporary())]
    found = set()
    for folder in (one for place in places for one in glob(place)):
        with suppress(OSError):
            found.add(os.lstat(folder).st_uid)
    return sorted(found - {os.geteuid()})


def _in_temporary() -> Iterator[str]:
    own = f"-{os.geteuid()}"
    return (one.removesuffix(own) for one in folders() if one.endswith(own))


def _listen_in(folder: str) -> SocketFile:
    stem = os.path.join(folder, str(os.getpid()))
    for _ in range(_TRIES):
        _make(folder)
        with suppress(FileNotFoundError):  # whoever left last has just removed the folder
            return _listen_as_one_of(stem)
    raise FileNotFoundError(f"{folder} is removed again and again")


def _make(folder: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
        os.chmod(folder, 0o700)  # whatever the application's umask takes away
    check_folder(folder)


def _listen_as_one_of(stem: str) -> SocketFile:
    for number in range(1, _NAMES + 1):
        try:
            return SocketFile(f"{stem}.sock" if number == 1 else f"{stem}-{number}.sock")
        except OSError as exc:
            if exc.errno != EADDRINUSE or number == _NAMES:
                raise
    raise AssertionError("the last name has raised")


def _sweep(folder: str, own: str) -> None:
    """Remove what processes that were killed have left behind."""
    before = time.time() - _ABANDONED
    with suppress(OSError), os.scandir(folder) as entries:
        dead = [one for one in entries if one.name.endswith(".sock") and one.path != own]
        for entry in islice(dead, _AT_MOST):
            with suppress(OSError):  # it is alive, or another sweeps too
                if entry.stat(follow_symlinks=False).st_mtime < before:
                    remove_if_dead(entry.path)
