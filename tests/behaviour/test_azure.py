"""Azure's handlers: the caller's cancel comes out as it went in, an internal one as an error."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import litellm
import openai
import pytest
from litellm.integrations.custom_logger import CustomLogger
from litellm.litellm_core_utils.litellm_logging import Logging
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

from litellm_cancel_otel._asyncio.cancels import cancelled_within
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import FakeProvider, Script, Wire, litellm_kwargs
from litellm_cancel_otel._demo.fakes.board import Board
from support.calling import (
    MESSAGES,
    Caller,
    arguments,
    chat,
    needs_botocore,
    silent,
    streamed_or_not,
)
from support.cancels import leave_stale_count
from support.telemetry import LOGS_SPEECH, OLD, Telemetry, cancel_of, external, internal
from support.transports import Dying, session

sdk: Any = litellm
pytestmark = pytest.mark.every_loop

Operation = Callable[[dict[str, Any]], Coroutine[Any, Any, Any]]


def _of(call: Any, model: str, prefix: str = "azure", **more: Any) -> Operation:
    def operation(kwargs: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        where = {**kwargs, "model": f"{prefix}/{model}", "max_retries": 0}
        made: Coroutine[Any, Any, Any] = call(**where, **more)
        return made

    return operation


OPERATIONS = {
    "chat": _of(sdk.acompletion, "gpt-4o", messages=MESSAGES),
    "chat_stream": _of(sdk.acompletion, "gpt-4o", messages=MESSAGES, stream=True),
    "text": _of(sdk.atext_completion, "gpt-3.5-turbo-instruct", "azure_text", prompt="hello"),
    "text_stream": _of(
        sdk.atext_completion, "gpt-3.5-turbo-instruct", "azure_text", prompt="hello", stream=True
    ),
    "embedding": _of(sdk.aembedding, "text-embedding-3-small", input=["hello"]),
    "image": _of(sdk.aimage_generation, "dall-e-3", prompt="hello"),
    "transcription": _of(sdk.atranscription, "whisper-1", file=("a.wav", b"RIFF")),
    "speech": _of(sdk.aspeech, "tts-1", input="hello", voice="alloy"),
}
every_operation = pytest.mark.parametrize("operation", OPERATIONS)
every_logged_operation = pytest.mark.parametrize(
    "operation", [name for name in OPERATIONS if LOGS_SPEECH or name != "speech"]
)


@pytest.fixture(params=["aiohttp", "httpx"])
async def dying(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Dying]:
    """Where exchanges die inside LiteLLM's HTTP client; nowhere, until a test says so."""
    dying = Dying("nowhere")
    client = session(request.param, dying)
    shared: Any = sdk.module_level_aclient  # made now, and not of what dies
    # Azure's images go through LiteLLM's own handler, which makes its client itself.
    monkeypatch.setattr(
        AsyncHTTPHandler, "create_client", lambda *_, **__: session(request.param, dying)
    )
    anthropics = session(request.param, dying)  # until LiteLLM 1.92
    monkeypatch.setattr(shared, "client", anthropics)
    monkeypatch.setattr(litellm, "aclient_session", client)
    monkeypatch.setattr(litellm, "disable_aiohttp_transport", request.param == "httpx")
    # Where LiteLLM leaves retries to the openai SDK: without its pauses.
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.0)
    yield dying
    await client.aclose()
    await anthropics.aclose()


@every_operation
async def test_the_callers_cancel(
    telemetry: Telemetry, provider: FakeProvider, operation: str
) -> None:
    provider.script = Script(hang_at="before_headers")
    caller = Caller(OPERATIONS[operation](litellm_kwargs("azure", provider.base_url)))
    exchange = await silent(provider)

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert caller.around.passed_on
    await exchange.wait_closed()
    await telemetry.assert_one(external())


@every_operation
async def test_wait_for(telemetry: Telemetry, provider: FakeProvider, operation: str) -> None:
    provider.script = Script(hang_at="before_headers")
    kwargs = litellm_kwargs("azure", provider.base_url)

    with pytest.raises(TimeoutError) as told:
        await asyncio.wait_for(OPERATIONS[operation](kwargs), 0.2)

    assert type(told.value) is TimeoutError
    await telemetry.assert_one(external("deadline"))


