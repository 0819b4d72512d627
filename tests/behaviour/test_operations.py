"""Every operation is seen, under its own name, with LiteLLM's own id to join on."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import FakeProvider, Script, Wire, litellm_kwargs
from support.calling import MESSAGES, Caller, needs_botocore, needs_mcp, silent
from support.telemetry import LOGS_SPEECH, Telemetry, external

sdk: Any = litellm


def case(
    call: str,
    operation: str,
    name: Wire,
    model: str | None = None,
    *,
    prefix: str = "",
    marks: Any = (),
    **more: Any,
) -> Any:
    """Return one row: how it is called, what it is called in telemetry, by which provider."""
    shown = f"{call}-{prefix or name}" + ("-stream" if more.get("stream") else "")
    return pytest.param(call, operation, name, model, prefix, more, id=shown, marks=marks)


AUDIO = ("a.wav", b"RIFF")
CASES = [
    case("acompletion", "chat", "azure", messages=MESSAGES),
    case("acompletion", "chat", "anthropic", messages=MESSAGES, stream=True),
    case(
        "acompletion",
        "chat",
        "bedrock",
        "invoke/anthropic.claude-3-5-sonnet-20240620-v1:0",
        messages=MESSAGES,
        marks=needs_botocore,
    ),
    case("atext_completion", "text_completion", "openai", prompt="hello"),
    case(
        "atext_completion",
        "text_completion",
        "azure",
        "gpt-3.5-turbo-instruct",
        prefix="azure_text",
        prompt="hello",
        stream=True,
    ),
    case("aembedding", "embeddings", "openai", "text-embedding-3-small", input=["hello"]),
    case("aembedding", "embeddings", "azure", "text-embedding-3-small", input=["hello"]),
    case(
        "aembedding",
        "embeddings",
        "bedrock",
        "amazon.titan-embed-text-v2:0",
        input=["hello"],
        marks=needs_botocore,
    ),
    case("aresponses", "responses", "openai", input="hello", marks=needs_mcp),
    case("aresponses", "responses", "azure", input="hello", stream=True, marks=needs_mcp),
    case("aresponses", "responses", "anthropic", input="hello", marks=needs_mcp),
    case("anthropic_messages", "messages", "anthropic", messages=MESSAGES, max_tokens=10),
    case("aimage_generation", "image_generation", "openai", "dall-e-3", prompt="hello"),
    case("aimage_generation", "image_generation", "azure", "dall-e-3", prompt="hello"),
    case("atranscription", "transcription", "openai", "whisper-1", file=AUDIO),
    case("atranscription", "transcription", "azure", "whisper-1", file=AUDIO),
    case("aspeech", "speech", "openai", "tts-1", input="hello", voice="alloy"),
    case("aspeech", "speech", "azure", "tts-1", input="hello", voice="alloy"),
]
every_case = pytest.mark.parametrize(
    ("call", "operation", "name", "model", "prefix", "more"), CASES
)
pytestmark = [
    pytest.mark.every_loop,
    # LiteLLM makes a client for each text completion, and leaves it to the garbage collector.
    pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning"),
]


def made(
    provider: FakeProvider, call: str, name: Wire, model: str | None, prefix: str, more: Any
) -> Coroutine[Any, Any, Any]:
    """Return the call, not awaited yet."""
    kwargs = litellm_kwargs(name, provider.base_url, model)
    if prefix:
        kwargs["model"] = f"{prefix}/{model}"
    function: Callable[..., Coroutine[Any, Any, Any]] = getattr(sdk, call)
    return function(**kwargs, **more)


class Ids(CustomLogger):
    """LiteLLM's own word of which calls it made."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def log_pre_api_call(self, model: str, messages: Any, kwargs: dict[str, Any]) -> None:
        self.seen.add(kwargs["litellm_call_id"])


@every_case
async def test_completed(
    telemetry: Telemetry,
    provider: FakeProvider,
    call: str,
    operation: str,
    name: Wire,
    model: str | None,
    prefix: str,
    more: dict[str, Any],
) -> None:
    answer = await made(provider, call, name, model, prefix, more)
    if more.get("stream"):
        assert [chunk async for chunk in answer]

    ((attributes, count),) = telemetry.points(sc.CALLS)
    assert count == 1
    assert attributes == {
        sc.OUTCOME: "completed",
        sc.OPERATION: operation,
        sc.PROVIDER: sc.provider_name(name),
        sc.REQUEST_MODEL: attributes[sc.REQUEST_MODEL],
    }
    assert provider.exchanges[0].model in attributes[sc.REQUEST_MODEL]


@every_case
async def test_cancelled(
    telemetry: Telemetry,
    provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    operation: str,
    name: Wire,
    model: str | None,
    prefix: str,
    more: dict[str, Any],
) -> None:
    ids = Ids()
    monkeypatch.setattr(litellm, "callbacks", [ids])
    provider.script = Script(hang_at="before_headers")
    try:
        caller = Caller(made(provider, call, name, model, prefix, more))
        exchange = await silent(provider)

        caller.task.cancel()

        assert isinstance(await caller.ended(), asyncio.CancelledError)
        assert caller.around.passed_on
        await exchange.wait_closed()
    finally:
        sdk.logging_callback_manager._reset_all_callbacks()
    host, port = provider.base_url.removeprefix("http://").split(":")
    span = await telemetry.assert_one(
        external(),
        **{
            sc.OPERATION: operation,
            sc.PROVIDER: sc.provider_name(name),
            sc.REQUEST_STREAM: more.get("stream", False),
            sc.SERVER_ADDRESS: host,
            sc.SERVER_PORT: int(port),
        },
    )
    if ids.seen or LOGS_SPEECH or call not in ("aspeech", "aimage_generation"):
        assert (span.attributes or {})[sc.CALL_ID] in ids.seen


async def test_moderation(
    telemetry: Telemetry, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # LiteLLM 1.72 does not pass the address on.
    monkeypatch.setenv("OPENAI_BASE_URL", f"{provider.base_url}/v1")
    provider.script = Script(hang_at="before_headers")
    kwargs = litellm_kwargs("openai", provider.base_url, "omni-moderation-latest")
    caller = Caller(sdk.amoderation(**{**kwargs, "input": "hello"}))
    exchange = await silent(provider)

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    await exchange.wait_closed()
    await telemetry.assert_one(external(), **{sc.OPERATION: "moderation"})
