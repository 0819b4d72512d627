"""Listens for a client's going while a call is under way; the application does not notice."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import copy_context
from enum import Enum, auto
from functools import partial
from typing import Any, NamedTuple

from .._asyncio.tasks import running_loop
from .._calls.request import Request
from .._contract.faults import Faults
from .._contract.records import Signal

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class Kind(Enum):
    """What a message of the server's means to who listens."""

    GONE = auto()
    MORE = auto()
    """A piece of the body, not the last one."""
    END = auto()
    """The body's last piece."""
    OTHER = auto()


def kind_of(message: Any) -> Kind:
    """Return what a received message means; anything at all may be one."""
    try:
        if message["type"] == "http.disconnect":
            return Kind.GONE
        if message["type"] == "http.request":
            return Kind.MORE if message.get("more_body", False) else Kind.END
    except Exception:  # noqa: BLE001 - the host's message is no message: the application's to judge
        pass
    return Kind.OTHER


def may_have_body(scope: Scope) -> bool:
    """Return whether there may be a body that is not to be read ahead.

    With ``Expect: 100-continue`` a read is what makes the server ask the client for its body. From
    HTTP/2 on a body needs no header; that a GET or HEAD has one there is not expected.
    """
    try:
        empty = False
        for name, value in scope.get("headers") or ():
            lower = bytes(name).lower()
            if lower in (b"transfer-encoding", b"expect"):
                return True
            if lower == b"content-length":
                if value != b"0":
                    return True
                empty = True
        first = str(scope.get("http_version", "")).startswith("1")
        return not (first or empty or scope.get("method") in ("GET", "HEAD"))
    except Exception:  # noqa: BLE001 - headers that are none: nothing is known, nothing is read ahead
        return True


def contained(faults: Faults, act: Callable[[], None]) -> None:
    """Tell a request something; no fault of ours gets into what the application reads or sends."""
    try:
        act()
    except Exception as fault:  # noqa: BLE001 - ours: the application goes on
        faults.note("middleware", fault)


class _Raised(NamedTuple):
    """What a read of ours raised, in the place of a message."""

    exc: BaseException


class Listener:
    """Reads from the server for the application, and on its own while a call is under way.

    Only one of them reads at a time. What is read for nobody is kept, and the application gets the
    same messages and the same exceptions in the same order. A body is never read ahead. A server,
    or a middleware outside, that answers with anything but the end of an empty body and the
    disconnect is not listened to any more.
    """

    def __init__(
        self, receive: Receive, request: Request, faults: Faults, *, body_to_come: bool
    ) -> None:
        self._receive = receive
        self._request = request
        self._faults = faults
        self._loop = running_loop()
        # A middleware outside gets its own context to see, not that of the application's call.
        self._context = copy_context()
        self._body_to_come = body_to_come
        self._body_ended = False
        self._listening = False
        self._over = False
        """Nothing more is to be learned by listening."""
        self._closed = False
        self._app_reads = 0
        self._app_waits = 0
        """How many reads of the application's wait for one of ours."""
        self._unread: deque[Message | _Raised] = deque()
        self._reading: asyncio.Task[Message] | None = None

    def listen(self) -> None:
        """Listen for the disconnect from now on, whenever the application does not."""
        self._listening = True
        self._read_on()

    async def receive(self) -> Message:
        """Return the next message, for the application."""
        while not self._unread and self._reading is not None:
            reading = self._reading
            if reading.done():
                # Its callback has not had its turn. Nobody waits for that: who asks whether the
                # client is there leaves at the first pause.
                self._was_read(reading)
            elif running_loop() is not self._loop:
                break
            else:
                await self._wait_for(reading)
        if self._unread:
            return self._take()
        return await self._read_for_app()

    def close(self) -> None:
        """Stop listening."""
        self._over = self._closed = True
        if self._unread and isinstance(self._unread[-1], _Raised):
            self._unread.pop()
        self._stop_reading()

    async def _wait_for(self, reading: "asyncio.Task[Message]") -> None:
        self._app_waits += 1
        try:
            # The read goes on where the application is cancelled: it may read again later.
            await asyncio.wait([reading])
        finally:
            self._app_waits -= 1
            if self._closed:
                self._stop_reading()

    def _take(self) -> Message:
        first = self._unread.popleft()
        try:
            if isinstance(first, _Raised):
                raise first.exc
            if kind_of(first) is Kind.GONE:
                self._request.app_was_told = True
            return first
        finally:
            del first  # a traceback has this frame

    async def _read_for_app(self) -> Message:
        self._app_reads += 1
        try:
            message = await self._receive()
            if kind_of(message) is Kind.GONE:
                self._request.app_was_told = True
            self._note(message)
        except Exception:  # the server's: nothing more is to be learned there; raised again
            self._over = True
            raise
        finally:
            self._app_reads -= 1
            self._read_on()  # where the application was cancelled as it read, we go on
        return message

    def _note(self, message: Message) -> None:
        kind = kind_of(message)
        if kind is Kind.GONE:
            self._over = True
            contained(self._faults, partial(self._request.disconnected, Signal.ASGI_RECEIVE))
        elif kind is Kind.OTHER or self._body_ended:
            self._over = True  # a body that begins anew is replayed, and would be for ever
        else:
            self._body_to_come = kind is Kind.MORE
            self._body_ended = kind is Kind.END

    def _read_on(self) -> None:
        if not self._listening or self._over or self._body_to_come:
            return
        if self._app_reads or self._reading is not None or running_loop() is not self._loop:
            return
        read = self._read()
        try:
            assert self._loop is not None
            reading = self._context.run(self._loop.create_task, read)
            self._reading = reading
            reading.add_done_callback(self._was_read)
        except Exception as fault:  # noqa: BLE001 - a task factory of the host's: nobody listens
            read.close()
            self._over = True
            self._faults.note("listener", fault)

    async def _read(self) -> Message:
        return await self._receive()

    def _was_read(self, reading: "asyncio.Task[Message]") -> None:
        if self._reading is not reading:
            return  # seen to already
        self._reading = None
        if reading.cancelled():
            self._over = True  # the application, should it read, gets the server's own word
            return
        raised = reading.exception()
        if raised is None:
            message = reading.result()
            self._unread.append(message)
            self._note(message)
            self._read_on()
        else:
            self._over = True
            if not self._closed or self._app_waits:
                self._unread.append(_Raised(raised))

    def _stop_reading(self) -> None:
        if self._reading is None or self._app_waits:
            return
        try:
            if self._loop is not None and not self._loop.is_closed():
                self._reading.cancel()
        except Exception as fault:  # noqa: BLE001 - ours: the application's end is not held up
            self._faults.note("listener", fault)