@every_operation
@pytest.mark.parametrize("place", ["connect", "body"])
async def test_internal_cancel(
    telemetry: Telemetry, provider: FakeProvider, dying: Dying, operation: str, place: Any
) -> None:
    if place == "body":
        provider.script = Script(hang_at="before_first_chunk")
    dying.place = place
    caller = Caller(OPERATIONS[operation](litellm_kwargs("azure", provider.base_url)))

    error = await caller.ended()

    assert isinstance(error, openai.APIError)  # the base of every error of LiteLLM's
    assert cancelled_within(error) is not None
    assert caller.task.cancelling() == 0
    await telemetry.assert_one(internal("azure"), **{sc.PROVIDER: "azure.ai.openai"})


@pytest.mark.parametrize("operation", ["chat", "chat_stream"])
async def test_internal_cancels_type_is_the_same_over_each_transport(
    telemetry: Telemetry, provider: FakeProvider, dying: Dying, operation: str
) -> None:
    dying.place = "connect"

    await Caller(OPERATIONS[operation](litellm_kwargs("azure", provider.base_url))).ended()

    await telemetry.assert_one(internal("azure"), **{sc.ERROR_TYPE: "CancelledError"})


@streamed_or_not
async def test_internal_cancel_in_a_task_with_a_stale_count(
    telemetry: Telemetry, provider: FakeProvider, dying: Dying, stream: bool
) -> None:
    """An earlier cancel, which the application swallowed, makes this one no more external."""
    dying.place = "connect"

    async def swallows_and_calls() -> Any:
        await leave_stale_count()
        return await chat(provider, "azure", stream=stream)

    caller = Caller(swallows_and_calls())

    assert isinstance(await caller.ended(), openai.APIError)
    assert caller.task.cancelling() == 1
    await telemetry.assert_one(internal("azure"))


@pytest.mark.parametrize("operation", ["chat_stream", "text_stream"])
async def test_internal_cancel_in_the_middle(
    telemetry: Telemetry, provider: FakeProvider, dying: Dying, operation: str
) -> None:
    provider.script = Script(hang_at=2)
    dying.place = "rest"
    caller = Caller(OPERATIONS[operation](litellm_kwargs("azure", provider.base_url)))

    error = await caller.ended()

    assert isinstance(error, openai.APIError)
    assert cancelled_within(error) is not None
    assert caller.chunks
    await telemetry.assert_one(internal("azure", "streaming"), **{sc.CHUNKS: caller.chunks})


@pytest.mark.parametrize(
    "name", ["openai", "anthropic", pytest.param("bedrock", marks=needs_botocore)]
)
async def test_internal_cancel_in_the_middle_elsewhere(
    telemetry: Telemetry, provider: FakeProvider, dying: Dying, name: Wire
) -> None:
    provider.script = Script(hang_at=2)
    dying.place = "rest"
    caller = Caller(chat(provider, name, stream=True))

    error = await caller.ended()

    assert isinstance(error, openai.APIError)
    assert cancelled_within(error) is not None
    # LiteLLM of before 1.101 reads Bedrock's first bytes before it returns the stream.
    await telemetry.assert_one(internal(name, "streaming" if caller.chunks else "request"))


