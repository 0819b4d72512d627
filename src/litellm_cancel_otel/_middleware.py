"""ASGI middleware: the exact time at which a client went away, and whose calls that concerns."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ._consumers import follow_generators
from ._evidence import cancelling, running_task
from ._records import Signal
from ._request import REQUEST, Request, last_requests
from ._seams.active import ACTIVE
from ._seams.steps import Step
from ._tracker import Tracker

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class CancellationMiddleware:
    """Wraps any ASGI 3 application; works on any server, around or inside other middleware.

    It learns of a disconnect from ``http.disconnect`` and from ``OSError`` in ``send``, whichever
    comes first, and listens itself where a call is under way and nobody else does. A request
    without a LiteLLM call costs two function calls a message and nothing else. It also exports
    what was recorded before the server's shutdown completes: a server that ends by a signal runs
    no ``atexit``.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        tracker = ACTIVE.tracker
        if scope["type"] == "lifespan":
            await self.app(scope, receive, _flushing(send))
        elif scope["type"] != "http" or tracker is None or REQUEST.get() is not None:
            await self.app(scope, receive, send)
        else:
            await self._run(tracker, scope, receive, send)

    async def _run(self, tracker: Tracker, scope: Scope, receive: Receive, send: Send) -> None:
        task = running_task()
        before = cancelling(task)
        request = Request(task, tracker.clock)
        listener = _Listener(receive, request, expects_body=_expects_body(scope))
        request.on_call = listener.listen
        loop = asyncio.get_running_loop()
        guard = tracker.guard
        if guard is not None:
            follow_generators(loop)
            request.on_disconnect = lambda: guard.disconnected(request, loop)
        token = REQUEST.set(request)
        try:
            await Step(
                self._call(scope, listener.receive, _watching(send, request)), request.thrown
            )
        except asyncio.CancelledError:
            request.aborted = True
            # Ours alone: the server asked nothing, and is told nothing. Any other cancel goes on.
            if not request.cancelled or cancelling(task) > before + 1:
                raise
        except BaseException:  # the application's: noted, and the same object raised again
            request.aborted = True
            raise
        finally:
            if request.cancelled and task is not None:
                task.uncancel()
            REQUEST.reset(token)
            request.finished = True
            listener.close()
            if guard is not None:
                guard.finished(request)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)  # whatever awaitable it returns


def _expects_body(scope: Scope) -> bool:
    for name, value in scope.get("headers", ()):
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return True
    return False


def _watching(send: Send, request: Request) -> Send:
    async def watching(message: Message) -> None:
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        # Before it is sent: a server may call the end of the response a disconnect as it sends it.
        request.complete = request.complete or last
        try:
            await send(message)
        except OSError:
            request.told = True
            request.complete = False
            request.disconnected(Signal.ASGI_SEND)
            raise
        if message["type"] == "http.response.start":
            request.responds()

    return watching


def _flushing(send: Send) -> Send:
    async def flushing(message: Message) -> None:
        tracker = ACTIVE.tracker
        if message["type"] == "lifespan.shutdown.complete" and tracker is not None:
            await last_requests()
            await asyncio.to_thread(tracker.flush)
        await send(message)

    return flushing


class _Listener:
    """Reads from the server for the application, and on its own while a call is under way.

    Only one of them reads at a time, and what is read for nobody is kept for the application: the
    one message that ends a body that is none, and the disconnect. A body is never read ahead.
    """

    def __init__(self, receive: Receive, request: Request, *, expects_body: bool) -> None:
        self._receive = receive
        self._request = request
        self._body_to_come = expects_body
        self._listening = False
        self._app_reads = 0
        self._unread: deque[Message] = deque()
        self._reading: asyncio.Task[Message] | None = None

    def listen(self) -> None:
        """Listen for the disconnect from now on, whenever the application does not."""
        self._listening = True
        self._read_on()

    async def receive(self) -> Message:
        """Return the next message, for the application."""
        while True:
            if self._unread:
                message = self._unread[0]
                if message["type"] == "http.disconnect":  # that is what every later read gets
                    self._request.told = True
                else:
                    self._unread.popleft()
                return message
            if self._reading is None:
                return await self._read_for_app()
            reading = self._reading
            if not reading.done():
                # Shielded: the application may be cancelled, and read again later.
                await asyncio.shield(reading)
            # Its callback may not have had its turn: a done task is awaited without a pause, so
            # that waiting for that here would never end.
            self._was_read(reading)

    def close(self) -> None:
        """Stop listening."""
        self._listening = False
        if self._reading is not None:
            self._reading.cancel()

    async def _read_for_app(self) -> Message:
        self._app_reads += 1
        try:
            message = await self._receive()
            self._request.told = message["type"] == "http.disconnect"
            self._note(message)
        finally:
            self._app_reads -= 1
            self._read_on()  # where the application was cancelled as it read, we go on
        return message

    def _note(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self._listening = False
            self._request.disconnected(Signal.ASGI_RECEIVE)
        else:
            self._body_to_come = message.get("more_body", False)

    def _read_on(self) -> None:
        if not self._listening or self._body_to_come or self._app_reads or self._reading:
            return
        self._reading = asyncio.get_running_loop().create_task(self._read())
        self._reading.add_done_callback(self._was_read)

    async def _read(self) -> Message:
        return await self._receive()

    def _was_read(self, reading: "asyncio.Task[Message]") -> None:
        if self._reading is not reading:
            return  # seen to already
        self._reading = None
        if reading.cancelled() or reading.exception() is not None:
            self._listening = False  # the application, should it read, gets the server's own word
            return
        message = reading.result()
        self._note(message)
        self._unread.append(message)
        self._read_on()
