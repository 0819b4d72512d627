"""Streams: every way in which one ends, seen once, with the provider's connection closed."""

import asyncio
import gc
import inspect
from collections.abc import AsyncIterator
from typing import Any

import litellm
import pytest

from litellm_cancel_otel._calls.description import Known
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import Ending, FakeProvider, HangAt, Script, Wire
from litellm_cancel_otel._seams.streams import watch_result
from support.calling import Caller, chat, every_provider, silent
from support.recording import FACTS
from support.streams import Answers
from support.telemetry import OLD, Telemetry, assert_in_order, events, external

sdk: Any = litellm
MANY = 20
"""Pieces of text that fill the largest buffer on the way: a KiB, for Bedrock on LiteLLM 1.72."""

pytestmark = pytest.mark.every_loop


async def read(stream: Any, pieces: int) -> str:
    """Return so many pieces of a stream's text."""
    text: list[str] = []
    while len(text) < pieces:
        chunk = await anext(stream)
        if chunk.choices and chunk.choices[0].delta.content:
            text.append(chunk.choices[0].delta.content)
    return "".join(text)


@every_provider
async def test_completed(telemetry: Telemetry, provider: FakeProvider, name: Wire) -> None:
    caller = Caller(chat(provider, name, stream=True))

    assert await caller.ended() is None

    assert caller.task.result() == provider.script.text
    assert telemetry.outcomes() == {"completed": 1}
    assert telemetry.spans == []


@pytest.mark.settings(spans="all")
@every_provider
async def test_completed_with_a_span(
    telemetry: Telemetry, provider: FakeProvider, name: Wire
) -> None:
    caller = Caller(chat(provider, name, stream=True))
    await caller.ended()

    span = await telemetry.span()

    said = span.attributes or {}
    assert said[sc.CHUNKS] == caller.chunks
    assert said[sc.RESPONSE_MODEL]
    assert sc.CANCELLATION_TYPE not in said
    assert span.status.status_code.name == "UNSET"
    assert events(span) == [sc.EVENT_FIRST_CHUNK]
    assert_in_order(span)


@every_provider
async def test_is_litellms_own_stream(
    telemetry: Telemetry, provider: FakeProvider, name: Wire
) -> None:
    stream = await chat(provider, name, stream=True)

    assert isinstance(stream, sdk.CustomStreamWrapper)
    assert type(stream).__name__ == "CustomStreamWrapper"
    assert stream.model == provider.exchanges[0].model
    assert telemetry.open_streams() == 1
    assert [chunk async for chunk in stream]
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


@every_provider
@pytest.mark.parametrize("ending", ["fin", "rst", "half_chunk", "rubbish"])
async def test_answer_that_breaks_off(
    telemetry: Telemetry, provider: FakeProvider, name: Wire, ending: Ending
) -> None:
    provider.script = Script(chunks=3, ending=ending)

    error = await Caller(chat(provider, name, stream=True)).ended()

    # LiteLLM takes some for an answer that is complete; what the caller got is what is told.
    assert telemetry.outcomes() == {"completed" if error is None else "error": 1}
    assert not isinstance(error, asyncio.CancelledError)


@every_provider
@pytest.mark.parametrize("hang_at", ["before_first_chunk", MANY])
async def test_cancelled_while_it_waits(
    telemetry: Telemetry, provider: FakeProvider, name: Wire, hang_at: HangAt
) -> None:
    provider.script = Script(chunks=MANY, hang_at=hang_at)
    caller = Caller(chat(provider, name, stream=True))
    exchange = await silent(provider)
    streaming = hang_at == MANY
    if streaming:
        await caller.has(2)

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert caller.around.passed_on
    await exchange.wait_closed()
    assert exchange.closed_by == "client"
    span = await telemetry.assert_one(
        external(phase="streaming" if streaming else "request"), **{sc.CHUNKS: caller.chunks}
    )
    first = [sc.EVENT_FIRST_CHUNK] if streaming else []
    assert [name for name in events(span) if name != sc.EVENT_UPSTREAM_CLOSED] == [
        *first,
        sc.EVENT_DISCONNECT,
        sc.EVENT_CANCEL_DELIVERED,
    ]
    assert sc.EVENT_UPSTREAM_CLOSED in events(span)


@every_provider
async def test_cancelled_between_chunks(
    telemetry: Telemetry, provider: FakeProvider, name: Wire
) -> None:
    """The cancel lands in the application's own await; the stream is dropped as that unwinds."""
    provider.script = Script(chunks=None)
    arrived = asyncio.Event()

    async def consumer() -> None:
        async for _ in await chat(provider, name, stream=True):
            arrived.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(consumer())
    await arrived.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    del task
    gc.collect()

    await provider.exchanges[0].wait_closed()
    await telemetry.assert_one(external("task_cancel", "streaming", "cancel", "exception"))


