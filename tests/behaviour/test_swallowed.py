"""Calls that went on although their task had been told to stop, counted with the place where."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import litellm
import pytest
from litellm.exceptions import InternalServerError
from litellm.integrations.custom_logger import CustomLogger

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import FakeProvider, Script
from support.calling import Caller, chat, silent
from support.telemetry import LITELLM, Telemetry


def swallowed(telemetry: Telemetry) -> dict[str, int]:
    points = telemetry.points(sc.SWALLOWED)
    return {attributes[sc.SEAM]: count for attributes, count in points}


class Hook(CustomLogger):
    """A failure hook that awaits: LiteLLM catches whatever comes out of it."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = asyncio.Event()

    async def async_post_call_failure_deployment_hook(self, *_: Any, **__: Any) -> None:
        self.waiting.set()
        await asyncio.Event().wait()


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Hook:
    hook = Hook()
    monkeypatch.setattr(litellm, "callbacks", [hook])
    return hook


@pytest.mark.skipif(LITELLM < (1, 106), reason="this LiteLLM awaits no such hook")
@pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
async def test_in_the_failure_hook(
    telemetry: Telemetry, provider: FakeProvider, hook: Hook, stream: bool
) -> None:
    provider.script = Script(status=500)
    caller = Caller(chat(provider, "openai", stream=stream))
    await hook.waiting.wait()
    caller.task.cancel()

    assert isinstance(await caller.ended(), InternalServerError)
    assert swallowed(telemetry) == {"failure_hook": 1}
    assert telemetry.outcomes() == {"error": 1}


async def test_in_the_stream(telemetry: Telemetry, provider: FakeProvider) -> None:
    async def swallows(inner: Any) -> AsyncIterator[Any]:
        try:
            async for chunk in inner:
                yield chunk
        except asyncio.CancelledError:
            return

    async def reads() -> None:
        stream: Any = await chat(provider, "openai", stream=True)
        stream.completion_stream = swallows(stream.completion_stream)
        async for _ in stream:
            pass

    provider.script = Script(hang_at=2)
    caller = Caller(reads(), text=False)
    await silent(provider)
    while not any(call.progress.chunks >= 2 for call in telemetry.tracker.streams):
        await asyncio.sleep(0.001)
    caller.task.cancel()

    assert await caller.ended() is None
    assert swallowed(telemetry) == {"stream": 1}
    assert telemetry.outcomes() == {"completed": 1}


async def test_in_the_call(
    telemetry: Telemetry, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Swallows(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            try:
                return await super().handle_async_request(request)
            except asyncio.CancelledError:
                raise httpx.ConnectError("an error instead") from None

    async with httpx.AsyncClient(transport=Swallows()) as client:
        monkeypatch.setattr(litellm, "aclient_session", client)
        provider.script = Script(hang_at="before_headers")
        caller = Caller(chat(provider, "openai"))
        await silent(provider)
        caller.task.cancel()
        error = await caller.ended()

    assert isinstance(error, InternalServerError)
    assert swallowed(telemetry) == {"call": 1}


async def test_not_where_the_cancel_came_out(telemetry: Telemetry, provider: FakeProvider) -> None:
    provider.script = Script(hang_at="before_headers")
    caller = Caller(chat(provider, "openai"))
    await silent(provider)
    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert swallowed(telemetry) == {}
