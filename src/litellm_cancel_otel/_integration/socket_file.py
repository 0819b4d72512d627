"""A Unix socket as a file: made where nobody else may put one, and removed by whoever made it."""

import os
import socket
import stat
import struct
from contextlib import suppress
from errno import EADDRINUSE
from pathlib import Path
from typing import Final, NamedTuple

LONGEST: Final = 103
"""Bytes of a path that every system takes: macOS' ``sun_path`` has 104, the last of them NUL."""


class SocketFile:
    """A listening socket and its file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.server = _listen(path)
        self._file = _identity(path)
        self._maker = os.getpid()

    def remove(self) -> None:
        """Remove the file, unless it is a parent's or another process has taken the path over."""
        own = self._file is not None and self._maker == os.getpid()
        if own and _identity(self.path) == self._file:
            with suppress(OSError):
                os.unlink(self.path)

    def shut(self) -> None:
        """Close this process's end of it."""
        self.server.close()


class Peer(NamedTuple):
    """The process at the other end of a Unix socket; a process out of sight has the id 0."""

    pid: int
    uid: int


def peer_of(connection: socket.socket) -> Peer | None:
    """Return who is at the other end; None where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):  # macOS: there, the file's mode is what protects it
        return None
    told = struct.Struct("3i")  # pid, uid, gid
    pid, uid, _ = told.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, told.size)
    )
    return Peer(pid, uid)


def same_user(connection: socket.socket) -> bool:
    """Return whether the other end of a Unix socket is a process of this user's."""
    peer = peer_of(connection)
    return peer is None or peer.uid == os.geteuid()


def check_directory(directory: str) -> None:
    """Raise PermissionError where somebody else may put or replace files in a directory."""
    info = os.stat(directory)
    if info.st_uid not in (os.geteuid(), 0):
        raise PermissionError(f"{directory} belongs to another user")
    others_write = info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if others_write and not info.st_mode & stat.S_ISVTX:
        raise PermissionError(f"others may replace files in {directory} (chmod go-w it)")


def remove_if_dead(path: str) -> None:
    """Remove a socket that a process has left behind; raise for anything else that is there."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError("there is a file of that name, which is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)
            return
        except BlockingIOError:
            pass  # it is so busy that it must be alive
    raise OSError(EADDRINUSE, "another process serves there; put {pid} in the path")


def _listen(path: str) -> socket.socket:
    if len(os.fsencode(path)) > LONGEST:
        raise OSError(f"the path has more than {LONGEST} bytes")
    check_directory(os.path.dirname(path) or os.curdir)
    remove_if_dead(path)
    server = socket.socket(socket.AF_UNIX)
    try:
        server.bind(path)
        _open_to_its_user(server, path)
    except BaseException:  # what it was is raised again; the socket is not left open
        server.close()
        raise
    return server


def _open_to_its_user(server: socket.socket, path: str) -> None:
    try:
        os.chmod(path, 0o600)  # in time: nobody can connect before it listens
        server.listen()
        server.setblocking(False)
    except BaseException:  # what it was is raised again; the file is not left there
        Path(path).unlink(missing_ok=True)
        raise


def _identity(path: str) -> tuple[int, int] | None:
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return info.st_dev, info.st_ino
