"""One order of coming and going: calls beside the neighbour, beside nobody, and what is left."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future
from typing import Any

import litellm
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from litellm_cancel_otel import CancelTelemetry, Settings
from litellm_cancel_otel._demo.fakes import (
    FakeProvider,
    Script,
    aclose_litellm_clients,
    litellm_kwargs,
)

from .guest import Guest
from .known import WAYS, Neighbour
from .places import changed, ours, places
from .spans import Spans

HANGS = {"cancelled": "before_headers", "stream cancelled": 2}


def run(neighbour: Neighbour, comes: str, first: str) -> dict[str, Any]:
    """Return what each has seen, and what is left behind."""
    warned: list[str] = []
    log = logging.getLogger("litellm_cancel_otel")
    log.addHandler(handler := logging.Handler())
    handler.emit = lambda record: warned.append(record.getMessage())  # type: ignore[method-assign]
    memory = InMemorySpanExporter()
    if not neighbour.provides:
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(memory))
        trace.set_tracer_provider(provider)
    _follow_logging()
    before = places()
    if comes == "before":
        guest, telemetry = neighbour.come(memory), _ours()
    else:
        telemetry = _ours()
        guest = neighbour.come(memory)
    said = asyncio.run(_calls(guest, telemetry, first))
    spans = Spans(memory, neighbour.scope, guest.seen)
    return {
        "raised": said,
        "ours": spans.ours(),
        "theirs": spans.theirs(),
        "related": spans.related(),
        "left": changed(before, places()),
        "left of ours": ours(),
        "callbacks": [str(one) for one in litellm.callbacks],
        "missing": telemetry.missing_seams,
        "warned": warned,
    }


def _ours() -> CancelTelemetry:
    telemetry = CancelTelemetry(settings=Settings(spans="all", top_socket=None))
    litellm.callbacks.append(telemetry)
    return telemetry


async def _calls(guest: Guest, telemetry: CancelTelemetry, first: str) -> dict[str, str]:
    async with FakeProvider() as provider:
        said = {way: await _call(provider, guest, way) for way in WAYS}
        ends = [guest.go, telemetry.close]
        if first == "ours":
            ends.reverse()
        ends[0]()
        said["one has left"] = await _call(provider, guest, "one has left")
        ends[1]()
        said["both have left"] = await _call(provider, guest, "both have left")
        await aclose_litellm_clients()
    return said


async def _call(provider: FakeProvider, guest: Guest, way: str) -> str:
    provider.script = Script(hang_at=HANGS.get(way))  # type: ignore[arg-type]
    kwargs = litellm_kwargs("openai", provider.base_url)
    with guest.around(way), trace.get_tracer("application").start_as_current_span(way):
        second_chunk = asyncio.Event()
        task = asyncio.create_task(_consume(kwargs, way, second_chunk))
        if way in HANGS:
            exchange = await provider.next_exchange(60)
            await exchange.wait_hanging()
            if "stream" in way:
                await second_chunk.wait()
            task.cancel()
        await asyncio.wait([task])
        if way not in HANGS:
            await provider.next_exchange()
        await _logged()
    return "cancelled" if task.cancelled() else repr(task.exception() or task.result())


async def _consume(kwargs: dict[str, Any], way: str, second_chunk: asyncio.Event) -> str:
    messages = [{"role": "user", "content": "hello"}]
    about = {"generation_name": way, "trace_name": way}
    answer: Any = await litellm.acompletion(
        **kwargs, messages=messages, stream="stream" in way, max_retries=0, metadata=about
    )
    if "stream" in way:
        chunks = 0
        async for _ in answer:
            chunks += 1
            if chunks == 2:
                second_chunk.set()
    return "answered"


async def _logged() -> None:
    """Wait until LiteLLM has told its callbacks."""
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

    await GLOBAL_LOGGING_WORKER.flush()
    await asyncio.gather(*map(asyncio.wrap_future, _LOGGING), return_exceptions=True)


_LOGGING: list[Future[Any]] = []
"""What LiteLLM has given to its threads."""


def _follow_logging() -> None:
    executor: Any = litellm.utils.executor
    submit = executor.submit

    def submitted(*args: Any, **kwargs: Any) -> Future[Any]:
        _LOGGING.append(submit(*args, **kwargs))
        return _LOGGING[-1]

    executor.submit = submitted
