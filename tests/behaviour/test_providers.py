"""Each provider's streamed chat is seen from its start to its upstream's close, or said not to be.

LiteLLM reaches them in different ways: by SDKs, by HTTP clients of its own, at once or with the
first chunk. ``docs/providers.md`` has the table.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger
from litellm.llms.custom_httpx.aiohttp_transport import LiteLLMAiohttpTransport
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import (
    Exchange,
    FakeProvider,
    HangAt,
    Script,
    aclose_litellm_clients,
    litellm_kwargs,
)
from litellm_cancel_otel._seams import sessions
from support.calling import MESSAGES, Caller, silent
from support.every_provider import STREAMED, Provider, every_streamed, give_token
from support.telemetry import OLD, Telemetry, events, external

sdk: Any = litellm


@pytest.fixture(params=["aiohttp", "httpx"])
async def transport(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """What carries LiteLLM's requests; that it does is looked at behind the test."""
    carried: list[object] = []
    original = LiteLLMAiohttpTransport.handle_async_request

    async def handle(self: Any, sent: Any) -> Any:
        carried.append(sent)
        return await original(self, sent)

    monkeypatch.setattr(LiteLLMAiohttpTransport, "handle_async_request", handle)
    monkeypatch.delenv("DISABLE_AIOHTTP_TRANSPORT", raising=False)
    monkeypatch.setattr(litellm, "disable_aiohttp_transport", request.param == "httpx")
    await aclose_litellm_clients()  # those of before have the other
    monkeypatch.setattr(litellm, "module_level_aclient", AsyncHTTPHandler())
    yield request.param
    await aclose_litellm_clients()
    assert bool(carried) == (request.param == "aiohttp")


def at(provider: FakeProvider) -> dict[str, object]:
    """Return what a span says of where the provider is."""
    host, port = provider.base_url.removeprefix("http://").split(":")
    return {sc.SERVER_ADDRESS: host, sc.SERVER_PORT: int(port)}


@every_streamed
@pytest.mark.parametrize(
    ("hang_at", "phase"), [("before_first_chunk", "request"), (30, "streaming")]
)
async def test_streamed_chat(
    telemetry: Telemetry,
    provider: FakeProvider,
    transport: str,
    monkeypatch: pytest.MonkeyPatch,
    who: Provider,
    hang_at: HangAt,
    phase: str,
) -> None:
    give_token(monkeypatch)
    # Enough for LiteLLM 1.72, which reads from Bedrock in pieces of 1 KiB.
    provider.script = Script(chunks=40, hang_at=hang_at)
    caller = Caller(sdk.acompletion(**who.chat(provider.base_url)))
    exchange = await silent(provider)
    if phase == "streaming":
        await caller.has(1)

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    await exchange.wait_closed()
    assert exchange.how == "client_gone"
    span = await telemetry.assert_one(
        external(phase=phase),
        **{sc.PROVIDER: who.name, sc.REQUEST_STREAM: True, **at(provider)},
    )
    assert sc.EVENT_UPSTREAM_CLOSED in events(span)
    assert sc.UPSTREAM_UNSTOPPABLE not in (span.attributes or {})


@every_streamed
async def test_streamed_chat_to_its_end(
    telemetry: Telemetry,
    provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    who: Provider,
) -> None:
    give_token(monkeypatch)
    caller = Caller(sdk.acompletion(**who.chat(provider.base_url)))

    assert await caller.ended() is None

    assert "".join(caller.pieces) == provider.script.text
    assert telemetry.outcomes() == {"completed": 1}


async def asked(provider: FakeProvider) -> Exchange:
    """Return the next exchange; LiteLLM imports its Proxy for the first stream that it bridges."""
    return await provider.next_exchange(timeout=60)


@pytest.mark.skipif(OLD, reason="this LiteLLM bridges to Gemini by way of Google's own library")
class TestBridged:
    """LiteLLM makes the first event of a stream that it translates; only then it asks Gemini."""

    async def begun(self, provider: FakeProvider) -> Any:
        kwargs = litellm_kwargs("gemini", provider.base_url)
        stream = await sdk.anthropic_messages(
            **kwargs, messages=MESSAGES, max_tokens=10, stream=True
        )
        await anext(stream)
        assert not provider.exchanges
        return stream

    @pytest.mark.parametrize("hang_at", ["before_headers", "before_first_chunk", 1])
    async def test_cancelled(
        self, telemetry: Telemetry, provider: FakeProvider, hang_at: HangAt
    ) -> None:
        provider.script = Script(hang_at=hang_at)
        stream = await self.begun(provider)

        async def reads() -> None:
            async for _ in stream:
                pass

        task = asyncio.create_task(reads())
        exchange = await asked(provider)
        await exchange.wait_hanging()
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task
        await exchange.wait_closed()
        span = await telemetry.assert_one(
            external(phase="streaming"), **{sc.PROVIDER: "gcp.gemini", **at(provider)}
        )
        assert sc.EVENT_UPSTREAM_CLOSED in events(span)
        assert events(span)[0] == sc.EVENT_FIRST_CHUNK

    async def test_abandoned(self, telemetry: Telemetry, provider: FakeProvider) -> None:
        # The first of a process imports, and what fails to load there keeps the frames it came by.
        async with FakeProvider() as first:
            async for _ in await self.begun(first):
                pass
        provider.script = Script(hang_at=2)

        async def reads() -> None:
            stream = await self.begun(provider)
            for _ in range(3):
                await anext(stream)
            # No count of references frees it. Made now, for the collector is asked about the young.
            circle: list[Any] = [stream]
            circle.append(circle)
            del stream
            raise LookupError

        task = asyncio.create_task(reads())
        exchange = await asked(provider)
        await asyncio.wait([task])
        with pytest.raises(LookupError):
            task.result()
        del task

        await exchange.wait_closed()
        span = await telemetry.span()
        assert sc.EVENT_UPSTREAM_CLOSED in events(span)
        assert (span.attributes or {})[sc.SOURCE] == "abandoned"
        assert at(provider).items() <= (span.attributes or {}).items()