@pytest.mark.skipif(OLD, reason="this LiteLLM raises whatever it makes of the error")
async def test_stream_that_litellm_ends_without_a_word_ends_by_the_error(
    telemetry: Telemetry, provider: FakeProvider, dying: Dying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiteLLM 1.77.0 does not raise an error that is one of its own, and goes on."""
    monkeypatch.setattr(
        "litellm.litellm_core_utils.streaming_handler.exception_type", lambda *_, **__: None
    )
    provider.script = Script(hang_at=2)
    dying.place = "rest"
    caller = Caller(chat(provider, "openai", stream=True))

    assert isinstance(await caller.ended(), openai.APIError)
    await telemetry.assert_one(internal("openai", "streaming"))


async def test_internal_cancel_is_retried(
    telemetry: Telemetry, provider: FakeProvider, dying: Dying
) -> None:
    provider.script = Script(hang_at="before_first_chunk")
    dying.place, dying.times = "body", 1
    caller = Caller(chat(provider, "azure", num_retries=1))
    await provider.next_exchange()
    (await provider.next_exchange()).release()

    assert await caller.ended() is None
    assert telemetry.outcomes() == {"cancelled": 1, "completed": 1}


@pytest.mark.skipif(OLD, reason="this LiteLLM tries once more, and waits for nothing")
async def test_cancel_between_two_retries_of_an_internal_cancel(
    telemetry: Telemetry,
    provider: FakeProvider,
    dying: Dying,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The retries are one call, which begins after the cancel; it is cancelled in its backoff."""
    sleep = asyncio.sleep

    async def told(delay: float, result: Any = None) -> Any:
        if sys._getframe(1).f_globals["__name__"].startswith("tenacity"):
            caller.task.cancel()
        return await sleep(delay, result)

    monkeypatch.setattr(asyncio, "sleep", told)
    provider.script = Script(hang_at="before_first_chunk")
    dying.place, dying.times = "body", 1
    caller = Caller(chat(provider, "azure", num_retries=2))
    await provider.next_exchange()
    provider.script = Script(status=500)

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert caller.around.passed_on
    await telemetry.settled()
    cancels = [cancel_of(span.attributes or {}) for span in telemetry.spans]
    assert cancels == [internal("azure"), external(phase="backoff")]


def router(provider: FakeProvider) -> Any:
    """Return a router whose Azure deployment has an answer of LiteLLM's own to fall back on."""
    first = {**arguments(provider, "azure"), "messages": None}
    other = {"model": "gpt-4o", "mock_response": "fallback"}
    return sdk.Router(
        model_list=[
            {"model_name": "first", "litellm_params": first},
            {"model_name": "other", "litellm_params": other},
        ],
        fallbacks=[{"first": ["other"]}],
        num_retries=0,
    )


@streamed_or_not
async def test_router_falls_back_on_an_internal_cancel(
    telemetry: Telemetry, provider: FakeProvider, dying: Dying, stream: bool
) -> None:
    dying.place = "connect"

    caller = Caller(router(provider).acompletion("first", messages=MESSAGES, stream=stream))

    assert await caller.ended() is None
    assert provider.exchanges == []
    assert telemetry.outcomes() == {"cancelled": 1, "completed": 1}


@streamed_or_not
async def test_router_does_not_fall_back_on_the_callers_cancel(
    telemetry: Telemetry, provider: FakeProvider, dying: Dying, stream: bool
) -> None:
    provider.script = Script(hang_at="before_headers")
    caller = Caller(router(provider).acompletion("first", messages=MESSAGES, stream=stream))
    await silent(provider)

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert len(provider.exchanges) == 1
    await telemetry.assert_one(external())


async def test_router_does_not_fall_back_on_a_deadline(
    telemetry: Telemetry, provider: FakeProvider
) -> None:
    provider.script = Script(hang_at="before_headers")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(router(provider).acompletion("first", messages=MESSAGES), 0.2)

    assert len(provider.exchanges) == 1
    await telemetry.assert_one(external("deadline"))


class Logged:
    """What LiteLLM's log was told after the provider had answered, or had not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.types: list[str] = []
        post_call: Any = Logging.post_call

        def told(logging: Any, *args: Any, **kwargs: Any) -> Any:
            details = kwargs.get("additional_args") or {}
            if "cancellation_type" in details:
                self.types.append(details["cancellation_type"])
            return post_call(logging, *args, **kwargs)

        monkeypatch.setattr(Logging, "post_call", told)


@every_logged_operation
async def test_log_is_told_of_the_callers_cancel(
    telemetry: Telemetry,
    provider: FakeProvider,
    operation: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logged = Logged(monkeypatch)
    provider.script = Script(hang_at="before_headers")
    caller = Caller(OPERATIONS[operation](litellm_kwargs("azure", provider.base_url)))
    await silent(provider)

    caller.task.cancel()
    await caller.ended()

    assert logged.types == ["external"]


@every_logged_operation
async def test_log_is_told_of_an_internal_cancel(
    telemetry: Telemetry,
    provider: FakeProvider,
    dying: Dying,
    operation: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logged = Logged(monkeypatch)
    dying.place = "connect"
    caller = Caller(OPERATIONS[operation](litellm_kwargs("azure", provider.base_url)))

    await caller.ended()

    assert logged.types == ["azure_internal"]


class Failures(CustomLogger):
    """LiteLLM's own word of the calls that failed."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []
        self._board = Board()

    async def told_of_one(self) -> Any:
        """Return the exception of the first call that failed."""
        await self._board.until(lambda: bool(self.told), "LiteLLM's callback", 5)
        return self.told[0]

    async def async_log_failure_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self.told.append(kwargs.get("exception"))
        self._board.announce()


async def test_litellms_callbacks_are_told_of_an_internal_cancel(
    telemetry: Telemetry,
    provider: FakeProvider,
    dying: Dying,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = Failures()
    monkeypatch.setattr(litellm, "callbacks", [failures])
    dying.place = "connect"
    try:
        await Caller(chat(provider, "azure")).ended()
        told = await failures.told_of_one()
    finally:
        sdk.logging_callback_manager._reset_all_callbacks()

    assert cancelled_within(told) is not None
