"""Calls that are not streamed, and calls up to their stream: every way to end, seen once."""

import asyncio
from typing import Any

import litellm
import openai
import pytest
from litellm.integrations.custom_logger import CustomLogger
from opentelemetry.trace import SpanKind

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import (
    Ending,
    FakeProvider,
    HangAt,
    Script,
    Wire,
    litellm_kwargs,
)
from support.calling import (
    MESSAGES,
    Caller,
    arguments,
    chat,
    every_provider,
    silent,
    streamed_or_not,
)
from support.cancels import leave_stale_count
from support.telemetry import Telemetry, external

sdk: Any = litellm
pytestmark = pytest.mark.every_loop


@every_provider
async def test_completed(telemetry: Telemetry, provider: FakeProvider, name: Wire) -> None:
    answer = await chat(provider, name)

    assert answer.choices[0].message.content == provider.script.text
    assert telemetry.outcomes() == {"completed": 1}
    assert telemetry.spans == []


@pytest.mark.settings(spans="all")
@every_provider
async def test_completed_with_a_span(
    telemetry: Telemetry, provider: FakeProvider, name: Wire
) -> None:
    await chat(provider, name)

    said = (await telemetry.span()).attributes or {}
    assert said[sc.RESPONSE_MODEL]
    assert said[sc.OUTPUT_TOKENS] == provider.script.pieces
    assert sc.CANCELLATION_TYPE not in said


@every_provider
@streamed_or_not
@pytest.mark.parametrize("status", [429, 500])
async def test_error_status(
    telemetry: Telemetry, provider: FakeProvider, name: Wire, stream: bool, status: int
) -> None:
    provider.script = Script(status=status)

    error = await Caller(chat(provider, name, stream=stream)).ended()

    assert isinstance(error, openai.APIError)  # the base of every error of LiteLLM's
    assert telemetry.outcomes() == {"error": 1}
    assert telemetry.spans == []


@every_provider
@pytest.mark.parametrize("ending", ["fin", "rst", "half_chunk", "rubbish"])
async def test_answer_that_breaks_off(
    telemetry: Telemetry, provider: FakeProvider, name: Wire, ending: Ending
) -> None:
    provider.script = Script(chunks=3, ending=ending)

    assert await Caller(chat(provider, name)).ended() is not None

    assert telemetry.outcomes() == {"error": 1}
    assert telemetry.spans == []


@every_provider
@pytest.mark.parametrize("hang_at", ["before_headers", "before_first_chunk", 1])
async def test_cancelled(
    telemetry: Telemetry, provider: FakeProvider, name: Wire, hang_at: HangAt
) -> None:
    provider.script = Script(hang_at=hang_at)
    caller = Caller(chat(provider, name))
    exchange = await silent(provider)

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert caller.around.passed_on
    await exchange.wait_closed()
    assert exchange.closed_by == "client"
    await telemetry.assert_one(external(), **{sc.CHUNKS: 0, sc.REQUEST_STREAM: False})


@every_provider
async def test_cancelled_stream_before_its_headers(
    telemetry: Telemetry, provider: FakeProvider, name: Wire
) -> None:
    provider.script = Script(hang_at="before_headers")
    caller = Caller(chat(provider, name, stream=True))
    exchange = await silent(provider)

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert caller.around.passed_on
    await exchange.wait_closed()
    await telemetry.assert_one(external(), **{sc.CHUNKS: 0, sc.REQUEST_STREAM: True})


async def test_never_awaited(telemetry: Telemetry, provider: FakeProvider) -> None:
    call = chat(provider, "openai")
    call.close()

    assert telemetry.outcomes() == {}


