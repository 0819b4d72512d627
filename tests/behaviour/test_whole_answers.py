"""A loop that stops at the finish_reason has the whole answer: the call is completed."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, Literal, get_args

import litellm
import pytest

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import FakeProvider, Script, Wire, litellm_kwargs
from litellm_cancel_otel._seams.facts import _is_whole, is_last
from support.calling import MESSAGES, Caller, chat, every_provider, needs_mcp
from support.telemetry import OLD, Telemetry, external

sdk: Any = litellm
Way = Literal["drop", "aclose", "cancel"]
every_way = pytest.mark.parametrize("way", get_args(Way))


def is_finished(chunk: Any) -> bool:
    """Return whether a chunk of a chat has its finish_reason, as an application's loop asks."""
    return any(choice.finish_reason for choice in chunk.choices)


def says_so(chunk: Any) -> bool:
    """Return whether a chunk of another operation is the provider's last word."""
    if isinstance(chunk, bytes):
        return b"message_stop" in chunk
    if isinstance(chunk, dict):
        return chunk.get("type") == "message_stop"
    return str(getattr(chunk.type, "value", chunk.type)) == "response.completed"


async def read_until(stream: AsyncIterator[Any], last: Any) -> None:
    """Read a stream up to the chunk at which ``last`` says so."""
    async for chunk in stream:
        if last(chunk):
            return
    raise AssertionError("no chunk was the last")


async def leave(call: Any, last: Any, way: Way) -> None:
    """Read a call's answer up to its last chunk, and leave its stream in this way."""
    left = asyncio.Event()

    async def reads() -> None:
        stream = await call
        await read_until(stream, last)
        if way == "aclose":
            await stream.aclose()
        elif way == "cancel":
            left.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(reads())
    if way == "cancel":
        async with asyncio.timeout(5):
            await left.wait()
        task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled() if way == "cancel" else task.exception() is None


def assert_completed(telemetry: Telemetry) -> None:
    assert telemetry.spans == []
    assert telemetry.outcomes() == {"completed": 1}
    assert telemetry.points(sc.CANCELLATIONS) == []
    telemetry.assert_nothing_open()


@pytest.mark.every_loop
@every_provider
@every_way
async def test_left_at_its_finish_reason(
    telemetry: Telemetry, provider: FakeProvider, name: Wire, way: Way
) -> None:
    if way == "aclose" and OLD:
        pytest.skip("this LiteLLM's stream has no aclose of its own")
    await leave(chat(provider, name, stream=True), is_finished, way)

    await telemetry.settled()
    await provider.wait_idle()
    assert_completed(telemetry)


@every_provider
async def test_left_before_its_finish_reason(
    telemetry: Telemetry, provider: FakeProvider, name: Wire
) -> None:
    provider.script = Script(hang_at=2)
    caller = Caller(chat(provider, name, stream=True))
    await caller.has(2)
    (exchange,) = provider.exchanges

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    await exchange.wait_closed()
    await telemetry.assert_one(external(phase="streaming"))


@pytest.mark.skipif(OLD, reason="this LiteLLM's stream has no aclose of its own")
@every_provider
async def test_closed_before_its_finish_reason(
    telemetry: Telemetry, provider: FakeProvider, name: Wire
) -> None:
    stream = await chat(provider, name, stream=True)
    await anext(stream)
    await stream.aclose()

    await provider.wait_idle()
    await telemetry.assert_one(external("aclose", "streaming", "aclose", "aclose"))


@needs_mcp
@pytest.mark.parametrize("name", ["openai", "azure"])
@pytest.mark.parametrize("way", ["drop", "cancel"])
async def test_response_left_at_its_last_event(
    telemetry: Telemetry, provider: FakeProvider, name: Wire, way: Way
) -> None:
    kwargs = litellm_kwargs(name, provider.base_url)
    await leave(sdk.aresponses(**kwargs, input="hello", stream=True), says_so, way)

    await telemetry.settled()
    assert_completed(telemetry)


@pytest.mark.parametrize("way", ["drop", "cancel"])
async def test_messages_left_at_their_last_event(
    telemetry: Telemetry, provider: FakeProvider, way: Way
) -> None:
    kwargs = litellm_kwargs("anthropic", provider.base_url)
    call = sdk.anthropic_messages(**kwargs, messages=MESSAGES, max_tokens=10, stream=True)
    await leave(call, says_so, way)

    await telemetry.settled()
    assert_completed(telemetry)


def chunk(*choices: tuple[int, str | None]) -> Any:
    return SimpleNamespace(
        choices=[SimpleNamespace(index=index, finish_reason=why) for index, why in choices]
    )


NO_INDEX = SimpleNamespace(choices=[SimpleNamespace(finish_reason="stop")])
USAGE = SimpleNamespace(choices=[], usage=SimpleNamespace(completion_tokens=2))


@pytest.mark.parametrize(
    ("chunks", "whole"),
    [
        ([], False),
        ([chunk((0, None))], False),
        ([chunk((0, None)), chunk((0, "stop"))], True),
        ([chunk((0, "stop")), USAGE], True),
        ([chunk((0, None)), NO_INDEX], True),
        ([chunk((0, None)), chunk((1, None)), chunk((0, "stop"))], False),
        ([chunk((0, "stop")), chunk((1, "stop"))], True),
        ([chunk((0, "stop"), (1, None))], False),
        ([chunk((0, "stop")), *[chunk((1, None))] * 20], False),
        ([USAGE], False),
        ([object()], False),
    ],
)
def test_whole(chunks: list[Any], whole: bool) -> None:
    assert _is_whole(chunks) is whole


@pytest.mark.parametrize(
    "said",
    [
        b'event: message_stop\ndata: {"type": "message_stop"}\n\n',
        b'data: {"choices": []}\n\ndata: [DONE]\n\n',
        "event: response.completed\ndata: {}\n\n",
        {"type": "message_stop"},
        {"type": "response.incomplete"},
        SimpleNamespace(type="response.completed"),
        SimpleNamespace(candidates=[SimpleNamespace(finish_reason="STOP")]),
        chunk((0, "stop")),
    ],
)
def test_last(said: object) -> None:
    assert is_last(said)


@pytest.mark.parametrize(
    "said",
    [
        b'data: {"text": "event: message_stop"}\n\n',
        "data: [DON",
        b"\xff",
        {"type": "content_block_delta"},
        {"choices": "not a list"},
        {},
        None,
        SimpleNamespace(type="response.output_text.delta"),
        SimpleNamespace(candidates=[SimpleNamespace(finish_reason=None)]),
        chunk((0, None)),
    ],
)
def test_not_last(said: object) -> None:
    assert not is_last(said)
