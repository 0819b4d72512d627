"""What an application is given: a provider, a log, a folder, and waits that end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import litellm

from litellm_cancel_otel._demo.fakes import Exchange, Script, ThreadedFakeProvider, Wire
from litellm_cancel_otel._demo.fakes.kwargs import litellm_kwargs

from .observation import without_chance

T = TypeVar("T")
MESSAGES = [{"role": "user", "content": "hello"}]
BACKSTOP = 5.0
"""Seconds after which a wait is given up; the log then says so."""


class App:
    """An application's surroundings; ``package`` says whether the package is there."""

    def __init__(self, provider: ThreadedFakeProvider, folder: Path, *, package: bool) -> None:
        self.provider = provider
        self.folder = folder
        self.package = package
        self.books: dict[str, list[str]] = {}

    def log(self, *words: object, book: str = "log") -> None:
        """Write a line; lines of concurrent work go to a book each, as their order is chance."""
        line = without_chance(" ".join(map(str, words)))
        self.books.setdefault(book, []).append(line)

    def caught(self, exc: BaseException, *words: object, book: str = "log") -> None:
        """Write which exception was caught, and what it says."""
        self.log(*words, named(exc), book=book)

    def script(self, model: str | None = None, /, **script: Any) -> None:
        """Say how the provider answers from now on, or how it answers a model."""
        if model is None:
            self.provider.provider.script = Script(**script)
        else:
            self.provider.provider.scripts[model] = Script(**script)

    def kwargs(self, wire: Wire = "openai", model: str | None = None, **more: Any) -> Any:
        """Return the arguments of a chat completion that is tried once."""
        kwargs = litellm_kwargs(wire, self.provider.base_url, model)
        return {**kwargs, "messages": MESSAGES, "max_retries": 0, **more}

    async def chat(self, wire: Wire = "openai", **more: Any) -> Any:
        """Return a whole answer."""
        return await litellm.acompletion(**self.kwargs(wire, **more))

    async def stream(self, wire: Wire = "openai", **more: Any) -> Any:
        """Return an answer's stream."""
        return await litellm.acompletion(**self.kwargs(wire, stream=True, **more))

    # The provider runs in a thread of its own

    async def there(self, waiting: Coroutine[Any, Any, T]) -> T:
        """Await what belongs to the provider's loop."""
        future = asyncio.run_coroutine_threadsafe(waiting, self.provider._loop)
        return await asyncio.wrap_future(future)

    async def exchange(self) -> Exchange:
        """Return the next request as the provider sees it, once it has arrived."""
        return await self.there(self.provider.provider.next_exchange())

    async def hanging(self) -> Exchange:
        """Return the next request once the provider has fallen silent in it."""
        exchange = await self.exchange()
        await self.there(exchange.wait_hanging())
        return exchange

    def release(self, exchange: Exchange) -> None:
        """Let the provider go on with an answer."""
        self.provider.release(exchange)

    async def idle(self) -> None:
        """Wait until the provider has nothing left to answer."""
        await self.there(self.provider.provider.wait_idle())

    # Waits

    async def until(self, event: asyncio.Event, what: str) -> None:
        """Wait for an event; a wait in vain is a line of the log and no more."""
        try:
            await asyncio.wait_for(event.wait(), BACKSTOP)
        except TimeoutError:
            self.log("waited in vain for", what)

    async def ended(self, task: asyncio.Future[Any], *words: object, book: str = "log") -> None:
        """Wait until a task has ended, and write how."""
        await asyncio.wait([task], timeout=BACKSTOP)
        if not task.done():
            self.log(*words, "never ended", book=book)
        elif task.cancelled():
            self.log(*words, "cancelled", book=book)
        elif (exc := task.exception()) is not None:
            self.caught(exc, *words, book=book)
        else:
            self.log(*words, "returned", repr(task.result()), book=book)

    async def turns(self, count: int = 5) -> None:
        """Let the loop run so many times."""
        for _ in range(count):
            await asyncio.sleep(0)


def named(exc: BaseException) -> str:
    """Return an exception's type and what it says, its group's members too."""
    said = without_chance(str(exc).partition("\n")[0])
    members = [named(one) for one in exc.exceptions] if isinstance(exc, BaseExceptionGroup) else []
    return f"{type(exc).__module__}.{type(exc).__qualname__}({said})" + "".join(map(str, members))


def chained(exc: BaseException | None, depth: int = 6) -> str:
    """Return the types of an exception and of what it was raised from or while handling."""
    names: list[str] = []
    while exc is not None and len(names) < depth:
        names.append(type(exc).__name__)
        exc = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
    return " < ".join(names)


def text_of(chunk: Any) -> str:
    """Return the text of one chunk of a chat."""
    return (chunk.choices[0].delta.content or "") if chunk.choices else ""


async def whole(stream: Any) -> str:
    """Read a stream to its end and return its text."""
    return "".join([text_of(chunk) async for chunk in stream])


async def take(stream: Any, count: int) -> list[str]:
    """Read until so many pieces of text have come, and return them."""
    pieces: list[str] = []
    while len(pieces) < count:
        if text := text_of(await anext(stream)):
            pieces.append(text)
    return pieces
