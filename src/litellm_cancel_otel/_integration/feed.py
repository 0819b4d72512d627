"""This process's open streams, for ``litellm-cancel-otel top``: a Unix socket of its user's own."""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict
from queue import SimpleQueue
from typing import Final

from .._contract.faults import Faults
from .._contract.log import log
from .._contract.records import StreamState
from .._contract.setting_kinds import AUTO
from . import socket_folder
from .process_exit import process_exit
from .socket_file import SocketFile, same_user

FORMAT: Final = 1
"""The version of the document; it goes up where a reader would have to know."""

PID: Final = "{pid}"
"""Stands in the path for the process's id, so that every worker has a socket of its own."""

_PATIENCE: Final = 2.0
"""Seconds that a reader has for taking the document."""

States = Callable[[], list[StreamState]]


class Feed:
    """Tells the open streams to whoever connects: one JSON document, from a thread for it alone.

    The watchdog's thread opens it with the first stream and waits at it. ``where`` is a path or
    ``auto``. Nobody else may put or replace files in its directory, the socket's mode is 0600, and
    the reader must be this user. Where it cannot be made, that is one line of the log.
    """

    def __init__(self, where: str, states: States, faults: Faults) -> None:
        self._where: str | None = where
        self._states = states
        self._faults = faults
        self._file: SocketFile | None = None
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._asked: SimpleQueue[Future[bytes]] = SimpleQueue()
        self._making = threading.Lock()

    def open(self) -> socket.socket | None:
        """Make the socket and return it; None where it cannot be made, or is the parent's."""
        if self._where is None or self._closed:
            return None
        with process_exit.before(self.close) as in_time:
            made = self._made(self._where) if in_time else None
        if self._closed:  # meanwhile, from another thread
            self._remove()
        return None if made is None else made.server

    def _made(self, where: str) -> SocketFile | None:
        try:
            self._file = self._make(where)
        except Exception as exc:  # noqa: BLE001 - ours: the host goes on all the same
            # Who asked for it is warned; of what nobody asked for, the log's details tell.
            level = logging.INFO if where == AUTO else logging.WARNING
            with self._faults.contained("log"):
                log.log(level, "litellm-cancel-otel top cannot be served here (%s)", exc)
        return self._file

    def close(self) -> None:
        """Remove the socket; it waits for nothing."""
        self._closed = True
        process_exit.forget(self.close)
        self._remove()

    def shut(self) -> None:
        """Remove the socket and close it; in a forked child the file, the parent's, stays."""
        self._remove()
        made, self._file = self._file, None
        process_exit.forget(self.close)
        self._begin()  # a forked child has none of its parent's threads to wait for
        if made is None:
            return
        made.shut()
        if not self._closed and self._where != AUTO and PID not in (self._where or ""):
            self._where = None

    def lost(self) -> None:
        """Let go of a socket whose descriptor somebody else has closed."""
        self.close()
        made, self._file = self._file, None
        if made is not None:
            made.server.detach()

    def answer(self) -> None:
        """Take who has connected, and have a thread tell it what is open."""
        if self._file is None:
            return
        connection, _ = self._file.server.accept()
        try:
            threading.Thread(
                target=self._tell, args=(connection,), name="litellm-cancel-otel-top", daemon=True
            ).start()
        except RuntimeError:  # no thread is to be had, or the process is about to end
            connection.close()

    def _make(self, where: str) -> SocketFile:
        if where == AUTO:
            return socket_folder.listen()
        return SocketFile(where.replace(PID, str(os.getpid())))

    def _remove(self) -> None:
        if (made := self._file) is not None:
            if self._where == AUTO:
                socket_folder.leave(made)
            else:
                made.remove()

    def _tell(self, connection: socket.socket) -> None:
        try:
            with connection, suppress(OSError):  # the reader has gone
                if same_user(connection):
                    connection.settimeout(_PATIENCE)
                    connection.sendall(self._document())
        except Exception as fault:  # noqa: BLE001 - ours: the next reader may fare better
            self._faults.note("feed", fault)

    def _document(self) -> bytes:
        """Return what is open now. One document is made at a time, for all who wait for one.

        A reader that gives up and asks again must not have ever more threads at work.
        """
        mine: Future[bytes] = Future()
        self._asked.put(mine)
        with self._making:
            if not mine.done():  # nobody has made one since; whoever does takes mine too
                asked = [self._asked.get() for _ in range(self._asked.qsize())]
                _answer(asked, self._make_document)
        return mine.result()

    def _make_document(self) -> bytes:
        # One by one: a single dump of 10,000 would hold the interpreter for 25 ms.
        streams = ", ".join([json.dumps(asdict(state)) for state in self._states()])
        service = os.environ.get("OTEL_SERVICE_NAME")
        about = {"format": FORMAT, "pid": os.getpid(), "service": service, "at": time.time()}
        text = f'{{"litellm_cancel_otel": {json.dumps(about)}, "streams": [{streams}]}}'
        return text.encode()


def _answer(asked: Iterable[Future[bytes]], make: Callable[[], bytes]) -> None:
    try:
        document = make()
    except Exception as fault:  # noqa: BLE001 - ours: each reader's thread notes it
        for one in asked:
            one.set_exception(fault)
    else:
        for one in asked:
            one.set_result(document)
