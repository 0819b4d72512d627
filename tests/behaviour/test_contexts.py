"""What is told of a call comes from its own record, whichever context its code runs in.

The garbage collector closes a coroutine in the context that happens to run. And on Python 3.11 a
context can lose a variable: the collector may come inside of ``ContextVar.set``, and a destructor,
such as that of LiteLLM's streams, may set another one there.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx
import openai
import pytest

from litellm_cancel_otel._asyncio.throw_hook import Awaitable
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import FakeProvider, Script
from litellm_cancel_otel._seams.active import CURRENT
from support.calling import Caller, arguments, chat, silent
from support.telemetry import Telemetry, external

# LiteLLM makes coroutines that it awaits later, or never where the call has gone by then.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited:RuntimeWarning")


class Telling(httpx.AsyncHTTPTransport):
    """Calls a function in the midst of each request, in the context of the call."""

    def __init__(self, tell: Callable[[], object]) -> None:
        super().__init__()
        self._tell = tell

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._tell()
        return await super().handle_async_request(request)


Clients = Callable[[Callable[[], object]], openai.AsyncOpenAI]


@pytest.fixture
async def client(provider: FakeProvider) -> AsyncIterator[Clients]:
    """Return what makes LiteLLM's client whose transport calls a function."""
    made: list[openai.AsyncOpenAI] = []

    def make(tell: Callable[[], object]) -> openai.AsyncOpenAI:
        kwargs = arguments(provider, "openai")
        made.append(
            openai.AsyncOpenAI(
                api_key=kwargs["api_key"],
                base_url=kwargs["api_base"],
                http_client=httpx.AsyncClient(transport=Telling(tell)),
                max_retries=0,
            )
        )
        return made[-1]

    yield make
    for one in made:
        await one.close()


class Left(Awaitable):
    """Awaits a coroutine, and leaves it to the collector where its own task is cancelled."""

    def __init__(self, coro: Coroutine[Any, Any, Any]) -> None:
        self._cycle: list[Any] = [coro]
        self._cycle.append(self._cycle)

    def __next__(self) -> Any:
        return self._cycle[0].send(None)

    def send(self, _: Any) -> Any:
        return self.__next__()

    def throw(self, exc: Any, *_: object) -> Any:
        self._cycle = []
        raise exc


async def leave_one(provider: FakeProvider) -> None:
    """Leave a call for the collector: it waits for its answer, and nobody waits for it."""

    async def waits() -> None:
        await Left(chat(provider, "openai", litellm_call_id="left"))

    task = asyncio.create_task(waits())
    await silent(provider)
    task.cancel()
    await asyncio.wait([task])


async def test_collected_while_another_call_runs(
    telemetry: Telemetry, provider: FakeProvider, client: Clients
) -> None:
    """The other call is told as what it is, and the one that was left as what it was."""
    other = client(gc.collect)
    provider.script = Script(hang_at="before_headers")
    gc.disable()
    try:
        await leave_one(provider)
        provider.script = Script()
        await chat(provider, "openai", client=other)
    finally:
        gc.enable()

    await telemetry.settled()
    assert telemetry.outcomes() == {"cancelled": 1, "completed": 1}
    said = (await telemetry.span()).attributes or {}
    assert (said[sc.CALL_ID], said[sc.SOURCE], said[sc.PHASE]) == ("left", "task_cancel", "request")


def lose() -> None:
    """Take the call out of the context that runs."""
    CURRENT.set(None)


@pytest.mark.parametrize("stream", [False, True])
async def test_completed_in_a_context_that_has_lost_the_call(
    telemetry: Telemetry, provider: FakeProvider, client: Clients, stream: bool
) -> None:
    caller = Caller(chat(provider, "openai", client=client(lose), stream=stream))

    assert await caller.ended() is None
    assert telemetry.outcomes() == {"completed": 1}
    assert telemetry.open_streams() == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_cancelled_in_a_context_that_has_lost_the_call(
    telemetry: Telemetry, provider: FakeProvider, client: Clients, stream: bool
) -> None:
    provider.script = Script(hang_at="before_headers")
    caller = Caller(chat(provider, "openai", client=client(lose), stream=stream))
    await silent(provider)
    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert caller.around.passed_on
    await telemetry.assert_one(external("task_cancel", "request", "cancel", "exception"))


async def test_error_in_a_context_that_has_lost_the_call(
    telemetry: Telemetry, provider: FakeProvider, client: Clients
) -> None:
    provider.script = Script(status=500)

    error = await Caller(chat(provider, "openai", client=client(lose))).ended()

    assert isinstance(error, openai.APIError)
    assert telemetry.outcomes() == {"error": 1}
