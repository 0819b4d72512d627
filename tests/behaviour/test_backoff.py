"""A cancel while LiteLLM waits before it tries again is told as one in the backoff."""

import asyncio
from typing import Any

import litellm
import pytest

from litellm_cancel_otel._demo.fakes import FakeProvider, Script
from support.between_attempts import Mourner, Sleeps
from support.calling import Caller, chat, streamed_or_not
from support.telemetry import Telemetry, external

sdk: Any = litellm
pytestmark = pytest.mark.every_loop


@streamed_or_not
async def test_cancelled(
    telemetry: Telemetry, provider: FakeProvider, sleeps: Sleeps, stream: bool
) -> None:
    provider.script = Script(status=429)
    caller = Caller(chat(provider, "openai", num_retries=2, stream=stream))
    await sleeps.begun()
    tried = len(provider.exchanges)

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert caller.around.passed_on
    assert len(provider.exchanges) == tried
    await telemetry.assert_one(external(phase="backoff"))


async def test_deadline(telemetry: Telemetry, provider: FakeProvider, sleeps: Sleeps) -> None:
    async def told() -> None:
        async with asyncio.timeout(None) as deadline:
            expire.append(deadline)
            await chat(provider, "openai", num_retries=2)

    expire: list[asyncio.Timeout] = []
    provider.script = Script(status=429)
    caller = Caller(told())
    await sleeps.begun()

    expire[0].reschedule(asyncio.get_running_loop().time())

    assert isinstance(await caller.ended(), TimeoutError)
    await telemetry.assert_one(external("deadline", "backoff"))


async def test_gives_up_by_itself(
    telemetry: Telemetry, provider: FakeProvider, sleeps: Sleeps
) -> None:
    provider.script = Script(status=429)

    assert isinstance(
        await Caller(chat(provider, "openai", num_retries=1)).ended(), sdk.RateLimitError
    )

    assert telemetry.outcomes() == {"error": 1}
    assert telemetry.spans == []


@pytest.fixture
def mourner(monkeypatch: pytest.MonkeyPatch) -> Mourner:
    mourner = Mourner()
    monkeypatch.setattr(litellm, "callbacks", [mourner])
    return mourner


@pytest.mark.parametrize(
    ("retries", "phase"),
    [
        ({}, "request"),
        ({"num_retries": 0}, "request"),
        ({"num_retries": 1}, "backoff"),
        ({"retry_policy": {"InternalServerErrorRetries": 1}}, "backoff"),
    ],
    ids=["none", "0", "1", "policy"],
)
@streamed_or_not
async def test_failure_hook_is_part_of_the_backoff_only_where_one_may_follow(
    telemetry: Telemetry,
    provider: FakeProvider,
    mourner: Mourner,
    retries: dict[str, Any],
    phase: str,
    stream: bool,
) -> None:
    provider.script = Script(status=500)
    caller = Caller(chat(provider, "openai", stream=stream, **retries))
    await mourner.begun()

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert caller.around.passed_on
    await telemetry.assert_one(external(phase=phase))


async def test_retries_that_litellm_makes_of_every_call(
    telemetry: Telemetry,
    provider: FakeProvider,
    mourner: Mourner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(litellm, "num_retries", 1)
    provider.script = Script(status=500)
    caller = Caller(chat(provider, "openai"))
    await mourner.begun()

    caller.task.cancel()

    await caller.ended()
    await telemetry.assert_one(external(phase="backoff"))
