"""What an application, a server and a custom provider write: mypy --strict finds no fault in it."""

from collections.abc import AsyncGenerator
from typing import Any, assert_type

from litellm.types.utils import GenericStreamingChunk, ModelResponse
from starlette.applications import Starlette

from litellm_cancel_otel import CancellationMiddleware, CancelTelemetry, Settings, unguarded
from litellm_cancel_otel.errors import AsyncCancellationError, AsyncTimeoutError
from litellm_cancel_otel.handling import (
    AsyncErrorContext,
    asyncio_error_context,
    handle_asyncio_errors,
)
from litellm_cancel_otel.provider import BaseAsyncLLM

app = Starlette()
app.add_middleware(CancellationMiddleware)


def watch() -> None:
    with CancelTelemetry(settings=Settings(guard=False, max_models=7)) as telemetry:
        assert_type(telemetry, CancelTelemetry)
        assert_type(telemetry.flush(), bool)


async def save(text: str) -> str:
    with unguarded():
        async with asyncio_error_context("mine", "chat") as context:
            assert_type(context, AsyncErrorContext)
            return text


@handle_asyncio_errors("mine", AsyncCancellationError)
async def ask(question: str) -> int:
    return len(question)


async def told() -> str:
    try:
        assert_type(await ask("how many?"), int)
    except AsyncTimeoutError as exc:
        return str(exc)
    return "in time"


class Mine(BaseAsyncLLM):
    async def _acompletion_impl(self, *args: Any, **kwargs: Any) -> ModelResponse:
        return ModelResponse()

    async def _astreaming_impl(
        self, *args: Any, **kwargs: Any
    ) -> AsyncGenerator[GenericStreamingChunk, None]:
        yield {
            "text": "",
            "is_finished": True,
            "finish_reason": "stop",
            "usage": None,
            "index": 0,
            "tool_use": None,
        }