@every_provider
async def test_told_to_stop_with_a_backlog(
    telemetry: Telemetry, provider: FakeProvider, name: Wire
) -> None:
    """Buffered chunks need no suspension: the cancel comes where the next one is waited for."""
    provider.script = Script(chunks=30, hang_at=30, burst=True)
    caller: Caller

    async def tells() -> AsyncIterator[Any]:
        first = True
        async for chunk in await chat(provider, name, stream=True):
            if first:
                caller.task.cancel()
                first = False
            yield chunk

    async def call() -> Any:
        return tells()

    caller = Caller(call())

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert caller.around.passed_on
    await provider.exchanges[0].wait_closed()
    await telemetry.assert_one(external(phase="streaming"))


@every_provider
@pytest.mark.parametrize("pieces", [0, 2])
async def test_aclose(
    telemetry: Telemetry, provider: FakeProvider, name: Wire, pieces: int
) -> None:
    provider.script = Script(chunks=None)
    stream = await chat(provider, name, stream=True)
    await read(stream, pieces)

    await stream.aclose()

    await provider.exchanges[0].wait_closed()
    await telemetry.assert_one(
        external("aclose", "streaming" if pieces else "request", "aclose", "aclose")
    )
    await stream.aclose()  # a second one changes nothing


@every_provider
@pytest.mark.parametrize("pieces", [0, 2])
async def test_dropped(
    telemetry: Telemetry, provider: FakeProvider, name: Wire, pieces: int
) -> None:
    provider.script = Script(chunks=None)
    stream = await chat(provider, name, stream=True)
    await read(stream, pieces)

    del stream
    gc.collect()

    await provider.exchanges[0].wait_closed()
    await telemetry.assert_one(
        external("abandoned", "streaming" if pieces else "request", "gc", "gc")
    )


@every_provider
async def test_break(telemetry: Telemetry, provider: FakeProvider, name: Wire) -> None:
    provider.script = Script(chunks=None)

    async def consumer() -> None:
        async for _ in await chat(provider, name, stream=True):
            break

    await consumer()
    gc.collect()

    await provider.exchanges[0].wait_closed()
    await telemetry.assert_one(external("abandoned", "streaming", "gc", "gc"))


@every_provider
async def test_dropped_by_a_task_that_is_done(
    telemetry: Telemetry, provider: FakeProvider, name: Wire
) -> None:
    provider.script = Script(chunks=None)
    held: list[Any] = []

    async def consumer() -> None:
        held.append(await chat(provider, name, stream=True))
        await anext(held[0])

    await asyncio.create_task(consumer())
    await asyncio.sleep(0)  # whoever wants to know that a task is done hears of it in the loop
    held.clear()
    gc.collect()

    await provider.exchanges[0].wait_closed()
    await telemetry.assert_one(external("abandoned", "streaming", "task_done", "gc"))


@every_provider
async def test_collected_as_part_of_a_cycle(
    telemetry: Telemetry, provider: FakeProvider, name: Wire
) -> None:
    provider.script = Script(chunks=None)
    cycle: list[Any] = [await chat(provider, name, stream=True)]
    await anext(cycle[0])
    cycle.append(cycle)
    gc.disable()
    try:
        del cycle
        assert telemetry.outcomes() == {}
    finally:
        gc.enable()
    gc.collect()

    await provider.exchanges[0].wait_closed()
    await telemetry.assert_one(external("abandoned", "streaming", "gc", "gc"))


async def test_collected_in_another_thread(telemetry: Telemetry, provider: FakeProvider) -> None:
    provider.script = Script(chunks=None)
    cycle: list[Any] = [await chat(provider, "openai", stream=True)]
    await anext(cycle[0])
    cycle.append(cycle)
    gc.disable()
    try:
        del cycle
        await asyncio.to_thread(gc.collect)
    finally:
        gc.enable()

    await provider.exchanges[0].wait_closed()
    await telemetry.assert_one(external("abandoned", "streaming", "gc", "gc"))


async def test_driven_by_another_task(telemetry: Telemetry, provider: FakeProvider) -> None:
    """Who asks for a chunk drives the stream: that task's cancel counts, whoever made the call."""
    provider.script = Script(hang_at=2)
    stream = await chat(provider, "openai", stream=True)

    async def made() -> Any:
        return stream

    caller = Caller(made())
    await silent(provider)
    await caller.has(2)

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    await telemetry.assert_one(external(phase="streaming"))


