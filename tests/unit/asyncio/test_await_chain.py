"""What a task waits for: through every kind of awaitable, and nothing but places is told."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from types import FunctionType
from typing import Any

import pytest

from litellm_cancel_otel._asyncio.await_chain import DEPTH, await_chain
from litellm_cancel_otel._contract.records import Place
from litellm_cancel_otel._demo.fakes import FakeProvider, Script
from support.calling import chat, silent
from support.telemetry import Telemetry

pytestmark = pytest.mark.every_loop


def functions(chain: tuple[Place, ...]) -> list[str]:
    return [place.function.rpartition(".")[2] for place in chain]


async def chain_of(coro: Any) -> list[str]:
    """Return the functions of a task's chain once it is suspended, asked from another thread."""
    task = asyncio.create_task(coro)
    await asyncio.sleep(0)
    try:
        with ThreadPoolExecutor(1) as threads:
            return functions(threads.submit(await_chain, task).result())
    finally:
        task.cancel()
        await asyncio.wait([task])


async def innermost() -> None:
    await asyncio.Event().wait()


async def generator() -> AsyncIterator[int]:
    await innermost()
    yield 1


class Custom:
    def __await__(self) -> Generator[Any, None, None]:
        return (yield from innermost().__await__())


async def test_coroutines() -> None:
    async def outer() -> None:
        await innermost()

    assert await chain_of(outer()) == ["outer", "innermost", "wait"]


async def test_async_generator_and_what_hides_it() -> None:
    async def outer() -> None:
        async for _ in generator():
            pass

    assert await chain_of(outer()) == ["outer", "generator", "innermost", "wait"]


async def test_anext_with_a_default() -> None:
    async def outer() -> None:
        await anext(generator(), None)

    assert await chain_of(outer()) == ["outer", "generator", "innermost", "wait"]


async def test_generator_that_is_being_closed() -> None:
    async def closing() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await innermost()

    async def outer() -> None:
        made: Any = closing()
        await anext(made)
        await made.aclose()

    assert await chain_of(outer()) == ["outer", "closing", "innermost", "wait"]


async def test_await_method() -> None:
    async def outer() -> None:
        await Custom()

    assert await chain_of(outer()) == ["outer", "__await__", "innermost", "wait"]


async def test_another_task() -> None:
    async def outer() -> None:
        await asyncio.ensure_future(innermost())

    async def settled() -> None:
        await outer()

    assert await _after_two_turns(settled()) == ["settled", "outer", "innermost", "wait"]


async def test_gather() -> None:
    async def outer() -> None:
        await asyncio.gather(asyncio.sleep(0), innermost())

    assert await _after_two_turns(outer()) == ["outer", "innermost", "wait"]


async def _after_two_turns(coro: Any) -> list[str]:
    task = asyncio.create_task(coro)
    for _ in range(3):
        await asyncio.sleep(0)
    try:
        return functions(await_chain(task))
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_deep_chain_keeps_its_inner_end() -> None:
    async def down(depth: int) -> None:
        await (down(depth - 1) if depth else innermost())

    chain = await chain_of(down(3 * DEPTH))

    assert len(chain) == DEPTH
    assert chain[-2:] == ["innermost", "wait"]


async def test_circle_ends() -> None:
    class Circle:
        @property
        def cr_await(self) -> object:
            return self

    assert await_chain(Circle()) == ()


async def test_what_has_ended_or_is_nothing() -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    await task

    assert await_chain(task) == ()
    assert await_chain(None) == ()


async def test_suspended_generator_is_where_it_yields() -> None:
    async def held() -> AsyncIterator[int]:
        yield 1
        yield 2

    made: Any = held()
    await anext(made)
    (place,) = await_chain(made)
    await made.aclose()

    assert place.function.endswith("held")
    assert place.line == held.__code__.co_firstlineno + 1


def test_task_that_blocks_its_loop() -> None:
    inside, go_on = threading.Event(), threading.Event()
    tasks: list[asyncio.Task[None]] = []

    def blocking() -> None:
        inside.set()
        go_on.wait(10)

    async def outer() -> None:
        blocking()

    async def main() -> None:
        tasks.append(asyncio.create_task(outer()))
        await tasks[0]

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert inside.wait(10)
    chain = functions(await_chain(tasks[0]))
    go_on.set()
    thread.join()

    assert chain[:3] == ["outer", "blocking", "wait"]


