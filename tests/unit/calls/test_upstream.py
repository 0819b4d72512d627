"""One exchange with the provider: its first close counts, and is told once."""

import asyncio

import pytest
from litellm import acompletion

from litellm_cancel_otel._calls.upstream import Upstream
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import FakeProvider, Script, Wire
from support.calling import Caller, arguments, chat, every_provider, silent
from support.telemetry import Telemetry


def test_first_close_counts() -> None:
    told: list[float] = []
    upstream = Upstream("host", 443)
    upstream.on_closed = told.append

    assert upstream.is_open(0.5)
    upstream.closed(1.0)
    upstream.closed(2.0)

    assert upstream.closed_at == 1.0
    assert not upstream.is_open(3.0)
    assert told == [1.0]


class _Closed:
    def is_closed(self) -> bool:
        return True

    def is_read(self) -> bool:
        return False

    async def close(self) -> None:
        raise AssertionError("it is closed")


def test_close_behind_our_back_is_noted_when_asked_for() -> None:
    upstream = Upstream("host", 443)
    upstream.connection = _Closed()

    assert not upstream.is_open(1.5)
    assert upstream.closed_at == 1.5


def test_lets_go_of_the_response() -> None:
    upstream = Upstream(None, None)
    upstream.connection = _Closed()
    upstream.closed(1.0)

    assert upstream.connection is None


@pytest.mark.every_loop
@every_provider
async def test_close_is_measured_and_seen_by_the_provider(
    telemetry: Telemetry, provider: FakeProvider, name: Wire
) -> None:
    provider.script = Script(hang_at=0)
    caller = Caller(chat(provider, name, stream=True))
    exchange = await silent(provider)
    caller.task.cancel()
    await caller.ended()

    span = await telemetry.span()

    seconds = (span.attributes or {})[sc.DISCONNECT_TO_UPSTREAM_CLOSE]
    assert isinstance(seconds, float)
    assert 0 <= seconds < 5
    await exchange.wait_closed()
    ((attributes, count),) = telemetry.points(sc.TO_UPSTREAM_CLOSE)
    assert (attributes[sc.CANCELLATION_TYPE], count) == ("external", 1)


@pytest.mark.every_loop
@pytest.mark.settings(guard=False)
async def test_without_the_guard_nothing_of_ours_closes(
    telemetry: Telemetry, provider: FakeProvider
) -> None:
    provider.script = Script(hang_at=1)
    stream = await chat(provider, "openai", stream=True)
    exchange = await silent(provider)
    await anext(stream)
    before = asyncio.all_tasks()

    await stream.aclose()

    assert asyncio.all_tasks() <= before  # one of LiteLLM's own may have ended meanwhile
    await exchange.wait_closed()


async def test_what_a_task_of_the_calls_own_sends_is_not_the_calls(
    telemetry: Telemetry, provider: FakeProvider
) -> None:
    import httpx

    async def application() -> int:
        async with httpx.AsyncClient() as client:
            response = await client.get(provider.base_url + "/nobody")
            return response.status_code

    call = acompletion(**arguments(provider, "openai"))
    answer, status = await asyncio.gather(call, application())

    assert status == 404
    assert answer.choices
