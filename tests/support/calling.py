"""Callers of a fake provider: tasks whose suspensions, cancels and chunks are in a test's hands."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from importlib.util import find_spec
from typing import Any

import pytest
from litellm import acompletion  # before any CancelTelemetry, as an application may

from litellm_cancel_otel._demo.fakes import (
    PROVIDERS,
    Exchange,
    FakeProvider,
    Wire,
    litellm_kwargs,
)
from litellm_cancel_otel._demo.fakes.board import Board

MESSAGES = [{"role": "user", "content": "hello"}]

needs_botocore = pytest.mark.skipif(
    find_spec("botocore") is None, reason="LiteLLM calls Bedrock through botocore"
)
every_provider = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=needs_botocore if name == "bedrock" else ()) for name in PROVIDERS],
)
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])


def arguments(provider: FakeProvider, name: Wire, **more: Any) -> dict[str, Any]:
    """Return the arguments of one chat completion that is tried once."""
    kwargs = litellm_kwargs(name, provider.base_url)
    return {**kwargs, "messages": MESSAGES, "max_retries": 0, **more}


async def chat(provider: FakeProvider, name: Wire, **more: Any) -> Any:
    """Make one chat completion that is tried once."""
    return await acompletion(**arguments(provider, name, **more))


class Around:
    """Awaits a coroutine; sees what is thrown in and what comes out, and may cancel on the way.

    ``cancel_at`` are the suspensions, counted from 1, at which it cancels the running task.
    """

    def __init__(self, coro: Coroutine[Any, Any, Any], cancel_at: Collection[int] = ()) -> None:
        self._coro = coro
        self._cancel_at = cancel_at
        self._thrown: list[BaseException] = []
        self.suspensions = 0
        self.cancels = 0
        self.passed_on: bool | None = None
        """Whether what came out is an object that was thrown in; None where nothing was."""

    def __await__(self) -> "Around":
        return self

    def __iter__(self) -> "Around":
        return self

    def __next__(self) -> Any:
        return self._resume(self._coro.send, None)

    def send(self, value: Any) -> Any:
        return self._resume(self._coro.send, value)

    def throw(self, typ: Any, val: Any = None, _tb: object = None) -> Any:
        exc = typ if isinstance(typ, BaseException) else val
        if exc is None:
            exc = typ()
        self._thrown.append(exc)
        return self._resume(self._coro.throw, exc)

    def close(self) -> None:
        self._coro.close()

    def _resume(self, resume: Callable[[Any], Any], value: Any) -> Any:
        try:
            awaited = resume(value)
        except StopIteration:
            raise
        except BaseException as exc:
            if self._thrown:
                self.passed_on = any(exc is thrown for thrown in self._thrown)
            raise
        self.suspensions += 1
        if self.suspensions in self._cancel_at:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            self.cancels += 1
        return awaited


def text_of(chunk: Any) -> str:
    """Return the text of one chunk of a chat or of a text completion."""
    for choice in chunk.choices:
        delta = getattr(choice, "delta", choice)
        return (delta.content if delta is not choice else choice.text) or ""
    return ""


class Caller:
    """A task that makes a call and, where it is streamed, collects its pieces of text."""

    def __init__(
        self, call: Awaitable[Any], cancel_at: Collection[int] = (), *, text: bool = True
    ) -> None:
        self.pieces: list[str] = []
        self.chunks = 0
        self._board = Board()
        self.around = Around(self._consume(call) if text else _awaited(call), cancel_at)
        self.task = asyncio.create_task(_awaited(self.around))

    async def _consume(self, call: Awaitable[Any]) -> Any:
        answer = await call
        if not hasattr(answer, "__anext__"):
            return answer
        async for chunk in answer:
            self.chunks += 1
            if text := text_of(chunk):
                self.pieces.append(text)
                self._board.announce()
        return "".join(self.pieces)

    async def has(self, pieces: int) -> None:
        """Wait until that many pieces of text have come."""
        await self._board.until(lambda: len(self.pieces) >= pieces, f"{pieces} pieces", 5)

    async def ended(self) -> BaseException | None:
        """Wait until the task has ended; return its exception, a cancel too."""
        await asyncio.wait([self.task], timeout=5)
        assert self.task.done()
        try:
            return self.task.exception()
        except asyncio.CancelledError as cancel:
            return cancel


async def _awaited(call: Awaitable[Any]) -> Any:
    return await call


async def silent(provider: FakeProvider) -> Exchange:
    """Return the next exchange, once the provider has fallen silent in it."""
    exchange = await provider.next_exchange()
    await exchange.wait_hanging()
    return exchange


needs_mcp = pytest.mark.skipif(
    find_spec("mcp") is None and find_spec("litellm.responses.mcp") is not None,
    reason="this LiteLLM makes every call of the Responses API through mcp",
)
