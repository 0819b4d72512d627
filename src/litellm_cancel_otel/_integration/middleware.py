"""ASGI middleware: the exact time at which a client went away, and whose calls that concerns."""

import asyncio
import errno
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

from .._asyncio.context_variables import put_back
from .._asyncio.generators import follow_generators
from .._asyncio.tasks import running_task
from .._asyncio.throw_hook import ThrowHook
from .._asyncio.waiting import CLIENT
from .._calls.request import REQUEST, Request
from .._contract.faults import Faults
from .._seams.active import ACTIVE
from .._tracking.tracker import Tracker
from .listener import Listener, Message, Receive, Scope, contained, may_have_body
from .shutdown import export_last

Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CLIENT.add(Listener.receive.__code__)


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
        if running_task() is None:  # trio, or a coroutine that is driven by hand
            await self.app(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._run_lifespan(scope, receive, send)
        elif scope["type"] != "http" or tracker is None or _in_request():
            await self.app(scope, receive, send)
        else:
            await self._run(tracker, scope, receive, send)

    async def _run_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _EXPORTS.get():  # an outer one of ours does it
            await self.app(scope, receive, send)
            return
        token = _EXPORTS.set(True)
        try:
            await self.app(scope, receive, _exporting(send))
        finally:
            put_back(_EXPORTS, token)

    async def _run(self, tracker: Tracker, scope: Scope, receive: Receive, send: Send) -> None:
        task = running_task()
        taken_back = False
        request = Request(task, tracker.clock)
        faults = tracker.faults
        listener = Listener(receive, request, faults, body_to_come=may_have_body(scope))
        request.on_call = listener.listen
        loop = asyncio.get_running_loop()
        guard = tracker.guard
        if guard is not None:
            contained(faults, partial(follow_generators, loop))
            request.on_disconnect = lambda: guard.disconnected(request, loop)
        token = REQUEST.set(request)
        try:
            sending = _watching(send, request, faults)
            await ThrowHook(self._call(scope, listener.receive, sending), request.thrown)
        except asyncio.CancelledError:
            request.raised()
            # Ours alone: the server asked nothing, and is told nothing. Any other cancel goes on.
            taken_back = True
            if not request.take_back():
                raise
        except BaseException:  # the application's: noted, and the same object raised again
            request.raised()
            raise
        finally:
            if not taken_back:
                request.take_back()
            put_back(REQUEST, token)
            request.over()
            listener.close()
            if guard is not None and sys.exc_info()[0] is not GeneratorExit:
                # A coroutine that the collector destroys may be anywhere in the loop's own work.
                contained(faults, partial(guard.finished, request))

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)  # whatever awaitable it returns


_EXPORTS: Final[ContextVar[bool]] = ContextVar("litellm_cancel_otel_exports", default=False)


def _in_request() -> bool:
    """Return whether this is part of a request that is watched already, and is not over."""
    outer = REQUEST.get()
    return outer is not None and not outer.finished


_IN_PIECES: Final = ("http.response.body", "http.response.zerocopysend")


def _type_of(message: Any) -> object:
    """Return the type of a message to be sent."""
    try:
        return message["type"]
    except Exception:  # noqa: BLE001 - the application's message is none: the server's to refuse
        return None


def _is_last(message: Any) -> bool:
    """Return whether a message ends the response's body."""
    kind = _type_of(message)
    try:
        whole = kind in _IN_PIECES and not message.get("more_body", False)
    except Exception:  # noqa: BLE001 - as above
        return False
    return whole or kind == "http.response.pathsend"


_CONNECTION: Final = {
    *(errno.EPIPE, errno.ESHUTDOWN, errno.ECONNABORTED, errno.ECONNRESET, errno.ENOTCONN),
    *(errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET),
    *(errno.EBADF, errno.EHOSTDOWN),
}


def _says_gone(exc: OSError) -> bool:
    """Return whether an error in ``send`` means that the client has gone.

    A middleware outside may also have a deadline of its own there, or write to a file.
    """
    if exc.errno is None:
        return not isinstance(exc, TimeoutError)
    return exc.errno in _CONNECTION


def _watching(send: Send, request: Request, faults: Faults) -> Send:
    async def watching(message: Message) -> None:
        # Before it is sent: a server may call the end of the response a disconnect as it sends it.
        if _is_last(message):
            request.sends_last()
        try:
            await send(message)
        except OSError as exc:
            if _says_gone(exc):
                contained(faults, request.cannot_send)
            raise
        if _type_of(message) == "http.response.start":
            contained(faults, request.responds)

    CLIENT.add(watching.__code__)
    return watching


_ENDS: Final = ("lifespan.shutdown.complete", "lifespan.shutdown.failed")


def _exporting(send: Send) -> Send:
    async def exporting(message: Message) -> None:
        tracker = ACTIVE.tracker
        if _type_of(message) in _ENDS and tracker is not None:
            await export_last(tracker.flush, tracker.faults)
        await send(message)

    return exporting
