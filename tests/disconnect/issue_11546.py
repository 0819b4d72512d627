"""The script of LiteLLM issue 11546, and the two lines that this package asks for, at its end.

The browser goes away, no exception comes, and ``finally called`` is printed minutes later or never.
``PACKAGE`` in the environment is for the test alone: a user writes the two lines and nothing else.
"""

import os

import litellm
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from litellm_cancel_otel import CancellationMiddleware, CancelTelemetry

app = FastAPI()


@app.middleware("http")
async def log_requests(request: Request, call_next):
    return await call_next(request)


async def generate():
    try:
        response = await litellm.acompletion(
            model="azure/gpt-4o",
            api_base=os.environ["AZURE_API_BASE"],
            api_key="fake-key",
            api_version="2024-10-21",
            messages=[{"role": "user", "content": "Tell me a very long story"}],
            stream=True,
        )
        async for chunk in response:
            # A page of text for each chunk: what the client does not read fills the buffers sooner.
            yield (chunk.choices[0].delta.content or "").ljust(100_000)
    finally:
        print("finally called", flush=True)


@app.get("/stream")
async def stream():
    return StreamingResponse(generate(), media_type="text/plain")


if os.environ.get("PACKAGE") == "with":
    litellm.callbacks = [CancelTelemetry()]  # the callback line
    app.add_middleware(CancellationMiddleware)  # the middleware line
