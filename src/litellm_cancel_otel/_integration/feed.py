"""This process's open streams, for ``litellm-cancel-otel top``: a Unix socket of its user's own."""

import atexit
import json
import os
import selectors
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from errno import EADDRINUSE
from typing import Final

from .._contract.faults import Faults
from .._contract.forks import follow_forks
from .._contract.log import warn
from .._contract.records import StreamState

FORMAT: Final = 1
"""The version of the document; it goes up where a reader would have to know."""

PID: Final = "{pid}"
"""Stands in the path for the process's id, so that every worker has a socket of its own."""

_PATIENCE: Final = 2.0
"""Seconds that a reader has for taking the document: there is one at a time."""

States = Callable[[], list[StreamState]]


class Feed:
    """Serves the open streams from a daemon thread; every connection gets one JSON document.

    The directory must be one in which nobody else may put or replace files, the socket's mode is
    0600, and the reader must be this user. Where it cannot be served that is a warning in the log.
    """

    def __init__(self, path: str, states: States, faults: Faults) -> None:
        self._template = path
        self._states = states
        self._faults = faults
        self._serving: _Serving | None = None
        self._start()
        atexit.register(self.close)
        follow_forks(self)

    def close(self) -> None:
        """Stop serving and remove the socket; it waits for nothing."""
        atexit.unregister(self.close)
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.stop()

    def _start(self) -> None:
        path = self._template.replace(PID, str(os.getpid()))
        try:
            self._serving = _Serving(path, self._document, self._faults)
        except Exception as exc:  # noqa: BLE001 - ours: the host starts all the same
            warn("litellm-cancel-otel top cannot be served at %s: %s", path, exc)

    def forked(self) -> None:
        """Leave the socket to the parent; a child has its own only where the path allows it."""
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.leave()
            if PID in self._template:
                self._start()

    def _document(self) -> bytes:
        streams = [asdict(state) for state in self._states()]
        service = os.environ.get("OTEL_SERVICE_NAME")
        about = {"format": FORMAT, "pid": os.getpid(), "service": service, "at": time.time()}
        return json.dumps({"litellm_cancel_otel": about, "streams": streams}).encode()


class _Serving:
    """A listening socket and the thread that answers at it."""

    def __init__(self, path: str, document: Callable[[], bytes], faults: Faults) -> None:
        self._path = path
        self._document = document
        self._faults = faults
        self._server = _listen(path)
        self._file = _identity(path)
        self._wake, self._woken = socket.socketpair()
        threading.Thread(target=self._serve, name="litellm-cancel-otel-top", daemon=True).start()

    def stop(self) -> None:
        """Remove the socket and end the thread."""
        if _identity(self._path) == self._file:  # else another process has taken the path over
            with suppress(OSError):
                os.unlink(self._path)
        self._wake.close()

    def leave(self) -> None:
        """Close what a fork has inherited; the file and the thread are the parent's."""
        for inherited in (self._server, self._wake, self._woken):
            inherited.close()

    def _serve(self) -> None:
        # Not select(): a proxy may well have more than its 1,024 descriptors open.
        with selectors.DefaultSelector() as selector, self._server, self._woken:
            selector.register(self._server, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while self._woken not in {key.fileobj for key, _ in selector.select()}:
                try:
                    self._answer()
                except OSError:
                    time.sleep(0.1)  # the reader has gone, or descriptors have run out: no spinning
                except Exception as fault:  # noqa: BLE001 - ours: the next reader may fare better
                    self._faults.note("feed", fault)

    def _answer(self) -> None:
        connection, _ = self._server.accept()
        with connection:
            if same_user(connection):
                connection.settimeout(_PATIENCE)
                connection.sendall(self._document())


def same_user(connection: socket.socket) -> bool:
    """Return whether the other end of a Unix socket is a process of this user's."""
    if not hasattr(socket, "SO_PEERCRED"):  # macOS: there, the file's mode is what protects it
        return True
    peer = struct.Struct("3i")  # pid, uid, gid
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, peer.size)
    uid: int = peer.unpack(told)[1]
    return uid == os.geteuid()


def _listen(path: str) -> socket.socket:
    _check_directory(os.path.dirname(path) or os.curdir)
    _remove_dead(path)
    server = socket.socket(socket.AF_UNIX)
    try:
        server.bind(path)
        os.chmod(path, 0o600)  # in time: nobody can connect before it listens
        server.listen()
        server.setblocking(False)
    except BaseException:  # what it was is raised again; the socket is not left open
        server.close()
        raise
    return server


def _check_directory(directory: str) -> None:
    info = os.stat(directory)
    if info.st_uid not in (os.geteuid(), 0):
        raise PermissionError(f"{directory} belongs to another user")
    others_write = info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if others_write and not info.st_mode & stat.S_ISVTX:
        raise PermissionError(f"others may replace files in {directory} (chmod go-w it)")


def _remove_dead(path: str) -> None:
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
            os.unlink(path)
            return
        except BlockingIOError:
            pass  # it is so busy that it must be alive
    raise OSError(EADDRINUSE, f"another process serves there; put {PID} in the path")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return info.st_dev, info.st_ino
