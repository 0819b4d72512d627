"""An application that gunicorn loads before it forks: the callback is made in the master."""

import os
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import litellm
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from uvicorn_worker import UvicornWorker

from litellm_cancel_otel import CancellationMiddleware, CancelTelemetry
from litellm_cancel_otel._demo.fakes import litellm_kwargs

litellm.callbacks = [CancelTelemetry()]
app = FastAPI()
app.add_middleware(CancellationMiddleware)


class Worker(UvicornWorker):
    """Ends what is open itself, before gunicorn kills the process."""

    CONFIG_KWARGS: ClassVar = {**UvicornWorker.CONFIG_KWARGS, "timeout_graceful_shutdown": 1}


async def pieces(stream: Any) -> AsyncIterator[bytes]:
    async for _ in stream:
        yield b"piece"


@app.get("/")
async def answer() -> StreamingResponse:
    stream = await litellm.acompletion(
        **litellm_kwargs("openai", os.environ["PRELOADED_PROVIDER"]),
        messages=[{"role": "user", "content": "hello"}],
        stream=True,
    )
    return StreamingResponse(pieces(stream), headers={"worker": str(os.getpid())})