class Ids(CustomLogger):
    """LiteLLM's own word of which calls it made."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def log_pre_api_call(self, model: str, messages: Any, kwargs: dict[str, Any]) -> None:
        self.seen.append(kwargs["litellm_call_id"])


@every_provider
@streamed_or_not
async def test_says_what_was_called(
    telemetry: Telemetry,
    provider: FakeProvider,
    name: Wire,
    stream: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = Ids()
    monkeypatch.setattr(litellm, "callbacks", [ids])
    provider.script = Script(hang_at="before_headers")
    caller = Caller(chat(provider, name, stream=stream))
    exchange = await silent(provider)
    caller.task.cancel()
    await caller.ended()

    span = await telemetry.span()

    said = dict(span.attributes or {})
    assert span.name == f"chat {exchange.model}"
    assert (span.kind, span.parent) == (SpanKind.CLIENT, None)
    assert said[sc.OPERATION] == "chat"
    assert said[sc.PROVIDER] == sc.provider_name(name)
    assert said[sc.REQUEST_MODEL] == exchange.model
    assert said[sc.REQUEST_STREAM] is stream
    assert f"http://{said[sc.SERVER_ADDRESS]}:{said[sc.SERVER_PORT]}" == provider.base_url
    assert ids.seen == [said[sc.CALL_ID]]


async def test_span_is_the_child_of_the_callers_span(
    telemetry: Telemetry, provider: FakeProvider
) -> None:
    provider.script = Script(hang_at="before_headers")
    tracer = telemetry.tracer_provider.get_tracer("application")
    with tracer.start_as_current_span("request", end_on_exit=False) as request:
        caller = Caller(chat(provider, "openai"))
    await silent(provider)
    caller.task.cancel()
    await caller.ended()

    span = await telemetry.span()

    assert span.parent == request.get_span_context()


async def test_content_and_keys_stay_out(telemetry: Telemetry, provider: FakeProvider) -> None:
    provider.script = Script(hang_at=2)
    caller = Caller(chat(provider, "openai", stream=True, user="a-user"))
    await caller.has(2)
    caller.task.cancel("a message of the application's")
    await caller.ended()

    said = (await telemetry.span()).to_json()

    for secret in ("hello", "word", "fake-key", "a-user", "a message"):
        assert secret not in said


async def test_call_in_a_child_task(telemetry: Telemetry, provider: FakeProvider) -> None:
    provider.script = Script(hang_at="before_headers")
    child = Caller(chat(provider, "openai"))

    async def parent() -> None:
        await child.task

    waiting = asyncio.create_task(parent())
    await silent(provider)
    waiting.cancel()

    assert isinstance(await child.ended(), asyncio.CancelledError)
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    await telemetry.assert_one(external())


async def test_call_made_within_a_call_by_a_task_of_its_own(
    telemetry: Telemetry, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    within: list[asyncio.Task[Any]] = []

    class Asks(CustomLogger):
        asked = False

        async def async_pre_call_deployment_hook(self, kwargs: Any, call_type: Any) -> Any:
            if not self.asked:
                self.asked = True
                within.append(asyncio.create_task(chat(provider, "anthropic")))
            return kwargs

    monkeypatch.setattr(litellm, "callbacks", [Asks()])

    await chat(provider, "openai")
    await within[0]

    assert telemetry.outcomes() == {"completed": 2}


async def test_bridged_call_is_one(telemetry: Telemetry, provider: FakeProvider) -> None:
    kwargs = litellm_kwargs("anthropic", provider.base_url)

    await sdk.atext_completion(**kwargs, prompt="hello", max_retries=0)

    assert telemetry.outcomes() == {"completed": 1}
    ((attributes, _),) = telemetry.points(sc.CALLS)
    assert attributes[sc.OPERATION] == "text_completion"


@streamed_or_not
async def test_bridged_call_is_cancelled_once(
    telemetry: Telemetry, provider: FakeProvider, stream: bool
) -> None:
    provider.script = Script(hang_at="before_headers")
    kwargs = litellm_kwargs("anthropic", provider.base_url)
    caller = Caller(sdk.atext_completion(**kwargs, prompt="hello", stream=stream))
    exchange = await silent(provider)

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    await exchange.wait_closed()
    await telemetry.assert_one(external(), **{sc.OPERATION: "text_completion"})


def model(provider: FakeProvider, name: str, wire: Wire, **more: Any) -> dict[str, Any]:
    """Return one entry of a router's list of models."""
    params = {**litellm_kwargs(wire, provider.base_url), "max_retries": 0, **more}
    return {"model_name": name, "litellm_params": params}