async def test_goes_on_after_a_wait_for_that_was_in_time(
    telemetry: Telemetry, provider: FakeProvider
) -> None:
    stream = await chat(provider, "openai", stream=True)
    pieces = 0
    while True:
        try:
            await asyncio.wait_for(anext(stream), 60)
        except StopAsyncIteration:
            break
        pieces += 1

    assert pieces >= 5
    assert telemetry.outcomes() == {"completed": 1}


async def test_chunks_are_counted_as_delivered(
    telemetry: Telemetry, provider: FakeProvider
) -> None:
    provider.script = Script(hang_at=3)
    caller = Caller(chat(provider, "openai", stream=True))
    await caller.has(3)
    caller.task.cancel()
    await caller.ended()

    span = await telemetry.span()

    assert (span.attributes or {})[sc.CHUNKS] == caller.chunks


@pytest.mark.settings(spans="all")
async def test_chunk_by_which_a_cancel_is_answered_counts(
    telemetry: Telemetry, provider: FakeProvider
) -> None:
    async def opened() -> Any:
        stream = await chat(provider, "openai", stream=True)
        answers.append(Answers(stream.completion_stream))
        stream.completion_stream = answers[0]
        begun.set()
        return stream

    answers: list[Answers] = []
    begun = asyncio.Event()
    caller = Caller(opened())
    await begun.wait()
    await answers[0].waits.wait()
    caller.task.cancel()
    assert await caller.ended() is None

    assert caller.task.result() == provider.script.text
    span = await telemetry.span()
    assert (span.attributes or {})[sc.CHUNKS] == caller.chunks


async def test_chunk_by_which_a_generator_answers_an_exception_counts(
    telemetry: Telemetry,
) -> None:
    """The stream goes on; a cancel later is none while it is closed."""

    async def steered() -> AsyncIterator[str]:
        try:
            yield "first"
        except ValueError:
            yield "second"
        yield "third"
        await asyncio.Event().wait()

    async def reads() -> None:
        assert await anext(stream) == "first"
        assert await stream.athrow(ValueError) == "second"
        counted.append((call.progress.chunks, call.has_stream))
        assert await anext(stream) == "third"
        waits.set()
        await anext(stream)

    counted: list[tuple[int, bool]] = []
    waits = asyncio.Event()
    call = telemetry.tracker.begin(Known(FACTS))
    stream = watch_result(steered(), call)
    caller = Caller(reads())
    async with asyncio.timeout(5):
        await waits.wait()
    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert counted == [(2, True)]
    await telemetry.assert_one(external(phase="streaming"), **{sc.CHUNKS: 3})


async def test_cancel_asked_for_before_it_is_opened_and_not_yet_delivered(
    telemetry: Telemetry,
) -> None:
    """It is no old one that says nothing: it will end the stream."""

    async def waits() -> AsyncIterator[None]:
        await asyncio.Event().wait()
        yield

    async def asks() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await anext(watch_result(waits(), telemetry.tracker.begin(Known(FACTS))))

    caller = Caller(asks())

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert caller.around.passed_on
    await telemetry.assert_one(external())


class ClosesItself:
    """A stream that closes itself as its chunk fails, as LiteLLM's own does from 1.110 on."""

    closed = 0

    async def __anext__(self) -> Any:
        await self.aclose()
        raise ValueError("what the provider sent is no chunk")

    async def aclose(self) -> None:
        self.closed += 1


async def test_failed_stream_that_closes_itself_was_not_closed_by_its_consumer(
    telemetry: Telemetry,
) -> None:
    stream = watch_result(ClosesItself(), telemetry.tracker.begin(Known(FACTS)))

    with pytest.raises(ValueError, match="no chunk"):
        await anext(stream)

    assert stream.closed == 1
    assert telemetry.outcomes() == {"error": 1}


async def test_stream_is_open_until_it_ends(telemetry: Telemetry, provider: FakeProvider) -> None:
    provider.script = Script(hang_at=1)
    caller = Caller(chat(provider, "openai", stream=True))
    exchange = await silent(provider)
    await caller.has(1)
    assert telemetry.open_streams() == 1

    exchange.release()
    await caller.ended()

    assert telemetry.open_streams() == 0


@pytest.mark.skipif(not OLD, reason="today's LiteLLM has its own")
async def test_has_an_aclose_where_litellm_has_none(
    telemetry: Telemetry, provider: FakeProvider
) -> None:
    assert not hasattr(sdk.CustomStreamWrapper, "aclose")
    stream = await chat(provider, "openai", stream=True)
    assert inspect.iscoroutinefunction(stream.aclose)
    await stream.aclose()
