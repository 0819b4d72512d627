"""A cancel while LiteLLM's Router waits before it tries again is told as one in the backoff."""

import asyncio
from typing import Any

import litellm
import pytest

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import FakeProvider, Script, litellm_kwargs
from support.between_attempts import LONG, Mourner, Sleeps
from support.calling import MESSAGES, Caller, streamed_or_not
from support.cancels import leave_stale_count
from support.telemetry import Telemetry, cancel_of, external, internal
from support.transports import dies

sdk: Any = litellm
pytestmark = pytest.mark.every_loop


@pytest.fixture
def mourner(monkeypatch: pytest.MonkeyPatch) -> Mourner:
    mourner = Mourner()
    monkeypatch.setattr(litellm, "callbacks", [mourner])
    return mourner


def router(provider: FakeProvider, name: str = "openai") -> Any:
    """Return a Router with one model, which waits for seconds before it tries it again."""
    params = {**litellm_kwargs(name, provider.base_url), "max_retries": 0}
    return sdk.Router(
        model_list=[{"model_name": "mine", "litellm_params": params}],
        num_retries=1,
        retry_after=5,
        disable_cooldowns=True,
    )


@pytest.mark.parametrize("status", [429, 500])
@streamed_or_not
async def test_cancelled_in_the_routers(
    telemetry: Telemetry, provider: FakeProvider, sleeps: Sleeps, status: int, stream: bool
) -> None:
    provider.script = Script(status=status)
    caller = Caller(router(provider).acompletion("mine", messages=MESSAGES, stream=stream))
    await sleeps.begun()

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert caller.around.passed_on
    assert len(provider.exchanges) == 1
    span = await telemetry.span()
    assert cancel_of(span.attributes or {}) == external(phase="backoff")
    assert telemetry.outcomes() == {"error": 1, "cancelled": 1}
    ((_, times),) = telemetry.points(sc.CANCELLATIONS)
    assert times == 1


@pytest.mark.skipif(
    not hasattr(sdk.router, "make_core"), reason="its Router does not wait for a first chunk"
)
async def test_cancelled_after_a_stream_that_failed_before_its_first_chunk(
    telemetry: Telemetry, provider: FakeProvider, sleeps: Sleeps
) -> None:
    provider.script = Script(chunks=0, ending="rst")
    caller = Caller(
        router(provider, "anthropic").acompletion("mine", messages=MESSAGES, stream=True)
    )
    await sleeps.begun()

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    span = await telemetry.span()
    assert cancel_of(span.attributes or {}) == external(phase="backoff")
    assert telemetry.outcomes() == {"error": 1, "cancelled": 1}


async def test_cancel_in_the_routers_that_nobody_asked_for(
    telemetry: Telemetry, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old cancel of the task's says nothing of this one."""
    sleep = asyncio.sleep

    async def dying(delay: float, result: Any = None) -> Any:
        return await (dies() if delay >= LONG else sleep(delay, result))

    async def asks() -> Any:
        await leave_stale_count()
        return await router(provider).acompletion("mine", messages=MESSAGES)

    monkeypatch.setattr(asyncio, "sleep", dying)
    provider.script = Script(status=500)

    assert isinstance(await Caller(asks()).ended(), asyncio.CancelledError)
    span = await telemetry.span()
    assert cancel_of(span.attributes or {}) == internal("openai")


async def test_deadline_in_the_routers(
    telemetry: Telemetry, provider: FakeProvider, sleeps: Sleeps
) -> None:
    async def told() -> None:
        async with asyncio.timeout(None) as deadline:
            expire.append(deadline)
            await router(provider).acompletion("mine", messages=MESSAGES)

    expire: list[asyncio.Timeout] = []
    provider.script = Script(status=500)
    caller = Caller(told())
    await sleeps.begun()

    expire[0].reschedule(asyncio.get_running_loop().time())

    assert isinstance(await caller.ended(), TimeoutError)
    span = await telemetry.span()
    assert cancel_of(span.attributes or {}) == external("deadline", "backoff")
    assert telemetry.outcomes() == {"error": 1, "cancelled": 1}


async def test_failure_hook_in_the_routers(
    telemetry: Telemetry, provider: FakeProvider, mourner: Mourner
) -> None:
    provider.script = Script(status=500)
    caller = Caller(router(provider).acompletion("mine", messages=MESSAGES))
    await mourner.begun()

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    await telemetry.assert_one(external(phase="backoff"))
