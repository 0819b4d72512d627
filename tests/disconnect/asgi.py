"""One request to an ASGI application, whose server and client are in a test's hands."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from litellm_cancel_otel._demo.fakes.board import Board

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_EMPTY = {"type": "http.request", "body": b"", "more_body": False}


class Served:
    """Runs an application on a request in a task of its own, as a server does.

    ``raises``: as ASGI spec 2.4 demands, ``send`` raises OSError once the client has gone. A
    client that does not read (``reads``) holds the second ``send`` back until it has gone. A
    server that ``closes`` calls the end of the response a disconnect while it sends it.
    """

    def __init__(
        self,
        app: App,
        path: str = "/",
        *,
        body: Iterable[Message] = (_EMPTY,),
        headers: Iterable[tuple[bytes, bytes]] = (),
        raises: bool = False,
        reads: bool = True,
        closes: bool = False,
    ) -> None:
        self.sent: list[Message] = []
        self.reads = 0
        """How often a message was asked for."""
        self.loops: set[asyncio.AbstractEventLoop] = set()
        """The loops in which that was."""
        self._body = deque(body)
        self._board = Board()
        self._gone = asyncio.Event()
        self._raises = raises
        self._client_reads = reads
        self._closes = closes
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4" if raises else "2.3"},
            "http_version": "1.1",
            "method": "POST" if headers else "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": list(headers),
        }
        self.task = asyncio.create_task(self._run(app, scope))

    async def _run(self, app: App, scope: Scope) -> None:
        await app(scope, self._receive, self._send)

    def leave(self) -> None:
        """Let the client go."""
        self._gone.set()
        self._board.announce()

    async def has_sent(self, count: int) -> None:
        """Wait until the application has sent that many messages."""
        await self._board.until(lambda: len(self.sent) >= count, f"{count} messages", 5)

    async def has_asked(self, count: int) -> None:
        """Wait until that many messages were asked for."""
        await self._board.until(lambda: self.reads >= count, f"{count} reads", 5)

    async def ended(self) -> BaseException | None:
        """Wait until the application has returned; return what it raised."""
        await asyncio.wait([self.task], timeout=5)
        assert self.task.done()
        return None if self.task.cancelled() else self.task.exception()

    @property
    def body(self) -> bytes:
        """The response's body as it was sent so far."""
        return b"".join(message.get("body", b"") for message in self.sent)

    async def _receive(self) -> Message:
        self.reads += 1
        self.loops.add(asyncio.get_running_loop())
        self._board.announce()
        if self._body:
            return self._body.popleft()
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        self._board.announce()
        if not self._client_reads and len(self.sent) > 1:
            await self._gone.wait()
        if self._closes and message["type"] == "http.response.body" and not message["more_body"]:
            self.leave()
            for _ in range(10):  # turns of the loop, in which whoever listens is told
                await asyncio.sleep(0)
        if self._raises and self._gone.is_set():
            raise OSError("the client has gone")


def start() -> Message:
    """Return the message that begins a response."""
    return {"type": "http.response.start", "status": 200, "headers": []}


def piece(body: bytes = b"", *, more: bool = False) -> Message:
    """Return a message with a piece of a response's body, by default its last one."""
    return {"type": "http.response.body", "body": body, "more_body": more}
