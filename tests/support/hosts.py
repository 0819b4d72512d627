"""ASGI hosts in a test's hands: what a server, or a middleware outside, may do."""

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest

from disconnect.asgi import App, Message, Receive, Scope, Send
from litellm_cancel_otel import CancellationMiddleware

every_loop = pytest.mark.every_loop
both_ways = pytest.mark.parametrize(
    "around", [None, CancellationMiddleware], ids=["without", "with"]
)
"""Run without the middleware and with it."""


def scope_of(**more: Any) -> Scope:
    """Return the scope of a GET request without a body."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [],
        **more,
    }


async def nowhere(_: Message) -> None:
    """Send nothing to nobody."""


def held(app: App, taken: asyncio.Event) -> App:
    """Return an application whose server takes a piece of a body only once it may."""

    async def holding(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body":
                await taken.wait()

        await app(scope, receive, sending)

    return holding


async def turns(count: int = 20) -> None:
    """Let the loop run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def never(*_: object) -> Any:
    """Wait for what does not come."""
    await asyncio.Event().wait()


def others() -> set["asyncio.Task[Any]"]:
    """Return all tasks of the loop but this one."""
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


class Failure(Exception):
    """What a host raises."""


class Counted(Failure):
    """One of which the living are known."""

    alive: ClassVar[weakref.WeakSet["Counted"]] = weakref.WeakSet()

    def __init__(self) -> None:
        self.alive.add(self)


END: Message = {"type": "http.request", "body": b"", "more_body": False}
GONE: Message = {"type": "http.disconnect"}


class Answers:
    """A server's ``receive`` that gives one answer after another, and the last one for ever."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)
        self.reads = 0

    async def __call__(self) -> Any:
        self.reads += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Unmapped:
    """A message that raises whatever one asks it."""

    def __getitem__(self, _: object) -> Any:
        raise Failure

    get = __getitem__


async def outcome(read: Callable[[], Awaitable[Any]]) -> object:
    """Return what a read gives, or the exception that it raises."""
    try:
        return await read()
    except Exception as exc:
        return exc
