"""An application of FastAPI's that answers in a model's words, without a line of telemetry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import fastapi
import litellm
from fastapi.responses import StreamingResponse

from litellm_cancel_otel._demo.fakes import FakeProvider, litellm_kwargs


def application(provider: FakeProvider) -> fastapi.FastAPI:
    """Return the application, of the class that stands in FastAPI's place by now."""
    app = fastapi.FastAPI()
    asked: dict[str, Any] = {
        **litellm_kwargs("openai", provider.base_url),
        "messages": [{"role": "user", "content": "hello"}],
    }

    async def whole() -> str:
        answer: Any = await litellm.acompletion(**asked)
        return str(answer.choices[0].message.content)

    async def streamed() -> StreamingResponse:
        return StreamingResponse(pieces(await litellm.acompletion(**asked, stream=True)))

    async def pieces(stream: Any) -> AsyncIterator[bytes]:
        async for _ in stream:
            yield b"piece"

    app.get("/whole")(whole)
    app.get("/streamed")(streamed)
    app.get("/left")(streamed)
    return app
