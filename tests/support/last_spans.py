"""An application whose last calls are cancelled; it writes ``span`` for each that is exported."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # before litellm is imported: no network

import litellm
from litellm.llms.custom_llm import CustomLLM
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)


class ToStdout(SpanExporter):
    """Writes a word for each span, at once."""

    def export(self, spans: Any) -> SpanExportResult:
        os.write(1, b"span\n" * len(spans))
        return SpanExportResult.SUCCESS


class Silent(CustomLLM):
    """A provider that falls silent after a chunk."""

    async def astreaming(self, *_: Any, **__: Any) -> Any:  # type: ignore[override]
        yield {
            "finish_reason": "",
            "index": 0,
            "is_finished": False,
            "text": "word",
            "tool_use": None,
            "usage": None,
        }
        await asyncio.Event().wait()


litellm.suppress_debug_info = True
litellm.custom_provider_map = [{"provider": "silent", "custom_handler": Silent()}]


def provider(*, batch: bool = True) -> TracerProvider:
    """Return an application's own provider."""
    tracers = TracerProvider()
    tracers.add_span_processor((BatchSpanProcessor if batch else SimpleSpanProcessor)(ToStdout()))
    return tracers


async def pieces() -> AsyncIterator[str]:
    """Read a stream."""
    messages = [{"role": "user", "content": "hello"}]
    stream: Any = await litellm.acompletion("silent/m", messages=messages, stream=True)
    async for _ in stream:
        yield "piece\n"


async def leave(count: int) -> "list[asyncio.Task[None]]":
    """Return tasks that each wait for a stream's next chunk."""

    async def read() -> None:
        async for _ in pieces():
            has_one.release()

    has_one = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(read()) for _ in range(count)]
    for _ in tasks:
        await has_one.acquire()
    return tasks


async def cancel(count: int) -> None:
    """Cancel as many streams at once."""
    tasks = await leave(count)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