@every_provider
async def test_router(telemetry: Telemetry, provider: FakeProvider, name: Wire) -> None:
    router = sdk.Router(model_list=[model(provider, "mine", name)], num_retries=0)

    answer = await router.acompletion("mine", messages=MESSAGES)

    assert answer.choices[0].message.content == provider.script.text
    assert telemetry.outcomes() == {"completed": 1}


@every_provider
@streamed_or_not
async def test_cancelled_router(
    telemetry: Telemetry, provider: FakeProvider, name: Wire, stream: bool
) -> None:
    provider.script = Script(hang_at="before_headers")
    router = sdk.Router(
        model_list=[model(provider, "mine", name), model(provider, "other", "openai")],
        fallbacks=[{"mine": ["other"]}],
        num_retries=2,
    )
    caller = Caller(router.acompletion("mine", messages=MESSAGES, stream=stream))
    exchange = await silent(provider)

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert caller.around.passed_on
    await exchange.wait_closed()
    assert provider.exchanges == [exchange]
    await telemetry.assert_one(external())


async def test_each_fallback_is_a_call(telemetry: Telemetry, provider: FakeProvider) -> None:
    provider.scripts["bad"] = Script(status=500)
    good = arguments(provider, "openai")
    bad = litellm_kwargs("openai", provider.base_url, "bad")

    await sdk.acompletion(**{**good, **bad}, fallbacks=[good])

    assert telemetry.outcomes() == {"error": 1, "completed": 1}


async def test_cancel_ends_the_fallbacks(telemetry: Telemetry, provider: FakeProvider) -> None:
    provider.script = Script(hang_at="before_headers")
    kwargs = arguments(provider, "openai")
    caller = Caller(sdk.acompletion(**kwargs, fallbacks=[kwargs]))
    exchange = await silent(provider)

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    await exchange.wait_closed()
    assert provider.exchanges == [exchange]
    await telemetry.assert_one(external())


async def test_retried_call_is_one(telemetry: Telemetry, provider: FakeProvider) -> None:
    provider.script = Script(status=500)
    caller = Caller(chat(provider, "openai", num_retries=1))
    await (await provider.next_exchange()).wait_closed()
    provider.script = Script()

    assert await caller.ended() is None

    assert len(provider.exchanges) == 2
    assert telemetry.outcomes() == {"completed": 1}


async def test_cancel_during_a_retry(telemetry: Telemetry, provider: FakeProvider) -> None:
    provider.script = Script(status=500)
    caller = Caller(chat(provider, "openai", num_retries=1))
    await (await provider.next_exchange()).wait_closed()
    provider.script = Script(hang_at="before_headers")
    exchange = await silent(provider)

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    await exchange.wait_closed()
    assert len(provider.exchanges) == 2
    await telemetry.assert_one(external())


async def test_unknown_model(telemetry: Telemetry) -> None:
    with pytest.raises(sdk.BadRequestError):
        await sdk.acompletion(model="no-such-model", messages=MESSAGES)

    ((attributes, count),) = telemetry.points(sc.CALLS)
    assert (attributes[sc.OUTCOME], attributes[sc.PROVIDER], count) == ("error", "unknown", 1)


async def test_cancelled_in_a_task_with_a_stale_count(
    telemetry: Telemetry, provider: FakeProvider
) -> None:
    """An earlier cancel, swallowed by the application, is no evidence: the call completes."""

    async def swallows_and_calls() -> Any:
        await leave_stale_count()
        return await chat(provider, "openai")

    assert await Caller(swallows_and_calls()).ended() is None

    assert telemetry.outcomes() == {"completed": 1}
    assert telemetry.points(sc.SWALLOWED) == []