def made_in(filename: str, module: str) -> Callable[[], Awaitable[None]]:
    """Return a coroutine function that believes it comes from a file of a module."""
    code = innermost.__code__.replace(co_filename=filename)
    return FunctionType(code, {**globals(), "__name__": module, "__spec__": None})


SITE = "/home/jane/venv/lib/site-packages"


@pytest.mark.parametrize(
    ("filename", "module", "shown", "library"),
    [
        (f"{SITE}/httpx/_models.py", "httpx._models", "httpx/_models.py", True),
        ("/usr/lib/python3/dist-packages/apt/x.py", "apt.x", "apt/x.py", True),
        (asyncio.streams.__file__, "asyncio.streams", "asyncio/streams.py", True),
        ("<frozen importlib._bootstrap>", "importlib", "<frozen importlib._bootstrap>", True),
        (f"{SITE}/litellm/main.py", "litellm.main", "litellm/main.py", True),
        (f"{SITE}/litellm/proxy/x.py", "litellm.proxy.x", "litellm/proxy/x.py", False),
        ("/home/jane/code/app/__init__.py", "app", "app/__init__.py", False),
        ("/home/jane/code/main.py", "__main__", "main.py", False),
        ("/home/jane/code/main.py", "jane.code.other", "main.py", False),
        ("<string>", "app", "<string>", False),
        ("", "app", "", False),
    ],
)
async def test_file_is_told_from_its_package_on_and_whose_it_is(
    filename: str, module: str, shown: str, library: bool
) -> None:
    task = asyncio.ensure_future(made_in(filename, module)())
    await asyncio.sleep(0)
    place = await_chain(task)[0]
    task.cancel()
    await asyncio.wait([task])

    assert (place.file, place.library) == (shown, library)


async def test_application_is_told_however_deep_its_libraries() -> None:
    source = """
async def down(depth):
    await (down(depth - 1) if depth else asyncio.Event().wait())
"""
    library: dict[str, Any] = {"asyncio": asyncio, "__name__": "deep.x"}
    exec(compile(source, f"{SITE}/deep/x.py", "exec"), library)
    down = library["down"]

    async def answer() -> None:
        await down(3 * DEPTH)

    task = asyncio.create_task(answer())
    await asyncio.sleep(0)
    chain = await_chain(task)
    task.cancel()
    await asyncio.wait([task])

    assert len(chain) == DEPTH
    assert functions(chain[:1]) == ["answer"]
    assert [place.library for place in chain] == [False] + [True] * (DEPTH - 1)


@pytest.mark.parametrize("name", ["openai", "anthropic"])
async def test_stream_down_to_the_socket(
    telemetry: Telemetry, provider: FakeProvider, name: Any
) -> None:
    async def answers() -> AsyncIterator[Any]:
        async for chunk in await chat(provider, name, stream=True):
            yield chunk

    async def reads() -> None:
        async for _ in answers():
            pass

    provider.script = Script(hang_at=2)
    task = asyncio.create_task(reads())
    await silent(provider)
    with ThreadPoolExecutor(1) as threads:
        chain = threads.submit(await_chain, task).result()
        while not {"__anext__", "_wait"} <= set(functions(chain)):
            await asyncio.sleep(0.01)
            chain = threads.submit(await_chain, task).result()
    task.cancel()
    await asyncio.wait([task])

    names = functions(chain)
    assert names.index("reads") < names.index("answers") < names.index("__anext__")
    files = [place.file for place in chain]
    assert any(file.startswith("litellm/") for file in files)
    assert not any(file.startswith("litellm_cancel_otel/_seams") for file in files)
    assert not any(os.sep + "site-packages" in file or file.startswith(os.sep) for file in files)


async def test_this_packages_own_frames_are_left_out(
    telemetry: Telemetry, provider: FakeProvider
) -> None:
    provider.script = Script(hang_at="before_headers")
    task = asyncio.create_task(chat(provider, "openai"))
    await silent(provider)
    chain = await_chain(task)
    task.cancel()
    await asyncio.wait([task])

    assert functions(chain)[0] == "chat"
    assert chain[1].file.startswith("litellm/")
    assert not any(place.file.startswith(("litellm_cancel_otel", "<")) for place in chain)