class TestAiohttp:
    """``aiohttp_openai`` asks through a session of aiohttp's; LiteLLM does not stream it."""

    @pytest.fixture
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """LiteLLM's own is kept for the process, and bound to the loop that has it made."""
        async with aiohttp.ClientSession() as session:
            yield session

    def chat(self, provider: FakeProvider, session: aiohttp.ClientSession) -> Any:
        kwargs = {"api_base": f"{provider.base_url}/v1", "api_key": "fake-key", "client": session}
        return sdk.acompletion(model="aiohttp_openai/gpt-4o", messages=MESSAGES, **kwargs)

    @pytest.mark.parametrize("hang_at", ["before_headers", "before_first_chunk", 0])
    async def test_cancelled(
        self,
        telemetry: Telemetry,
        provider: FakeProvider,
        session: aiohttp.ClientSession,
        hang_at: HangAt,
    ) -> None:
        provider.script = Script(hang_at=hang_at)
        caller = Caller(self.chat(provider, session))
        exchange = await silent(provider)

        caller.task.cancel()

        assert isinstance(await caller.ended(), asyncio.CancelledError)
        await exchange.wait_closed()
        span = await telemetry.assert_one(
            external(), **{sc.PROVIDER: "aiohttp_openai", **at(provider)}
        )
        assert sc.EVENT_UPSTREAM_CLOSED in events(span)

    async def test_completed(
        self, telemetry: Telemetry, provider: FakeProvider, session: aiohttp.ClientSession
    ) -> None:
        answer = await self.chat(provider, session)

        assert answer.choices[0].message.content == provider.script.text
        assert telemetry.outcomes() == {"completed": 1}


async def test_what_httpx_sends_through_aiohttp_is_seen_once(
    telemetry: Telemetry, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    monkeypatch.setattr(sessions, "address_in", seen.append)

    caller = Caller(sdk.acompletion(**STREAMED[0].chat(provider.base_url)))

    assert await caller.ended() is None
    assert not seen
    assert telemetry.outcomes() == {"completed": 1}


@pytest.mark.skipif(OLD, reason="this LiteLLM asks Gemini for no image")
class TestInThread:
    """LiteLLM asks Gemini for an image in a thread, which no cancel reaches."""

    def image(self, provider: FakeProvider) -> Any:
        kwargs = litellm_kwargs("gemini", provider.base_url, "gemini-2.5-flash-image")
        return sdk.aimage_generation(**kwargs, prompt="hello")

    async def cancelled(self, provider: FakeProvider) -> Exchange:
        caller = Caller(self.image(provider), text=False)
        exchange = await silent(provider)
        caller.task.cancel()
        assert isinstance(await caller.ended(), asyncio.CancelledError)
        assert exchange.hanging
        return exchange

    async def test_span_says_that_it_goes_on_and_when_it_ended(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        provider.script = Script(hang_at="before_headers")
        exchange = await self.cancelled(provider)
        assert not telemetry.spans  # it waits for the close

        exchange.release()

        await exchange.wait_closed()
        span = await telemetry.assert_one(
            external(),
            **{sc.PROVIDER: "gcp.gemini", sc.UPSTREAM_UNSTOPPABLE: True, **at(provider)},
        )
        assert events(span)[-1] == sc.EVENT_UPSTREAM_CLOSED

    @pytest.mark.settings(upstream_wait=0)
    async def test_log_says_it_once(
        self, telemetry: Telemetry, provider: FakeProvider, caplog: pytest.LogCaptureFixture
    ) -> None:
        provider.script = Script(hang_at="before_headers")
        for _ in range(2):
            exchange = await self.cancelled(provider)
            exchange.release()
            await exchange.wait_closed()

        (said,) = (one for one in caplog.messages if "goes on" in one)
        assert "gcp.gemini" in said
        assert "image_generation" in said

    async def test_nothing_is_said_of_one_that_ended_by_itself(
        self, telemetry: Telemetry, provider: FakeProvider, caplog: pytest.LogCaptureFixture
    ) -> None:
        provider.script = Script(status=400)
        with pytest.raises(sdk.BadRequestError):
            await self.image(provider)

        assert telemetry.outcomes() == {"error": 1}
        assert not telemetry.spans
        assert not [one for one in caplog.messages if "goes on" in one]


async def test_what_a_hook_sends_in_a_thread_is_not_the_calls(
    telemetry: Telemetry, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hook(CustomLogger):
        async def async_pre_call_deployment_hook(
            self, kwargs: dict[str, Any], call_type: Any
        ) -> None:
            await asyncio.to_thread(httpx.get, f"{provider.base_url}/nobody", trust_env=False)
            hooked.set()
            await asyncio.Event().wait()

    hooked = asyncio.Event()
    monkeypatch.setattr(litellm, "callbacks", [Hook()])
    caller = Caller(sdk.acompletion(**STREAMED[0].chat(provider.base_url)))
    await hooked.wait()

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    span = await telemetry.span()
    assert sc.SERVER_PORT not in (span.attributes or {})
